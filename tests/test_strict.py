"""Files that others may have written or cut: refused in one line, or read right; their text is shown as text."""

import copy
import dataclasses
import html
import json
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mbtref.suite.reports import levels, matrix
from mbtref.suite.reports.markup import plain
from mbtref.suite.reports.report import Report, line, read
from mbtref.workbench import records, results, tables
from tests.support import RECORD, ROOT, Terminal, child, picture, write_png

EVALUATION: Any = records.as_json([RECORD, dataclasses.replace(RECORD, model="lite-q4", psnr=31)])
REPORT: Any = [
    {
        "record": "opening", "format": 1, "tier": "full", "machine": {}, "versions": {"mbtref": "0.1.0"},
        "subject": {"given": "s", "name": "s", "version": "1", "capabilities": ["rans"]},
    },
    *(
        {
            "record": "case", "requirement": "RANS-1", "text": "what", "case": name, "capability": "rans",
            "tier": "smoke", "outcome": "passed", "seconds": 0.5, "message": "",
        }
        for name in ("rare", "plain", "cut")
    ),
    {"record": "closing", "status": 0, "whole": True, "counts": {"passed": 3}},
]  # fmt: skip
ABSENT = object()
"""In place of a value: there is none."""
OTHER_JSON = {
    "empty": b"", "text": b"rates: many", "not UTF-8": b"\xff\xfe{}", "deep": b"[" * 100_000,
    "deep and whole": b"[" * 100_000 + b"]" * 100_000, "NaN": b"[NaN]", "infinite": b"[1e999]",
    "too many digits": b"1" * 5000, "null": b"null", "a list": b"[]", "a table": b"{}", "a number": b"3",
    "lists": b"[[]]", "a text": b'["opening"]', "a name twice": b'{"records": [], "means": [], "means": []}',
    "no list": b'{"records": {}, "means": {}}', "no tables": b'{"records": [3], "means": []}',
}  # fmt: skip
WRONG_RECORDS: Sequence[tuple[str, object]] = (
    ("psnr", ABSENT), ("more", 1), ("psnr", "x"), ("bpp_bitstream", None), ("bpp_bitstream", -1),
    ("bpp_theoretical", 10**400), ("psnr_bitstream", [30.0]), ("model", {}), ("pixels", None), ("height", 200.5),
    ("width", True), ("symbols_equal", 1),
)  # fmt: skip
"""Fields, with values that they can't have."""
WRONG_REPORTS: Sequence[tuple[int, str, object]] = (
    (0, "format", 2), (0, "format", True), (0, "tier", "huge"), (0, "tier", ABSENT), (0, "subject", "name"),
    (0, "subject", {"name": "s"}), (0, "machine", {"system": 3}), (0, "record", "case"), (2, "record", "opening"),
    (2, "record", "closing"), (2, "outcome", "great"), (2, "outcome", ["passed"]), (2, "outcome", ABSENT),
    (2, "requirement", "<b>"), (2, "capability", "flying"), (2, "seconds", -1), (2, "case", "rare"),
    (2, "more", 1), (4, "whole", 1), (4, "counts", {"passed": "all"}),
)  # fmt: skip
"""The same, after the place of the record."""


def with_change(content: Any, table: Any, name: str, value: object) -> str:
    """Content as JSON, after one of its tables was given another value, or none."""
    table[name] = value
    if value is ABSENT:
        del table[name]
    return json.dumps(content)


def refused(terminal: Terminal, folder: Path, data: bytes | str, words: str, evaluation: bool) -> None:
    """Asserts that every command that reads such a file says so in a line, and changes and makes no file."""
    data = data.encode() if isinstance(data, str) else data
    file, good, image = (folder / name for name in ("f.json", "good.json", "a.png"))
    file.write_bytes(data)
    good.write_text(json.dumps(EVALUATION))
    write_png(image, picture(64, 64))
    of_report = [("badge", file, "-o", folder / "b.svg"), ("matrix", file, "--html", folder / "m.html")]
    resumed = ("eval", image, "--model", "lite-q3", "--json", file, "--resume")
    for command in [("compare", file, good), ("compare", good, file), resumed] if evaluation else of_report:
        terminal.fails(1, words, *command)
    assert file.read_bytes() == data, "a file that can't be read was written over"
    assert {path.name for path in folder.iterdir()} == {"f.json", "good.json", "a.png"}, "a file was made"


@pytest.mark.parametrize("evaluation", [True, False])
@pytest.mark.parametrize("data", OTHER_JSON.values(), ids=OTHER_JSON)
def test_other_json(data: bytes, evaluation: bool, tmp_path: Path, terminal: Terminal) -> None:
    """What isn't JSON, or is other JSON, is refused in a line that says what kind of file is due."""
    kind = "not a file of 'mbtref eval --json' (" if evaluation else "not a conformance report of format 1 ("
    refused(terminal, tmp_path, data, kind, evaluation)


@pytest.mark.parametrize("rows", ["records", "means"])
@pytest.mark.parametrize(("name", "value"), WRONG_RECORDS)
def test_wrong_records(rows: str, name: str, value: object, tmp_path: Path, terminal: Terminal) -> None:
    """Every field of an evaluation is of its type and within its bounds, and in a record none is missing."""
    if value is ABSENT:
        rows = "records"
    content = copy.deepcopy(EVALUATION)
    refused(terminal, tmp_path, with_change(content, content[rows][0], name, value), f"({rows}: item 1: ", True)


@pytest.mark.parametrize(("at", "name", "value"), WRONG_REPORTS)
def test_wrong_reports(at: int, name: str, value: object, tmp_path: Path, terminal: Terminal) -> None:
    """Every record of a report is complete, known and at its place, and no case is there twice."""
    content = copy.deepcopy(REPORT)
    words = "(records 2 and 3 are" if name == "case" else f"(record {at + 1}: "
    refused(terminal, tmp_path, with_change(content, content[at], name, value), words, False)


def test_right_files_are_read(tmp_path: Path) -> None:
    """What the project writes is read as it was; an older evaluation, and a report on one line, are read too."""
    file, older = tmp_path / "f.json", copy.deepcopy(EVALUATION)
    for row in (*older["records"], *older["means"]):
        for name in {"msssim", "msssim_bitstream", "machine"} & row.keys():
            del row[name]
    for content, due in ((EVALUATION, RECORD), (older, dataclasses.replace(RECORD, msssim=None))):
        file.write_text(json.dumps(content))
        assert results.read(file)[0] == due, f"another record than {due}"
    for text in (json.dumps(REPORT), "".join(map(line, REPORT))):
        file.write_text(text)
        assert read(file) == Report(REPORT[0], REPORT[1:-1], REPORT[-1]), "another report"


def test_a_report_cut_anywhere(tmp_path: Path) -> None:
    """A report cut off anywhere has the cases that were written, and isn't complete; damage isn't a cut."""
    file, text = tmp_path / "f.json", "".join(map(line, REPORT))
    for length in range(0, text.rindex("]"), 3):
        file.write_text(text[:length])
        if n := text[:length].count(",\n"):
            assert read(file) == Report(REPORT[0], REPORT[1:n], None), f"another report after {length} bytes"
        else:
            with pytest.raises(ValueError, match="not a conformance report"):
                read(file)
    file.write_text(text.replace('{"record": "case"', '{"record": ca', 1))
    with pytest.raises(ValueError, match="not a conformance report"):
        read(file)


TEXTS = (
    "<script>alert(1)</script>", "a | b\\| c", "`code` *b* __c__ ~~d~~ $e$", "[a](https://b.c) ![d](www.e.f) @g",
    "two\nlines\r\n| a |", "&amp; &lt; \"quoted\" 'text'", "\x1b[31mred\x1b]8;;http://a\x07",
    "\u202eright\u2066\u200f", "\0\x7f\x85\u2028\ufffe", "not UTF-8: \udcff", "with_underscores", "", "Größe 図 🖼",
)  # fmt: skip
OF_HTML, OF_MARKDOWN = "<>\"'", "<>|`*[]$@"


def without_markup(cell: str, marks: str) -> str:
    """The text of a cell of a table. Asserts that it has no markup. marks: the characters that make it."""
    assert not set(marks) & set(cell), f"markup: {cell}"
    return html.unescape(cell)


@pytest.mark.parametrize("name", TEXTS, ids=range(len(TEXTS)))
def test_the_name_of_a_subject(name: str, tmp_path: Path, terminal: Terminal) -> None:
    """A subject's name is a text in every table, page and badge, whatever it holds, and one line in a terminal."""
    opening = {**REPORT[0], "subject": {**REPORT[0]["subject"], "name": name}}
    report, svg, page, document = (tmp_path / name for name in ("r.json", "b.svg", "m.html", "m.md"))
    report.write_text(json.dumps([opening, *REPORT[1:]]))
    shown = [
        terminal.prints("badge", report, "-o", svg),
        terminal.prints("matrix", report, "--html", page, "--markdown", document),
        document.read_text("utf-8").partition("edited.*\n\n")[2],
    ]
    text = f"{plain(name)} 1"
    assert text.isprintable(), f"{text!r} does something in a terminal"
    for table in shown:
        head = table.partition("\n")[0].split(" | ")[2].removesuffix(" |")
        assert without_markup(head, OF_MARKDOWN) == text, f"not the name: {head}"
    described = ET.fromstring(svg.read_text("utf-8")).get("aria-label")
    assert described == f"mbt2018: {levels.NONE}, {text}", f"the badge is described as {described}"
    (head,) = re.findall("<td></td><th>(.*?)</th>", page.read_text("utf-8"))
    assert without_markup(head, OF_HTML) == text, f"not the name: {head}"


def test_a_run_shows_the_name_of_a_subject(tmp_path: Path) -> None:
    """The end of a run names the subject in a line without control characters."""
    (tmp_path / "port.py").write_text(
        "from mbtref.suite.subjects.protocol import Methods\n"
        "class Subject(Methods):\n    name, version, capabilities = 'a\\x1b[31mb', '1', ()\n"
    )
    options = shlex.split("--subject port:Subject --in-process --tier smoke -k RANS-1 -p no:cacheprovider")
    done = child("-m", "pytest", ROOT / "conformance", *options, folder=tmp_path)
    assert r"cases: a\x1b[31mb doesn't declare rans" in done.stdout, done.stdout


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_requirements_and_models(text: str) -> None:
    """A requirement, its text and an outcome on a page, and a model in a table, are texts too."""
    shown = matrix.Matrix(["s 1"], {matrix.Row(0, text, text): [(text, text)]})
    row, model = matrix.markdown(shown).splitlines()[2], dataclasses.replace(RECORD, model=text)
    cells = [*row.removesuffix(" |").split(" | ")[1:], list(tables.table([model]))[3][2:].split(" | ")[0].strip()]
    cell = '<tr><th>(.*?)<small>(.*?)</small></th><td class="(.*?)">(.*?)</td></tr></table>'
    for marks, found in ((OF_MARKDOWN, cells), (OF_HTML, re.findall(cell, matrix.page(shown))[0])):
        texts = [without_markup(each, marks) for each in found]
        assert set(texts) == {plain(text)}, f"not the text: {texts}"
