"""A table of implementations against requirements, made from several reports: Markdown and HTML."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mbtref.suite.cases import Outcome
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.reports import markup, report
from mbtref.suite.reports.markup import xml

MARKS: Mapping[str, str] = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.UNSUPPORTED: "–"}
"""How a cell shows these outcomes. It shows the others by name."""
LEGEND = (
    "✓ passed, ✗ failed, – not supported, blank not among the cases run. A cell shows the worst verdict on the "
    "cases of its row, and how many had it if not all."
)
WORST_FIRST = (
    Outcome.CRASHED,
    Outcome.TIMED_OUT,
    Outcome.PROTOCOL_FAULT,
    Outcome.ERRORED,
    Outcome.FAILED,
    Outcome.KNOWN_FAILURE,
    Outcome.PASSED,
    Outcome.NOT_RUN,
    Outcome.UNSUPPORTED,
)
"""A row of several cases shows the first of these that occurs."""


class Row(NamedTuple):
    """One requirement of one capability. A requirement of `EACH` has a row for every one. Rows sort by these."""

    stage: int
    """The place of the capability in `operations.CAPABILITIES`, whose order is the path of a picture."""
    id: str
    text: str


class Matrix(NamedTuple):
    """Reports side by side."""

    titles: Sequence[str]
    """Name and version of each implementation, and whether its report was cut off."""
    rows: Mapping[Row, Sequence[tuple[str, str]]]
    """The cells of each row, in the order of the titles: the worst outcome and its text."""


def matrix(paths: Sequence[Path]) -> Matrix:
    """Reads reports. Raises OSError, or ValueError if one isn't a report."""
    reports = [report.read(path) for path in paths]
    rows: dict[Row, list[Counter[str]]] = defaultdict(lambda: [Counter() for _ in reports])
    for place, each in enumerate(reports):
        for case in each.cases:
            row = Row(CAPABILITIES.index(case["capability"]), case["requirement"], case["text"])
            rows[row][place][case["outcome"]] += 1
    titles = [each.subject + ("" if each.closing else " (cut off)") for each in reports]
    return Matrix(titles, {row: [cell(counts) for counts in rows[row]] for row in sorted(rows)})


def cell(counts: Mapping[str, int]) -> tuple[str, str]:
    """The worst outcome of a row's cases, and its text; ("absent", "") if there is none."""
    worst = next((outcome for outcome in WORST_FIRST if counts.get(outcome)), None)
    if worst is None:
        return "absent", ""
    total = sum(counts.values())
    mark = MARKS.get(worst, worst)
    return worst, mark if counts[worst] == total else f"{mark} {counts[worst]} of {total}"


def markdown(shown: Matrix) -> str:
    """The matrix as a Markdown table with its legend."""
    titles = " | ".join(map(markup.markdown, shown.titles))
    lines = [f"| stage | requirement | {titles} |", "|---" * (len(shown.titles) + 2) + "|"]
    for row, cells in shown.rows.items():
        texts = (CAPABILITIES[row.stage], row.id, *(text for _, text in cells))
        lines.append(f"| {' | '.join(map(markup.markdown, texts))} |")
    return "\n".join([*lines, "", LEGEND, ""])


def document(shown: Matrix) -> str:
    """The matrix as a page of documentation."""
    return f"# Implementations side by side\n\n*Made by `make matrix`; not to be edited.*\n\n{markdown(shown)}"


STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .35rem .7rem; text-align: center; white-space: nowrap; }
th:first-child { text-align: left; }
tr:first-child th { vertical-align: bottom; white-space: normal; }
.stage th { font-variant: small-caps; font-size: 1.1rem; padding-top: 1.2rem; border-bottom: 2px solid #8888; }
small { display: block; font-weight: normal; opacity: .7; white-space: normal; min-width: 14rem; }
.passed { background: #2a93; } .failed, .errored, .crashed, .timed-out, .protocol-fault { background: #d333; }
.known-failure { background: #e903; } .unsupported, .not-run, .absent { color: GrayText; }
"""


def page(shown: Matrix) -> str:
    """The matrix as one self-contained HTML page."""
    heads = "".join(f"<th>{xml(title)}</th>" for title in shown.titles)
    body = []
    for stage, rows in itertools.groupby(shown.rows, lambda row: row.stage):
        body.append(f'<tr class="stage"><th colspan="{len(shown.titles) + 1}">{CAPABILITIES[stage]}</th></tr>')
        for row in rows:
            head = f"<th>{xml(row.id)}<small>{xml(row.text)}</small></th>"
            cells = (f'<td class="{xml(outcome)}">{xml(text)}</td>' for outcome, text in shown.rows[row])
            body.append(f"<tr>{head}{''.join(cells)}</tr>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>mbt2018 conformance</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>mbt2018 conformance</h1><p>{LEGEND} § is a section of the specification.</p>"
        f'<div class="wide"><table><tr><td></td>{heads}</tr>{"".join(body)}</table></div></body></html>\n'
    )
