"""The levels that an implementation may claim, from the report of a run, and a badge for a README.

A level asks that every case of its capabilities passed, in a run of tier `full` or `kodak` that left none out. A
case that wasn't run isn't a pass, so the levels of codecs need the Kodak pictures. The tier `full` asks each of
them at one model.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mbtref.suite.cases import Outcome
from mbtref.suite.reports.markup import markdown, xml
from mbtref.suite.reports.report import Record, Report
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
    (*EXACT_DECODER.capabilities, "encode", "roundtrip", "kodak", "portable"),
    "It also writes .mbt streams, which everybody else decodes.",
)
LEVELS = (TRANSFORMS, FLOAT_CODEC, PORTABLE, EXACT_DECODER, EXACT_CODEC)
"""The highest last."""


def missing(level: Level, run: Report) -> str:
    """Why a run doesn't give a level; empty if it does."""
    return against(level, run) or not_run(level, run)


def against(level: Level, run: Report) -> str:
    """What in a run speaks against a level, whatever else could be run; empty if nothing does."""
    if not (run.closing and run.closing["whole"]):
        return "not all cases were run"
    if TIERS.index(run.opening["tier"]) < TIERS.index(LOWEST_TIER):
        return f"needs --tier {LOWEST_TIER}"
    for capability in level.capabilities:
        outcomes = [case["outcome"] for case in cases_of(capability, run)]
        if not outcomes:
            return f"{capability}: no case was run"
        if bad := Counter(outcome for outcome in outcomes if outcome not in (Outcome.PASSED, Outcome.NOT_RUN)):
            which = ", ".join(f"{n} {outcome}" for outcome, n in bad.most_common())
            return f"{capability}: of {len(outcomes)} cases {which}"
    return ""


def not_run(level: Level, run: Report) -> str:
    """The cases that a level needs and that weren't run; empty if there are none."""
    for capability in level.capabilities:
        cases = cases_of(capability, run)
        if left := sum(case["outcome"] == Outcome.NOT_RUN for case in cases):
            return f"{capability}: of {len(cases)} cases {left} {Outcome.NOT_RUN}"
    return ""


def cases_of(capability: str, run: Report) -> Sequence[Record]:
    """The cases of a capability."""
    return [case for case in run.cases if case["capability"] == capability]


def claimed(run: Report) -> Sequence[Level]:
    """The levels that a run gives, the highest last."""
    return [level for level in LEVELS if not missing(level, run)]


def unproven(run: Report) -> Mapping[str, Sequence[Level]]:
    """The levels that only lack cases that weren't run, by these cases."""
    found: dict[str, list[Level]] = defaultdict(list)
    for level in LEVELS:
        if not against(level, run) and (reason := not_run(level, run)):
            found[reason].append(level)
    return found


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
