"""A table of implementations against requirements, made from several reports: Markdown and HTML."""

import html
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mbtref.suite.cases import Outcome
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.reports import report

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


class Column(NamedTuple):
    """One implementation."""

    title: str
    """Its name and version, and whether its report was cut off."""
    counts: Mapping[Row, Mapping[str, int]]
    """How many cases had each outcome."""


class Matrix(NamedTuple):
    """Reports side by side."""

    rows: Sequence[Row]
    columns: Sequence[Column]


def matrix(paths: Sequence[Path]) -> Matrix:
    """Reads reports. Raises OSError, or ValueError if one isn't a report."""
    columns = []
    for path in paths:
        records, complete = report.read(path)
        subject: Any = records[0]["subject"]
        counts: dict[Row, Counter[str]] = defaultdict(Counter)
        for record in records:
            if record["record"] == "case":
                stage = CAPABILITIES.index(str(record["capability"]))
                row = Row(stage, str(record["requirement"]), str(record["text"]))
                counts[row][str(record["outcome"])] += 1
        cut = "" if complete else " (cut off)"
        columns.append(Column(f"{subject['name']} {subject['version']}{cut}", counts))
    return Matrix(sorted(set().union(*(column.counts for column in columns))), columns)


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
    lines = [
        "| stage | requirement | " + " | ".join(column.title for column in shown.columns) + " |",
        "|---" * (len(shown.columns) + 2) + "|",
    ]
    for row in shown.rows:
        cells = [cell(column.counts.get(row, {}))[1] for column in shown.columns]
        lines.append(f"| {CAPABILITIES[row.stage]} | {row.id} | " + " | ".join(cells) + " |")
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
    head = "".join(f"<th>{html.escape(column.title)}</th>" for column in shown.columns)
    body = []
    for stage, rows in itertools.groupby(shown.rows, lambda row: row.stage):
        body.append(f'<tr class="stage"><th colspan="{len(shown.columns) + 1}">{CAPABILITIES[stage]}</th></tr>')
        for row in rows:
            cells = [cell(column.counts.get(row, {})) for column in shown.columns]
            inside = "".join(f'<td class="{outcome}">{html.escape(text)}</td>' for outcome, text in cells)
            body.append(f"<tr><th>{row.id}<small>{html.escape(row.text)}</small></th>{inside}</tr>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>mbt2018 conformance</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>mbt2018 conformance</h1><p>{LEGEND} § is a section of the specification.</p>"
        f'<div class="wide"><table><tr><td></td>{head}</tr>{"".join(body)}</table></div></body></html>\n'
    )
