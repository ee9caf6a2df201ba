"""The levels that an implementation may claim, from the report of a run, and a badge for a README.

A level asks that every case of its capabilities passed, in a run of tier `full` that left none out. Cases of the
tier `kodak` may be missing, since not everybody has the pictures; where they were run they must have passed too.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mbtref.suite.cases import Outcome
from mbtref.suite.reports.markup import markdown, xml
from mbtref.suite.reports.report import Report
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


def missing(level: Level, run: Report) -> str:
    """Why a run doesn't give a level; empty if it does."""
    if not (run.closing and run.closing["whole"]):
        return "not all cases were run"
    if TIERS.index(run.opening["tier"]) < TIERS.index(LOWEST_TIER):
        return f"needs --tier {LOWEST_TIER}"
    for capability in level.capabilities:
        cases = [(case["tier"], case["outcome"]) for case in run.cases if case["capability"] == capability]
        outcomes = Counter(outcome for tier, outcome in cases if (tier, outcome) != (TIERS[-1], Outcome.NOT_RUN))
        passed = outcomes.pop(Outcome.PASSED, 0)
        if outcomes:
            which = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
            return f"{capability}: of {passed + outcomes.total()} cases {which}"
        if not passed and capability != "kodak":
            return f"{capability}: no case was run"
    return ""


def claimed(run: Report) -> Sequence[Level]:
    """The levels that a run gives, the highest last."""
    return [level for level in LEVELS if not missing(level, run)]


def table(run: Report) -> str:
    """All levels as a Markdown table: what each says, and whether the run gives it or why not."""
    rows = [
        f"| {level.name} | {level.text} | {'yes' if not (why := missing(level, run)) else f'no: {why}'} |"
        for level in LEVELS
    ]
    return "\n".join([f"| level | meaning | {markdown(run.subject)} |", "|---|---|---|", *rows, ""])


LABEL = "mbt2018"
NONE = "no level yet"
GREEN, GREY, DARK = "#2e7d32", "#6b7178", "#3d434a"
"""White text on each of them has a contrast of more than 4.5."""
ADVANCE, MARGIN, HEIGHT = 6.6, 8, 20
"""Pixels: the mean width of a letter of size 11, the margin at each side, and the badge's height."""


def badge(run: Report) -> str:
    """The highest level as an SVG file, readable without its font and by a screen reader."""
    levels = claimed(run)
    right = levels[-1].name if levels else NONE
    left_width, right_width = (ADVANCE * len(words) + 2 * MARGIN for words in (LABEL, right))
    title = xml(f"{LABEL}: {right}, {run.subject}")
    size = f'width="{left_width + right_width:g}" height="{HEIGHT}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">
<title>{title}</title>
<clipPath id="round"><rect {size} rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left_width:g}" height="{HEIGHT}" fill="{DARK}"/>
<rect x="{left_width:g}" width="{right_width:g}" height="{HEIGHT}" fill="{GREEN if levels else GREY}"/>
</g>
<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
{_words(LABEL, MARGIN)}
{_words(right, left_width + MARGIN)}
</g>
</svg>
"""


def _words(words: str, x: float) -> str:
    """A text that has the same width in every font."""
    return f'<text x="{x:g}" y="14" textLength="{ADVANCE * len(words):g}">{xml(words)}</text>'
