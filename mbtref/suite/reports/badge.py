"""A badge for a README: the highest level that an implementation may claim."""

import html

from mbtref.suite.reports.levels import Run, claimed

LABEL = "mbt2018"
NONE = "no level yet"
GREEN, GREY, DARK = "#2e7d32", "#6b7178", "#3d434a"
"""White text on each of them has a contrast of more than 4.5."""
ADVANCE, MARGIN, HEIGHT = 6.6, 8, 20
"""Pixels: the mean width of a letter of size 11, the margin at each side, and the badge's height."""


def text(run: Run) -> str:
    """What the badge says."""
    levels = claimed(run)
    return levels[-1].name if levels else NONE


def svg(run: Run) -> str:
    """The badge as an SVG file, readable without its font and by a screen reader."""
    right = text(run)
    colour = GREY if right == NONE else GREEN
    left_width, right_width = (ADVANCE * len(words) + 2 * MARGIN for words in (LABEL, right))
    width = left_width + right_width
    title = html.escape(f"{LABEL}: {right}, {run.subject}")
    size = f'width="{width:g}" height="{HEIGHT}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">
<title>{title}</title>
<clipPath id="round"><rect {size} rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left_width:g}" height="{HEIGHT}" fill="{DARK}"/>
<rect x="{left_width:g}" width="{right_width:g}" height="{HEIGHT}" fill="{colour}"/>
</g>
<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
{_words(LABEL, MARGIN)}
{_words(right, left_width + MARGIN)}
</g>
</svg>
"""


def _words(words: str, x: float) -> str:
    """A text that has the same width in every font."""
    return f'<text x="{x:g}" y="14" textLength="{ADVANCE * len(words):g}">{html.escape(words)}</text>'
