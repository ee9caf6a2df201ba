"""The suite's command line, and how a case becomes a pytest result.

    pytest conformance [--subject S] [--capabilities a,b] [--tier T] [--processor P] [--report F]
    pytest -p mbtref.suite.plugin --pyargs mbtref.conformance tests --subject S

The second one runs the suite among the tests of a port. The plugin leaves these alone, and does nothing in a run
that names no subject.

A case ends in one of `cases.Outcome`. Unsupported and not run are neither passes nor failures: pytest shows them
with letters of their own. A run in which nothing was checked fails.
"""

import json
import os
import shlex
import textwrap
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import FlakyFailure

from mbtref.suite.cases import Case, KnownFailure, Outcome, Verdict, WrongAnswer
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import CAPABILITIES, OPERATIONS
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.reports.recorder import Recorder
from mbtref.suite.reports.report import Report
from mbtref.suite.requirements import EACH, REQUIREMENTS, TIERS, Requirement
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import ELSEWHERE, NAMES, in_process, is_program, isolated
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import frozen

TIMEOUT = 60.0
"""Seconds that an answer may take by default."""
SUBJECT = pytest.StashKey[Subject]()
"""Where a run keeps the implementation under test."""
ASKED = pytest.StashKey[bool]()
"""True if the suite's folder is an argument: the reference is meant if no subject is named."""
CHOSEN = pytest.StashKey[int]()
"""How many cases the wanted capabilities and tiers have; 0 if only a part of the suite was collected."""
KNOWN = pytest.StashKey[Mapping[str, KnownFailure]]()
"""Where it keeps the known failures, by the id of a case."""
LETTERS = {Outcome.UNSUPPORTED: "u", Outcome.NOT_RUN: "n", Outcome.KNOWN_FAILURE: "k"}
"""Outcomes that are neither a pass nor a failure, as letters in pytest's line of dots."""

SEARCH = (Phase.explicit, Phase.reuse, Phase.generate)
"""Phases of hypothesis, without shrinking a failing picture, which asks a slow subject a hundred times more."""

for name, examples, phases in (("default", 25, SEARCH), ("thorough", 500, (*SEARCH, Phase.shrink))):
    settings.register_profile(
        name,
        max_examples=examples,
        phases=phases,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    add("--subject", metavar="MODULE:NAME|cmd:PROGRAM|onnx:DIR",
        help=f"the implementation to check, or one of {', '.join(NAMES)}; default: reference")  # fmt: skip
    add("--capabilities", metavar="A,B", help=f"check only these of {', '.join(CAPABILITIES)}")
    add("--tier", choices=TIERS, default=TIERS[-1], help="how much to check; default: all")
    add(
        "--answer-timeout",
        type=float,
        default=TIMEOUT,
        metavar="S",
        help=f"seconds an answer may take; default: {TIMEOUT:g}",
    )
    add("--processor", choices=PROCESSORS,
        help="run the subject as on another processor; not with --in-process")  # fmt: skip
    add("--in-process", action="store_true",
        help="run a Python subject inside pytest, for a debugger; if it crashes, so does the run")  # fmt: skip
    add("--report", type=Path, metavar="FILE.json", help="write the outcome of every case")
    add(
        "--known-failures",
        type=Path,
        metavar="FILE",
        help="cases known to fail, with reasons; if one passes, it fails",
    )
    add("--write-known-failures", type=Path, metavar="FILE", help="write the cases that failed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case(requirement, name): what a test checks")
    for name in (*CAPABILITIES, *TIERS):
        config.addinivalue_line("markers", f"{name}: cases of this capability or tier")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not is_asked(config):
        return
    check_options(config)
    try:
        frozen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[KNOWN] = read_known_failures(config.getoption("known_failures"))
    if config.option.collectonly:
        return  # no subject is asked, and no file is written
    subject = config.stash[SUBJECT] = load(config)
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist: the process above it sees the results
    path = config.getoption("report")
    report = Report(path.open("w", encoding="utf-8") if path else None)
    report.open(subject, named(config), config.getoption("tier"), config.getoption("processor"))
    failures_to = config.getoption("write_known_failures")
    config.pluginmanager.register(Recorder(report, config.getoption("tier"), failures_to, config.stash[KNOWN]))


def is_asked(config: pytest.Config) -> bool:
    """Whether a run is one of the suite."""
    return config.getoption("subject") is not None or config.stash.get(ASKED, False)


def named(config: pytest.Config) -> str:
    """The subject as on the command line."""
    return str(config.getoption("subject") or "reference")


def check_options(config: pytest.Config) -> None:
    """Ends the run with a message if an option makes no sense, before any case, so that no long run is lost."""
    wanted = capabilities(config)
    if unknown := [name for name in wanted if name not in CAPABILITIES]:
        raise pytest.UsageError(f"--capabilities: no {', '.join(unknown)}; there are {', '.join(CAPABILITIES)}")
    if not config.getoption("answer_timeout") > 0:
        raise pytest.UsageError("--answer-timeout: must be more than 0 seconds")
    if config.getoption("in_process") and config.getoption("processor"):
        raise pytest.UsageError(
            "--processor sets the environment of the subject's process: leave out --in-process"
        )
    for option in ("report", "write_known_failures"):
        path = config.getoption(option)
        if path and (path.is_dir() or not path.parent.is_dir()):
            why = "is a folder" if path.is_dir() else "its folder doesn't exist"
            raise pytest.UsageError(f"--{option.replace('_', '-')} {path}: {why}")
    pictures = os.environ.get("MBTREF_KODAK")
    if pictures and not Path(pictures).is_dir():
        raise pytest.UsageError(f"MBTREF_KODAK is {pictures}, which isn't a folder")


def capabilities(config: pytest.Config) -> list[str]:
    """The wanted capabilities, as on the command line."""
    names = config.getoption("capabilities")
    return list(CAPABILITIES) if names is None else [name.strip() for name in names.split(",")]


def pytest_sessionfinish(session: pytest.Session) -> None:
    end(session.config.stash.get(SUBJECT, None))


def pytest_report_header(config: pytest.Config) -> str | None:
    return (
        None
        if POSIX or not is_asked(config)
        else "the subject runs in this process, which it may end: isolation needs a POSIX system"
    )


def load(config: pytest.Config) -> Subject:
    """The subject of --subject. A wrong one ends the run with a message."""
    text, processor = named(config), config.getoption("processor")
    try:
        if config.getoption("in_process") or not (POSIX or processor or is_program(text)):
            return in_process(text)
        return isolated(text, config.getoption("answer_timeout"), PROCESSORS[processor] if processor else None)
    except ValueError as error:
        raise pytest.UsageError(f"--subject {text}: {error}") from error


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The implementation under test."""
    return pytestconfig.stash[SUBJECT]


@pytest.fixture(scope="session")
def elsewhere(pytestconfig: pytest.Config) -> Iterator[Callable[[str], Subject]]:
    """The same implementation in another process, by the name of its simulated processor in `PROCESSORS`.

    The first use of a name starts its process. If it can't start, the case ends.
    """
    text, timeout = named(pytestconfig), pytestconfig.getoption("answer_timeout")
    running: dict[str, Subject] = {}

    def process(name: str) -> Subject:
        if not POSIX:
            raise Verdict(Outcome.NOT_RUN, f"a second process needs a POSIX system; {ELSEWHERE}")
        if name not in running:
            try:
                running[name] = isolated(text, timeout, PROCESSORS[name])
            except ValueError as error:
                raise Verdict(Outcome.CRASHED, f"the second process, {name}, can't start: {error}") from error
        return running[name]

    yield process
    for subject in running.values():
        end(subject)


def end(subject: Subject | None) -> None:
    """Ends the process of a subject that has one."""
    if isinstance(subject, Command):
        subject.close()


def is_case(item: pytest.Item) -> bool:
    """Whether a test is one of the suite's."""
    return item.get_closest_marker("case") is not None


def case_of(item: pytest.Item) -> Case:
    """What a test checks."""
    marker = item.get_closest_marker("case")
    assert marker is not None, f"{item.nodeid} has no case marker"
    return Case(*marker.args)


def requirement_of(item: pytest.Item) -> Requirement:
    """The requirement of a test."""
    return REQUIREMENTS[case_of(item).requirement]


def capability_of(item: pytest.Item) -> str:
    """The capability that a test needs."""
    capability = requirement_of(item).capability
    return OPERATIONS[case_of(item).name].capability if capability == EACH else capability


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases = [item for item in items if is_case(item)]
    if not cases:
        return
    if KNOWN not in config.stash:
        raise pytest.UsageError("say which implementation the suite should check: --subject, for example numpy")
    wanted, highest = capabilities(config), TIERS.index(config.getoption("tier"))
    kept = [item for item in items if not is_case(item)]
    left_out: list[pytest.Item] = []
    for item in cases:
        case = case_of(item)
        requirement = requirement_of(item)
        item.add_marker(capability_of(item))
        item.add_marker(requirement.tier)
        item.user_properties += {**case._asdict(), "capability": capability_of(item)}.items()
        chosen = capability_of(item) in wanted and TIERS.index(requirement.tier) <= highest
        (kept if chosen else left_out).append(item)
    files = {item.path.name for item in cases}
    whole = files == {path.name for path in project_folder("conformance").glob("test_*.py")}
    config.stash[CHOSEN] = sum(map(is_case, kept)) if whole and "::" not in "".join(config.args) else 0
    if strangers := config.stash[KNOWN].keys() - {case_of(item).id for item in cases}:
        names = ", ".join(sorted(strangers))
        raise pytest.UsageError(f"--known-failures: not among the cases of the files that are run: {names}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    cases = [item for item in session.items if is_case(item)]
    whole = len(cases) == session.config.stash.get(CHOSEN, 0)
    for item in cases:
        item.user_properties.append(("whole", whole))


def read_known_failures(path: Path | None) -> dict[str, KnownFailure]:
    """Known failures by the id of a case."""
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


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turns the end of a case into a result of pytest. A capability that the subject lacks isn't tried."""
    if not is_case(pyfuncitem):
        return (yield)
    case = case_of(pyfuncitem)
    tested = cast(Subject, pyfuncitem.funcargs["subject"])
    capability = capability_of(pyfuncitem)
    if capability not in tested.capabilities:
        reason = f"{tested.name} doesn't declare {capability}"
        pyfuncitem.user_properties += [("outcome", str(Outcome.UNSUPPORTED)), ("reason", reason)]
        pytest.skip(reason)
    known = pyfuncitem.config.stash[KNOWN].get(case.id)
    ended: Verdict | None = None
    try:
        result = yield
    except Verdict as verdict:
        ended = verdict
    except FlakyFailure as error:
        wrong = next((str(e) for e in error.exceptions if isinstance(e, Verdict)), "once rightly, once not")
        ended = WrongAnswer(f"the same question was answered in two ways: {wrong}")
    if known and ended is None:
        ended = WrongAnswer("this known failure passes now: take it out of the list")
    elif known and ended and ended.outcome == known.outcome:
        ended = Verdict(Outcome.KNOWN_FAILURE, known.reason)
    outcome = ended.outcome if ended else Outcome.PASSED
    pyfuncitem.user_properties.append(("outcome", str(outcome)))
    if ended is None:
        return result
    pyfuncitem.user_properties += [("reason", str(ended).partition("\n")[0]), ("cause", ended.cause)]
    if outcome in LETTERS:
        pytest.skip(str(ended))
    pytest.fail(explain(pyfuncitem, ended), pytrace=False)


def explain(item: pytest.Item, verdict: Verdict) -> str:
    """The message of a case that failed: what, why, and how to repeat it."""
    case, config = case_of(item), item.config
    here, (_, *inside) = config.invocation_params.dir, item.nodeid.split("::", 1)
    file = item.path.relative_to(here) if item.path.is_relative_to(here) else item.path
    command = ["pytest", "::".join([str(file), *inside]), "--subject", named(config)]
    if config.getoption("in_process"):
        command.append("--in-process")
    elif config.getoption("answer_timeout") != TIMEOUT:
        command += ["--answer-timeout", f"{config.getoption('answer_timeout'):g}"]
    if config.getoption("processor"):
        command += ["--processor", config.getoption("processor")]
    notes = "\n".join(getattr(verdict, "__notes__", [])).splitlines()
    lines = [
        str(verdict), *(line for line in notes if not line.lstrip().startswith("subject=")),
        f"required: {requirement_of(item).text} ({requirement_of(item).source})", f"repeat: {shlex.join(command)}",
    ]  # fmt: skip
    return f"{case.id}: {verdict.outcome}\n{textwrap.indent(chr(10).join(lines), '  ')}"


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    # a file that can't be collected is reported here too, and has no outcome
    outcome = dict(getattr(report, "user_properties", ())).get("outcome")
    if report.when == "call" and outcome in LETTERS:
        text = str(outcome).replace("-", " ")
        return text, LETTERS[Outcome(str(outcome))], (text.upper(), {"yellow": True})
    return None
