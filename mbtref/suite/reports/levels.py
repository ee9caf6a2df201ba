"""The levels that an implementation may claim, from the outcomes of a run.

A level asks that every case of its capabilities passed, in a run of tier `full` that left none out. Cases of the
tier `kodak` may be missing, since not everybody has the pictures; where they were run they must have passed too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mbtref.suite.cases import Outcome
from mbtref.suite.reports import report
from mbtref.suite.requirements import TIERS

LOWEST_TIER = "full"
"""The smallest tier whose run can give a level."""


class Level(NamedTuple):
    """Something that an implementation may say of itself."""

    name: str
    capabilities: tuple[str, ...]
    text: str


TRANSFORMS = Level("transforms", ("transforms",), "The float networks give the right latents and pictures.")
FLOAT_CODEC = Level(
    "float codec",
    (*TRANSFORMS.capabilities, "entropy-float", "roundtrip", "kodak"),
    "Streams of a format of its own come back on the same machine, at the right rate and quality.",
)
PORTABLE = Level("portable", (*FLOAT_CODEC.capabilities, "portable"), "They come back on other machines too.")
EXACT_DECODER = Level(
    "exact decoder",
    ("decode",),
    "Every .mbt stream is decoded to exactly the right latents, or refused as it should be.",
)
EXACT_CODEC = Level(
    "exact codec",
    (*EXACT_DECODER.capabilities, "encode", "roundtrip", "portable", "kodak"),
    "It also writes .mbt streams, which everybody else decodes.",
)
LEVELS = (TRANSFORMS, FLOAT_CODEC, PORTABLE, EXACT_DECODER, EXACT_CODEC)
"""The highest last."""


class Kind(NamedTuple):
    """What cases are counted by."""

    capability: str
    tier: str
    outcome: str


class Run(NamedTuple):
    """A run, as far as levels depend on it."""

    subject: str
    """Name and version."""
    tier: str
    whole: bool
    """Whether all cases of this tier were run."""
    counts: Mapping[Kind, int]


def read(path: Path) -> Run:
    """The run of a report. Raises OSError, or ValueError if it isn't a report."""
    records, _ = report.read(path)
    opening: Any = records[0]
    cases: list[Any] = [record for record in records if record["record"] == "case"]
    subject = f"{opening['subject']['name']} {opening['subject']['version']}"
    counts = Counter(Kind(case["capability"], case["tier"], case["outcome"]) for case in cases)
    return Run(subject, opening["tier"], bool(records[-1].get("whole")), counts)


def missing(level: Level, run: Run) -> str:
    """Why a run doesn't give a level; empty if it does."""
    if not run.whole:
        return "not all cases were run"
    if TIERS.index(run.tier) < TIERS.index(LOWEST_TIER):
        return f"needs --tier {LOWEST_TIER}"
    for capability in level.capabilities:
        outcomes: Counter[str] = Counter()
        for kind, n in run.counts.items():
            optional = kind.tier == TIERS[-1] and kind.outcome == Outcome.NOT_RUN
            if kind.capability == capability and not optional:
                outcomes[kind.outcome] += n
        passed = outcomes.pop(Outcome.PASSED, 0)
        if outcomes:
            which = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
            return f"{capability}: of {passed + outcomes.total()} cases {which}"
        if not passed and capability != "kodak":
            return f"{capability}: no case was run"
    return ""


def table(run: Run) -> str:
    """All levels as a Markdown table: what each says, and whether the run gives it or why not."""
    rows = [
        f"| {level.name} | {level.text} | {'yes' if not (why := missing(level, run)) else f'no: {why}'} |"
        for level in LEVELS
    ]
    return "\n".join([f"| level | meaning | {run.subject} |", "|---|---|---|", *rows, ""])


def claimed(run: Run) -> Sequence[Level]:
    """The levels that a run gives, the highest last."""
    return [level for level in LEVELS if not missing(level, run)]
