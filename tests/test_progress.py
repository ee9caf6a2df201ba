"""What a run shows while one watches, which cases it chooses, and who runs them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from mbtref.suite import kodak
from mbtref.suite.cases import all_cases
from mbtref.suite.pictures import CONTENTS
from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mbtref.suite.sample import MODELS
from mbtref.suite.vectors import frozen
from tests.support import ROOT, child

CONFORMANCE = ROOT / "conformance"


def shown(*options: str, workers: int = 0) -> Sequence[str]:
    """The lines of a run of the suite, with so many workers where it may choose."""
    words = ("-m", "pytest", CONFORMANCE, "-p", "no:cacheprovider", *options)
    return child(*words, folder=ROOT, more={"PYTEST_XDIST_AUTO_NUM_WORKERS": str(workers)}).stdout.splitlines()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_verdict_while_one_watches(workers: int) -> None:
    """Stages come first, in their order; a message comes before the line of its requirement, and only once."""
    wrong = ("--subject", "tests.miniatures:WrongDtype", "--capabilities", "transforms,rans")
    lines = shown(*wrong, "--tier", "full" if workers else "smoke", workers=workers)
    if workers:
        assert any(line.startswith(f"{workers} workers") for line in lines), "no workers"
    told = [line.split()[0] for line in lines if re.match(r"[A-Z]+-\d+ +\d+ \w", line)]
    assert {*told} >= {"RANS-1", "RANS-2", "TRANSFORM-1", "TRANSFORM-2", "TRANSFORM-3"}, f"{told}"
    assert len(told) == len(set(told)), f"{told}"
    messages = [at for at, line in enumerate(lines) if "repeat: pytest" in line]
    assert len(messages) == 1, f"one cause, {len(messages)} messages"
    at = next(at for at, line in enumerate(lines) if line.startswith("TRANSFORM-3  ") and "failed" in line)
    assert messages[0] < at < lines.index("failed, by cause:"), "\n".join(lines)
    assert lines[-2].startswith("next: mend TRANSFORM-3/lite-q3/"), lines[-2]


def test_the_order_is_the_path_of_a_picture() -> None:
    """Transforms, entropy, coder, streams, round trips, portability, Kodak, and last memory."""
    lines = shown("--collect-only", "-q", "--tier", "full", "--subject", "numpy")
    found = [line.partition("[")[2].partition("/")[0] for line in lines if "::" in line]
    found = [requirement for requirement in dict.fromkeys(found) if requirement in REQUIREMENTS]
    assert found == [requirement for requirement in REQUIREMENTS if requirement in found], f"{found}"
    families = list(dict.fromkeys(requirement.partition("-")[0] for requirement in REQUIREMENTS))
    path = ["TRANSFORM", "FLOAT", "EXACT", "RANS", "BUFFER", "DECODE", "ENCODE", "ROUNDTRIP", "FRESH"]
    assert families == [*path, "PORTABLE", "REPRODUCIBLE", "KODAK", "STATE"], f"{families}"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ("--requirement RANS-1,TRANSFORM-2", r"(RANS-1|TRANSFORM-2)/.*"),
        ("--model lite-q4,edge", r"[A-Z]+-\d+/(lite-q4|edge)/.*"),
        ("--requirement EXACT-1 --model wide-q5", None),
        ("--requirement DECODE-1 --model lite-q5", r"DECODE-1/lite-q5/.*"),
    ],
)
def test_cases_are_chosen(options: str, ids: str | None) -> None:
    """A requirement or a model selects its own cases, and nothing else."""
    lines = shown("--collect-only", "-q", "--tier", "smoke", "--subject", "numpy", *options.split())
    found = [line.partition("[")[2].rstrip("]") for line in lines if "::" in line]
    assert bool(found) == bool(ids), f"{len(found)} cases"
    assert all(re.fullmatch(ids or "", case) for case in found), f"{found}"


def test_a_part_gives_no_level(tmp_path: Path) -> None:
    """A run of one requirement claims nothing, though all of its cases passed."""
    chosen = ("--subject", "numpy", "--capabilities", "rans", "--requirement", "RANS-1", "--tier", "full")
    lines = shown(*chosen, "--report", str(tmp_path / "report.json"))
    assert '"whole": false' in (tmp_path / "report.json").read_text(), "a part is called the whole"
    assert not any("level" in line for line in lines), f"{lines}"


@pytest.mark.parametrize("requirement", ["PORTABLE-1", "PORTABLE-2", "DECODE-3", "REPRODUCIBLE-3", "KODAK-2"])
def test_each_picture_at_one_model(requirement: str) -> None:
    """The tier `full` has each picture at one model, and the models about equally often; `kodak` has all."""
    assert tuple(frozen().models) == MODELS, "sample.MODELS lacks a shipped model"
    cases = [case for case in all_cases() if case.requirement == requirement]
    pictures = CONTENTS if requirement == "PORTABLE-1" else kodak.PIXELS
    assert len(cases) == 8 * len(pictures), f"{len(cases)} cases"
    first = [case.name.split("/") for case in cases if case.tier != TIERS[-1]]
    assert len({picture for _, picture in first}) == len(first) == len(pictures), f"{first}"
    assert max(Counter(model for model, _ in first).values()) <= 3, f"{first}"
