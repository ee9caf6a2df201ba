"""Shows that a decoder gives one result on every machine: real, simulated and emulated.

    real        this machine
    simulated   this machine, computing as an older one would (`mbtref.suite.processors`)
    emulated    another architecture, by qemu-user (`emulate`)
    browser     the codec in JavaScript, in one that is installed (`browsers`)

The reference runs on the first two, and on a GPU if there is one. The one-file decoder, which needs NumPy alone,
runs on the first and the third.
"""

import hashlib
import platform
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from mbtref.suite.cases import ENDINGS, Outcome
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import GRID
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.reports import browsers, emulate, report
from mbtref.suite.reports.emulate import NotHere
from mbtref.suite.reports.markup import markdown
from mbtref.suite.sample import KODAK, in_sample
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import NAMES, PROGRAM, SERVE, isolated, node
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen

TIMEOUT = 600
"""Seconds that an answer may take under emulation."""
DIGITS = 16
"""Hex digits shown of a digest."""
ABOUT = (
    "import numpy, platform, sys; print(f'{sys.byteorder}-endian, {sys.maxsize.bit_length() + 1} bits, "
    "Python {platform.python_version()}, NumPy {numpy.__version__}')"
)
"""A Python program that describes the machine it runs on."""
FAILURES = (Outcome.FAILED, *ENDINGS.values())
DIGESTED = {
    "latents": ("DECODE-1", "y_hat"),
    "latents of Kodak": ("DECODE-3", "y_hat"),
    "pixels": ("REPRODUCIBLE-2", "image"),
}
"""The columns of digests, each with a requirement and an output."""
HEAD = ("machine", "decoder", "suite", *DIGESTED)
ONE_FILE, JAVASCRIPT = "one-file decoder", "codec in JavaScript"


class Machine(NamedTuple):
    """A decoder on a machine."""

    name: str
    decoder: str
    subject: str
    """The text after --subject."""
    processor: str | None = None
    """A name in PROCESSORS, or None."""
    kodak: bool = True
    """Whether it is asked the Kodak pictures: they take NumPy minutes, and hours under emulation."""


def machines(folder: Path) -> Iterator[Machine | tuple[str, str]]:
    """All available machines but browsers; for each other one, its name and the reason.

    folder: holds the emulated ones.
    """
    real, pytorch = f"real: {platform.machine()}", f"mbtref, PyTorch {metadata.version('torch')}"
    here = f"{real}, {about([sys.executable])}"
    yield Machine(here, pytorch, "reference")
    for name in PROCESSORS:
        yield Machine(f"simulated: {name}", pytorch, "reference", name)
    if torch.cuda.is_available():
        yield Machine(f"real: CUDA, {torch.cuda.get_device_name()}", pytorch, "reference@cuda")
    else:
        yield "real: CUDA", "no CUDA device"
    yield Machine(here, ONE_FILE, "numpy", kodak=False)
    try:
        yield Machine(f"{real}, Node {says(node(), '--version')}", JAVASCRIPT, "js")
    except ValueError as why:
        yield f"{real}, Node", f"it {why}"
    for architecture in emulate.EMULATORS:
        try:
            python = emulate.python(architecture, folder)
        except NotHere as why:
            yield f"emulated: {architecture}", str(why)
        else:
            program = f"{PROGRAM}{shlex.join([*python, *SERVE, NAMES['numpy']])}"
            yield Machine(f"emulated: {architecture}, {about(python)}", ONE_FILE, program, kodak=False)


def about(python: Sequence[str]) -> str:
    """Byte order, word length and versions. python: the command that runs Python."""
    return says(*python, "-c", ABOUT)


def says(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def rows(folder: Path) -> Iterator[Sequence[str]]:
    """A row of the table for each machine, in the order of HEAD, with a progress bar."""
    with tqdm(list(machines(folder)), leave=False, disable=None) as bar:
        for machine in bar:
            if not isinstance(machine, Machine):
                name, why = machine
                yield not_run(name, why)
                continue
            bar.set_description(machine.name)
            simulated = PROCESSORS[machine.processor] if machine.processor else None
            subject = isolated(machine.subject, TIMEOUT, simulated)
            left_out = None if machine.kodak else "DECODE-3"
            yield (
                markdown(machine.name),
                machine.decoder,
                suite(machine),
                *("" if r == left_out else digest(subject, chosen(r), output) for r, output in DIGESTED.values()),
            )
            if isinstance(subject, Command):
                subject.close()
    yield from in_browsers()


def in_browsers() -> Iterator[Sequence[str]]:
    """A row for each browser, whose digests are computed in it."""
    asked = [(output, chosen(requirement)) for requirement, output in DIGESTED.values()]
    for name in browsers.BROWSERS:
        try:
            version, found = browsers.digests(name, asked)
        except NotHere as why:
            yield not_run(f"browser: {name}", str(why))
        else:
            yield markdown(f"browser: {version}"), JAVASCRIPT, "", *map(shown, found)


def not_run(name: str, why: str) -> Sequence[str]:
    """The row of a machine that isn't available."""
    return markdown(name), "", markdown(f"not run: {why}"), *[""] * len(DIGESTED)


def suite(machine: Machine) -> str:
    """How many cases of the full tier had each outcome."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        pytest = ["-m", "pytest", str(project_folder("conformance")), "-q", "-p", "no:cacheprovider"]
        options = ["--subject", machine.subject, "--tier", "full", "--answer-timeout", str(TIMEOUT)]
        processor = ["--processor", machine.processor] if machine.processor else []
        left_out = [] if machine.kodak else ["-k", f"not {KODAK}"]
        command = [sys.executable, *pytest, *options, *processor, *left_out, "--report", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if not path.exists():
            raise ValueError(f"the suite can't run on {machine.name}: {done.stderr.strip()[-500:]}")
        counts = Counter(case["outcome"] for case in report.read(path).cases)
    return ", ".join(f"{counts[o]} {o}" for o in Outcome if counts[o] and o != Outcome.UNSUPPORTED)


def digest(subject: Subject, vectors: Sequence[Vector], output: str) -> str:
    """One SHA-256 over an output of the vectors, in their order."""
    whole = hashlib.sha256()
    for vector in vectors:
        value = np.asarray(subject.call(vector.operation, vector.model, vector.inputs)[output])
        whole.update((value if output == "image" else (value * GRID).astype("<i4")).tobytes())
    return shown(whole.hexdigest())


def shown(digest: str) -> str:
    """The start of a digest."""
    return f"`{digest[:DIGITS]}`"


def chosen(requirement: str) -> list[Vector]:
    """The vectors of a requirement that the tier `full` asks, in the order of their ids."""
    found = (vector for vector in frozen().vectors if vector.requirement == requirement)
    sampled = (v for v in found if in_sample(requirement, v.id.removeprefix(f"{requirement}/")))
    return sorted(sampled, key=lambda vector: vector.id)


def agree(found: Sequence[Sequence[str]]) -> bool:
    """Whether no case failed and every digest is the same in all rows that have it."""
    digests = [{row[column] for row in found if row[column]} for column in range(-len(DIGESTED), 0)]
    run = [row[HEAD.index("suite")] for row in found if row[HEAD.index("latents")]]
    failed = any(outcome in counts for counts in run for outcome in FAILURES)
    return not failed and all(len(different) == 1 for different in digests)


def page(found: Iterable[Sequence[str]]) -> str:
    """The page of documentation with the table."""
    decode, kodak, pixels = (len(chosen(requirement)) for requirement, _ in DIGESTED.values())
    lines = [
        "# One result on every machine",
        "",
        "*Made by `make machines`; not to be edited.*",
        "",
        f"A digest is the start of one SHA-256: of all latents of the {decode} golden streams (DECODE-1), of "
        f"those of {kodak} Kodak streams (DECODE-3; each picture at one model), and of all pixels of {pixels} "
        "pictures decoded with reproducible transforms (REPRODUCIBLE-2). *Suite* counts the cases of "
        "`pytest conformance --tier full` that had a verdict. A *simulated* processor is this one under the "
        "settings of [`mbtref/suite/processors.py`](../mbtref/suite/processors.py). An *emulated* one is "
        "qemu-user with Debian's own Python and NumPy. The one-file decoder isn't asked the Kodak pictures. A "
        "*browser* computes its digests itself, with [`web/codec.mjs`](../web/codec.mjs).",
        "",
        f"| {' | '.join(HEAD)} |",
        "|---" * len(HEAD) + "|",
        *(f"| {' | '.join(row)} |" for row in found),
        "",
        f"{date.today().isoformat()}, mbtref {metadata.version('mbtref')}, {platform.system()}.",
        "",
    ]
    return "\n".join(lines)
