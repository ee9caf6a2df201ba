"""A table of implementations against requirements, made of several reports: Markdown and HTML."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from conformance import report
from conformance.cases import Outcome

MARKS: Mapping[str, str] = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.UNSUPPORTED: "–",
    Outcome.NOT_RUN: "not run",
    Outcome.ERRORED: "error",
    Outcome.CRASHED: "crash",
    Outcome.TIMED_OUT: "time-out",
    Outcome.PROTOCOL_FAULT: "protocol",
    Outcome.KNOWN_FAILURE: "known",
}
"""How a cell shows an outcome."""
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
"""A requirement with several cases shows the first of these that occurs."""


class Column(NamedTuple):
    """One implementation."""

    title: str
    complete: bool
    """Whether its report came to its end."""
    counts: Mapping[str, Mapping[str, int]]
    """How many cases had each outcome, by requirement."""


def column(path: Path) -> Column:
    """Reads one report. Raises OSError, or ValueError if it isn't one."""
    records, complete = report.read(path)
    subject = records[0]["subject"]
    assert isinstance(subject, dict)
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        if record["record"] == "case":
            own = counts.setdefault(str(record["requirement"]), {})
            own[str(record["outcome"])] = own.get(str(record["outcome"]), 0) + 1
    return Column(f"{subject['name']} {subject['version']}", complete, counts)


def cell(counts: Mapping[str, int]) -> tuple[str, str]:
    """The worst outcome of a requirement's cases, and its text; ("absent", "") if there is none."""
    worst = next((outcome for outcome in WORST_FIRST if counts.get(outcome)), None)
    if worst is None:
        return "absent", ""
    total = sum(counts.values())
    return worst, MARKS[worst] if counts[worst] == total else f"{MARKS[worst]} {counts[worst]} of {total}"


def rows(columns: Sequence[Column]) -> list[str]:
    """Every requirement of any column, sorted."""
    return sorted({requirement for c in columns for requirement in c.counts})


def heading(c: Column) -> str:
    """A column's title; a report that was cut off says so."""
    return c.title if c.complete else f"{c.title} (cut off)"


def markdown(columns: Sequence[Column]) -> str:
    """The matrix as a Markdown table with its legend."""
    lines = [
        "| requirement | " + " | ".join(heading(c) for c in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for requirement in rows(columns):
        cells = [cell(c.counts.get(requirement, {}))[1] for c in columns]
        lines.append(f"| {requirement} | " + " | ".join(cells) + " |")
    legend = ", ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items())
    return "\n".join([*lines, "", f"{legend}. A cell shows the worst outcome of a requirement's cases.", ""])


STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #8886; padding: .3rem .7rem; text-align: center; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
.passed { background: #2a93; } .failed, .errored, .crashed, .timed-out, .protocol-fault { background: #d333; }
.known-failure { background: #e903; } .unsupported, .not-run, .absent { color: GrayText; }
"""


def page(columns: Sequence[Column]) -> str:
    """The matrix as one self-contained HTML page."""
    head = "".join(f"<th>{html.escape(heading(c))}</th>" for c in columns)
    body = []
    for requirement in rows(columns):
        cells = [cell(c.counts.get(requirement, {})) for c in columns]
        inside = "".join(f'<td class="{outcome}">{html.escape(text)}</td>' for outcome, text in cells)
        body.append(f"<tr><td>{html.escape(requirement)}</td>{inside}</tr>")
    legend = ", ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>mbt2018 conformance</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<h1>mbt2018 conformance</h1><div class="wide"><table><tr><th>requirement</th>{head}</tr>'
        f"{''.join(body)}</table></div><p>{legend}. A cell shows the worst outcome of a requirement's cases.</p>"
        "</body></html>\n"
    )
