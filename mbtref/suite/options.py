"""The suite's options on pytest's command line, and what they mean."""

import json
import os
import secrets
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mbtref.suite.cases import Case, KnownFailure, Outcome, Verdict
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.requirements import DEFAULT_TIER, REQUIREMENTS, TIERS
from mbtref.suite.sample import MODELS
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import ONNX, SHORT, in_process, is_program, isolated
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Subject

THOROUGH = "mbtref-thorough"
"""The profile of hypothesis with which the suite tries many more pictures. Other tests keep their settings."""
CHOICES: Mapping[str, Collection[str]] = {
    "capabilities": CAPABILITIES,
    "requirement": tuple(REQUIREMENTS),
    "model": (*MODELS, "edge", "filled"),
}
"""What the options that select cases may name."""
TIMEOUT = 60.0
"""Seconds that an answer may take by default."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    names, capabilities = ", ".join(SHORT), ", ".join(CAPABILITIES)
    subject_help = f"the implementation to check, or one of {names}; default: reference"
    add("--subject", metavar="MODULE:NAME|cmd:PROGRAM|onnx:DIR", help=subject_help)
    add("--capabilities", metavar="A,B", help=f"check only these of {capabilities}")
    add("--requirement", metavar="A,B", help="check only these, such as DECODE-1,ENCODE-1")
    add("--model", metavar="A,B", help="check only cases of these models, such as lite-q4")
    add("--tier", choices=TIERS, default=DEFAULT_TIER, help=f"how much to check; default: {DEFAULT_TIER}")
    device_help = "where the reference computes, or a Python subject that takes a device; such as cuda"
    add("--device", metavar="NAME", help=device_help)
    timeout_help = f"seconds an answer may take; default: {TIMEOUT:g}"
    add("--answer-timeout", type=float, default=TIMEOUT, metavar="S", help=timeout_help)
    processor_help = "run the subject as on another processor; not with --in-process"
    add("--processor", choices=PROCESSORS, help=processor_help)
    in_process_help = "run a Python subject inside pytest, for a debugger; if it crashes, so does the run"
    add("--in-process", action="store_true", help=in_process_help)
    seed_help = "of the questions that stand in no file; default: another one in each run"
    add("--seed", type=int, default=secrets.randbelow(1 << 32), metavar="N", help=seed_help)
    add("--report", type=Path, metavar="FILE.json", help="write the outcome of every case")
    known_help = "cases known to fail, with reasons; if one passes, it fails"
    add("--known-failures", type=Path, metavar="FILE", help=known_help)
    add("--write-known-failures", type=Path, metavar="FILE", help="write the cases that failed")


def check(config: pytest.Config) -> None:
    """Ends the run with a message if an option makes no sense, before any case, so that no long run is lost."""
    option = config.option
    for name, there in CHOICES.items():
        if unknown := [each for each in chosen(config, name) if each not in there]:
            raise pytest.UsageError(f"--{name}: no {', '.join(unknown)}; there are {', '.join(there)}")
    if not option.answer_timeout > 0:
        raise pytest.UsageError("--answer-timeout: must be more than 0 seconds")
    if option.device:
        if is_program(option.subject) or option.subject.startswith(ONNX):
            raise pytest.UsageError(f"--device: {option.subject} can't be told one; it is for Python subjects")
        option.subject = f"{option.subject.partition('@')[0]}@{option.device}"
    if option.seed < 0:
        raise pytest.UsageError("--seed: must be 0 or more")
    if option.in_process and option.processor:
        raise pytest.UsageError("--processor needs a process of the subject's own: leave out --in-process")
    for name, path in (("report", option.report), ("write-known-failures", option.write_known_failures)):
        if path and (path.is_dir() or not path.parent.is_dir()):
            why = "is a folder" if path.is_dir() else "its folder doesn't exist"
            raise pytest.UsageError(f"--{name} {path}: {why}")
    pictures = os.environ.get("MBTREF_KODAK")
    if pictures and not Path(pictures).is_dir():
        raise pytest.UsageError(f"MBTREF_KODAK is {pictures}, which isn't a folder")


def chosen(config: pytest.Config, name: str) -> Collection[str]:
    """What an option of CHOICES selects; all of them without it."""
    names = config.getoption(name)
    return CHOICES[name] if names is None else [each.strip() for each in names.split(",")]


def is_due(case: Case, config: pytest.Config) -> bool:
    """Whether the wanted tier and capabilities have a case."""
    tiers = TIERS[: TIERS.index(config.option.tier) + 1]
    return case.tier in tiers and case.capability in chosen(config, "capabilities")


def is_asked(case: Case, config: pytest.Config) -> bool:
    """Whether a due case is among the wanted requirements and models, if some are named."""
    of_model = config.option.model is None or case.model in chosen(config, "model")
    return is_due(case, config) and case.requirement in chosen(config, "requirement") and of_model


def known_failures(config: pytest.Config) -> dict[str, KnownFailure]:
    """The file of --known-failures, by the id of a case. A wrong one ends the run with a message."""
    path = config.option.known_failures
    if path is None:
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(e["id"]): KnownFailure(Outcome(e["outcome"]), str(e["reason"])) for e in entries}
    except OSError as error:
        raise pytest.UsageError(f"--known-failures {path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        form = '[{"id": "RANS-1/rare", "outcome": "failed", "reason": "why"}, ...]'
        raise pytest.UsageError(f"--known-failures {path}: not of the form {form}: {error!r}") from error


def subject(config: pytest.Config) -> Subject:
    """The subject of --subject. A wrong one ends the run with a message."""
    text, processor = config.option.subject, config.option.processor
    try:
        if config.option.in_process or not (POSIX or processor or is_program(text)):
            return in_process(text)
        return isolated(text, config.option.answer_timeout, PROCESSORS[processor] if processor else None)
    except ValueError as error:
        raise pytest.UsageError(f"--subject {text}: {error}") from error


@contextmanager
def anew(config: pytest.Config) -> Iterator[Subject]:
    """The subject of --subject in a new process, which was asked nothing before. Raises Verdict without one."""
    option = config.option
    try:
        process = isolated(option.subject, option.answer_timeout, PROCESSORS.get(option.processor))
    except ValueError as error:
        raise Verdict(Outcome.NOT_RUN, f"it can't be asked in a new process: {error}") from error
    assert isinstance(process, Command)
    with closing(process):
        yield process


def command(config: pytest.Config, item: pytest.Item) -> str:
    """The command that repeats a test, with every option that its result may depend on."""
    option, here = config.option, config.invocation_params.dir
    file = item.path.relative_to(here) if item.path.is_relative_to(here) else item.path
    words = ["pytest", "::".join([str(file), *item.nodeid.split("::", 1)[1:]]), "--subject", option.subject]
    if option.in_process:
        words.append("--in-process")
    elif option.answer_timeout != TIMEOUT:
        words += ["--answer-timeout", f"{option.answer_timeout:g}"]
    if option.processor:
        words += ["--processor", option.processor]
    if "seed" in getattr(item, "fixturenames", ()):
        words += ["--seed", str(option.seed)]
    return shlex.join(words)
