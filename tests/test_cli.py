"""The command line: one line and the right status for every mistake, whole files or none."""

import csv
import hashlib
import html
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL.Image
import pytest
import torch

import mbtref
from mbtref.modelfile import SERIES, embedded
from mbtref.suite import kodak, requirements
from mbtref.suite.folders import HOME_VARIABLE
from mbtref.suite.reports import report
from mbtref.workbench import cli, picturefiles, tasks
from mbtref.workbench.bars import Bar
from mbtref.workbench.commands import Command
from tests.miniatures import Nothing
from tests.support import RECORD, ROOT, Terminal, output_of, picture, records, run, serving, write_png

T = TypeVar("T")
OPENING = report.line(report.opening(Nothing(), "nothing", "smoke", None))
"""A report of the suite that holds nothing."""


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A picture of 70×40 pixels."""
    path = tmp_path / "picture.png"
    write_png(path, picture(40, 70))
    return path


@pytest.fixture
def stream(original: Path, tmp_path: Path) -> Path:
    """Its stream."""
    path = tmp_path / "a.mbt"
    path.write_bytes(mbtref.encode(mbtref.load("lite-q4"), picturefiles.read(original)))
    return path


def test_encode_inspect_decode(original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """What encode writes, inspect describes and decode turns into the picture that the library gives."""
    stream, out = tmp_path / "a.mbt", tmp_path / "a.png"
    terminal.prints("encode", original, "-o", stream, "--model", "lite-q3")
    shown = terminal.prints("inspect", stream)
    for fact in ("lite-q3", "70×40", f"{stream.stat().st_size} bytes", "header     20 bytes"):
        assert fact in shown, f"inspect doesn't show {fact!r}:\n{shown}"
    lines = [line.split() for line in shown.splitlines()]
    sizes = {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
    assert sizes["header"] + sizes["z"] + sizes["y"] == sizes["file"], f"the parts don't add up: {sizes}"
    terminal.prints("decode", stream, "-o", out)
    expected = mbtref.decode(mbtref.load("lite-q3"), stream.read_bytes())
    assert np.array_equal(picturefiles.read(out), expected), "the PNG isn't the picture that the library decodes"


def test_a_dash_is_standard_input_and_output(
    original: Path, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:  # fmt: skip
    """Encode, inspect and decode work in a pipe: `-` gives bytes alone, and the line about them is on stderr."""

    def pipe(words: str, data: bytes) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = run(*words.split())
        out, errors = capsysbinary.readouterr()
        return status, out, errors.decode()

    monkeypatch.chdir(tmp_path)
    data = stream.read_bytes()
    command, found = [sys.executable, "-m", "mbtref", "encode", "-", "-o", "-"], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=original.read_bytes(), env=os.environ | found, capture_output=True)
    assert (done.returncode, done.stdout) == (0, data), f"standard output isn't the stream: {done}"
    assert "70×40" in done.stderr.decode(), f"the line about the stream isn't on stderr: {done.stderr!r}"
    _, out, _ = pipe("inspect -", data)
    assert "70×40 pixels" in out.decode(), f"inspect shows {out!r}"
    status, out, errors = pipe("decode - -o -", data)
    expected = picturefiles.png(mbtref.decode(mbtref.load("lite-q4"), data))
    assert (status, out) == (0, expected), f"standard output isn't the PNG: {out[:40]!r}, {errors}"
    # `./-` is a file of this name, as anywhere
    assert pipe("encode - -o ./-", original.read_bytes())[1].startswith(b"-: "), "no line about a stream in a file"
    assert (tmp_path / "-").read_bytes() == data, "another stream in a file"
    assert pipe("decode ./- -o -", b"")[1] == expected, "./- isn't read as a file"
    status, out, errors = pipe("decode - -o -", data[:-4])
    assert (status, out) == (1, b""), "a damaged stream leaves standard output empty"
    assert errors.startswith("mbtref: <stdin>: checksum-mismatch"), errors
    assert sorted(os.listdir()) == ["-", "a.mbt", "picture.png"], "something was written"


def test_inspect_names_its_files(stream: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Of several streams each is named; a bad one is a line, the others are shown, and the status is 1."""
    bad, last = (tmp_path / name for name in ("b.mbt", "c.mbt"))
    bad.write_bytes(stream.read_bytes()[:-4])
    shutil.copy(stream, last)
    out, errors = terminal.ends(1, "inspect", stream, bad, last)
    assert errors.startswith(f"mbtref: {bad}: checksum-mismatch"), f"b.mbt isn't named: {errors}"
    named = [line.split()[1] for line in out.splitlines() if line.startswith("stream ")]
    assert named == [str(stream), str(last)], f"named are {named}"


def test_progress(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """One picture shows how far it is in every loop that grows with it; of many, the files are counted instead."""
    seen: list[str] = []

    def watch(steps: Sequence[T], name: str) -> Sequence[T]:
        seen.append(name)
        return steps

    monkeypatch.setattr(tasks, "bar", watch)
    terminal.prints("encode", original, "-o", tmp_path / "a.mbt")
    terminal.prints("decode", tmp_path / "a.mbt", "-o", tmp_path / "a.png")
    assert seen == ["g_a", "latents", "latents", "g_s"], f"the loops that are shown: {seen}"
    terminal.prints("encode", original, "-o", f"{tmp_path}/many/")
    assert len(seen) == 4, "two bars at a time"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_in_a_log(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has a line for each twentieth of the work, or picture of a few, and none for one; a terminal a bar."""
    for total, due in ((1, []), (3, [1, 2, 3]), (100, list(range(5, 101, 5))), (31, None)):
        shown = io.StringIO()
        monkeypatch.setattr(shown, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stderr", shown)
        with Bar(total, "pictures") as bar:
            for _ in range(total):
                bar.count("lite-q4")
        lines = re.findall(
            r"^mbtref: (\d+) of (\d+) pictures after \d\d:\d\d, lite-q4$", shown.getvalue(), re.MULTILINE
        )
        if terminal:
            assert not lines, f"lines beside a bar: {lines}"
            continue
        assert not lines or lines[-1] == (str(total),) * 2, f"the last line of {total} is {lines[-1]}"
        assert len(lines) == len(shown.getvalue().splitlines()) <= 20, f"other lines too: {shown.getvalue()}"
        assert due in (None, [int(done) for done, _ in lines]), f"lines at {lines}, due at {due}"


LINKS = {
    "loop.mbt": "loop.json",
    "loop.json": "loop.mbt",
    "dangling.mbt": "missing/a.mbt",
    "link": "picture",
    "streams/text.mbt": "../text.png",
    "pictures/a.png": "../hard.json",
    "pictures/b.png": "../index.html",
}
"""Symbolic links in the folder `full`."""
WRONG_USE = [
    "nonsense",
    "kodak",
    "encode missing.png -o b.mbt",
    "encode picture.png -o missing/b.mbt",
    "encode picture.png -o loop.mbt",
    "encode picture.png -o dangling.mbt",
    "encode picture.png -o fifo.mbt",
    "encode picture.png same -o loop.mbt",
    "encode picture.png -o ''",
    "encode '' -o out",
    "encode fifo.mbt -o out",
    "encode loop.mbt -o out",
    "inspect /dev/zero",
    "inspect same",
    "import /dev/zero -o a.safetensors",
    "matrix fifo.mbt",
    "compare fifo.mbt jpeg",
    "export lite-q9 -o out",
    "encode picture.png -o b.gif",
    "encode - picture.png -o out",
    "encode - -o .",
    "encode . -o -",
    "encode picture.png picture.png -o .",
    "encode . -o picture.png",
    "encode empty -o out",
    "encode streams -o out",
    "encode picture.png -o b.mbt --jobs 0",
    "encode picture.png -o b.mbt --model lite-q4 --weights picture.png",
    "encode picture.png -o b.mbt --model zoo-q4 --weights missing.pth",
    "encode picture.png -o b.mbt --model lite-q9",
    "encode picture.png -o b.mbt --model fifo.mbt",
    "encode picture.png -o b.mbt --model zoo-q4 --weights fifo.mbt",
    "encode picture.png -o b.mbt --model picture.png",
    "encode picture.png -o b.mbt --device mps",
    "decode picture.png -o a.mbt",
    "decode same -o out",
    "eval picture.png --model lite-q3,",
    "eval picture.png --model zoo-q4,zoo-q3 --weights picture.png",
    "eval picture.png --model lite-q3 --resume",
    "eval picture.png --model lite-q3 --json loop.json",
    "eval picture.png --model lite-q3 --csv figures.json",
    "eval picture.png --model lite-q3 --csv figures.csv --resume",
    "eval picture.png --model lite-q3 --json old.json --resume --force",
    "eval picture.png --model lite-q3 --jobs 2 --cluster tcp://127.0.0.1:9",
    "report picture.png --model lite-q3 -o picture.png",
    "report picture.png --model lite-q3 -o picture.png/deeper",
    "report picture.png --model lite-q3 -o ''",
    "report picture.png --model lite-q3 -o . --curves jpeg,png",
    "report picture.png --model lite-q3 -o . --limit many",
    "zoo fetch zoo-q4,zoo-q9",
]
"""Commands in the folder `full`."""
OVERWRITING = [
    "encode picture -opicture",
    "encode picture -o=streams/../picture",
    "encode picture -o link",
    "encode link -o hard",
    "encode picture --mod=m,a.json -om,a.json",
    "encode picture --model zoo-q4 --weights m,a.json -o m,a.json",
    "decode picture.png -o .",
    "decode streams -o .",
    "eval hard.json --model lite-q3 --jso=hard.json --force",
    "eval hard.csv --model lite-q3 --json new.json --csv hard.csv --force",
    "eval =.json --model lite-q3 --json==.json --force",
    "eval pictures --model lite-q3 --json hard.json --force",
    "eval picture --model lite-q3,m,a.json,lite-q4 --json=m,a.json --force",
    "report index.html --model lite-q3 -o . --force",
    "report pictures --model lite-q3 -o . --force",
    "matrix r.html r.md --mark=r.md",
    "badge r.svg -or.svg",
    "import m.safetensors -om.safetensors",
]
"""Commands there, each with an output that it also reads."""
MISTAKES = [
    *((2, "--help", command) for command in WRONG_USE),
    *((2, "is an input; name another output", command) for command in OVERWRITING),
    (2, ".mbt", "encode picture.png -o b.JPG"),
    (2, "would both become", "encode picture.png same/picture.jpg -o out"),
    (2, "would both become", "encode picture.png same/PICTURE.png -o out"),
    (2, r"no\nsuch\udcff\x1b[2J.png: no such file", "encode 'no\nsuch\udcff\x1b[2J.png' -o b.mbt"),
    (2, r"--no\nsuch", "encode picture.png -o b.mbt '--no\nsuch'"),
    (1, r"bad\x01.png: not a picture", "encode bad\x01.png -o b.mbt"),
    (1, r"bad\x01.png: bad-magic", "inspect bad\x01.png"),
    (2, "no pictures in this folder, and its subfolders aren't searched", "encode outer -o out"),
    (2, "zoo-q1, zoo-q2", "encode picture.png -o b.mbt --model zoo-q9"),
    (2, "no model 'lite'", "encode picture.png -o b.mbt --model lite"),
    (2, "two models have the same name", "eval picture.png --model lite,lite-q3"),
    (2, "--resume continues it, --force", "eval picture.png --model lite-q3 --json old.json"),
    (2, "old.csv already holds measurements: --force", "eval picture.png --model lite-q3 --csv old.csv"),
    (2, "index.html already holds measurements: --force", "report picture.png --model lite-q4 -o ."),
    (1, "empty.png", "encode empty.png -o a.mbt"),
    (1, "text.png", "encode text.png -o a.mbt"),
    (1, "cut.png", "encode cut.png -o a.mbt"),
    (1, "cut.png", "report cut.png --model lite-q3 -o . --force"),
    (1, "empty.png: ", "decode empty.png -o old.png"),
    (1, "text.png: ", "decode text.png -o old.png"),
    (1, "text.png: ", "inspect text.png"),
    (1, "cut.mbt: checksum-mismatch", "decode cut.mbt -o old.png"),
    (1, "not a file of 'mbtref eval --json'", "eval picture.png --model lite-q3 --json old.json --resume"),
    (1, f"'mbtref kodak fetch', or set {kodak.FOLDER_VARIABLE}", "eval --model lite-q3"),
    (1, "'cuda' can't be used here", "encode picture.png -o b.mbt --device cuda"),
]
"""Status, words of the line, and the command."""


@pytest.fixture
def full(original: Path, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that MISTAKES name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(kodak.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    for folder in ("empty", "streams", "same", "outer/inner", "pictures"):
        (tmp_path / folder).mkdir(parents=True)
    whole = original.read_bytes()
    for data, names in (
        (whole, "picture =.json same/picture.jpg same/PICTURE.png"),
        (whole[: len(whole) // 2], "cut.png"),
        (stream.read_bytes(), "streams/a.mbt"),
        (stream.read_bytes()[:-8], "cut.mbt"),
        (embedded("lite-q3"), "m.safetensors m,a.json"),
        (OPENING.encode(), "r.html r.md r.svg"),
        (b"not an mbt file at all, nor a picture, but long enough for a header", "text.png bad\x01.png"),
        (b"", "empty.png"),
        (b'{"records": [{"image": "a.png"}]}', "old.json"),
        (b"precious", "old.png old.csv index.html"),
    ):
        for name in names.split():
            (tmp_path / name).write_bytes(data)
    for name, target in LINKS.items():
        (tmp_path / name).symlink_to(target)
    for name in ("hard", "hard.json", "hard.csv"):
        os.link("picture", name)
    os.mkfifo(tmp_path / "fifo.mbt")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    """Everything in a folder; a folder in it has no bytes."""
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize(("status", "words", "command"), MISTAKES)
def test_a_mistake_is_a_line(status: int, words: str, command: str, full: Path, terminal: Terminal) -> None:
    """A mistake is one line, with status 2 for wrong use and 1 for a bad file; every file stays as it was."""
    if "cuda" in command and torch.cuda.is_available():
        pytest.skip("not run: CUDA is refused only where it can't be used")
    before = contents(full)
    terminal.fails(status, words, *shlex.split(command))
    assert contents(full) == before, "a file was written, lost or changed"


AT_ONCE = """
import shlex, sys
used, words = {}, ""
def look(event, given):
    if event in ("import", "open"):
        used.setdefault(str(given[0]), words)
sys.addaudithook(look)
from mbtref.workbench import cli
for words in sys.argv[1:]:
    cli.main(shlex.split(words))
slow = {name: words for name, words in used.items()
        if name in ("numpy", "PIL", "torch", "tqdm") or name.endswith("kodak.json")}
assert not slow, slow
"""


def test_what_is_answered_at_once(full: Path) -> None:
    """The version, the help of every command and wrong use need no library, nor the list of the Kodak pictures."""
    commands = [each.name for part in cli.PARTS for each in vars(part).values() if isinstance(each, Command)]
    groups = {name.partition(" ")[0] for name in commands}
    # the help of conformance shows the options of the suite, which need its libraries
    helps = [f"{name} --help" for name in ("", *commands, *groups) if name != "conformance"]
    assert len(helps) > 20, f"only the help of {helps}"
    output_of("-c", AT_ONCE, "--version", "--hlep", *helps, *WRONG_USE, folder=full)


def three_pictures(folder: Path) -> None:
    """Writes a.png, b.png and c.png, each of another height."""
    for height, name in enumerate(("a.png", "b.png", "c.png"), 40):
        write_png(folder / name, picture(height, 70))


def test_eval(tmp_path: Path, terminal: Terminal) -> None:
    """Eval names a broken picture, measures the others at every model, writes its files and exits with 1.

    A series is all its models in their order. An empty file holds no measurements; --force begins anew.
    """
    three_pictures(tmp_path)
    (tmp_path / "b.png").write_bytes(b"broken")
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    out.touch()
    asked = ("eval", tmp_path, "--model", ",".join(SERIES), "--json", out, "--csv", table)
    shown, errors = terminal.ends(1, *asked)
    assert "b.png" in errors, f"the broken picture isn't named: {errors}"
    assert "mbtref: 17 of 24 pictures after" in errors, f"a log doesn't tell how far it is: {errors}"
    assert "lite-q4" in shown, f"no table: {shown}"
    found = records(out)
    pairs = [(r["model"], r["image"]) for r in found]
    assert pairs == list(product(chain(*SERIES.values()), ("a.png", "c.png"))), f"records of {pairs}"
    for record in found:
        assert list(record) == list(vars(RECORD)), f"fields of a record: {list(record)}"
        assert record["drift_buffer"] == 0, f"the buffer of {record['image']} drifts by {record['drift_buffer']}"
        assert record["symbols_equal"] is True, f"encoder and decoder differ on {record['image']}"
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [(row["model"], row["image"]) for row in rows] == pairs, "the table holds other records"
    mean = json.loads(out.read_text())["means"][0]
    assert mean["model"] == found[0]["model"], "means are in the order of the models"
    own = [record["bpp_bitstream"] for record in found[:2]]
    assert mean["bpp_bitstream"] == pytest.approx(sum(own) / 2), "the mean isn't the mean"
    table.unlink()
    terminal.ends(1, *asked, "--resume")
    again = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert again == rows, "the table of a resumed evaluation lacks what was there"
    one = ("eval", tmp_path / "c.png", "--model", "lite-q4", "--csv", table, "--force")
    terminal.prints(*one, "--json", out)
    assert [(r["model"], r["image"]) for r in records(out)] == [("lite-q4", "c.png")], "not anew"
    assert table.read_text("utf-8").count("\n") == 2, "the table isn't anew"
    before = table.read_bytes()
    (tmp_path / "c.png").write_bytes(b"broken")
    terminal.ends(1, *one)
    assert table.read_bytes() == before, "a table is lost for nothing"


@pytest.mark.parametrize(
    ("status", "command", "says"),
    [
        (0, "inspect a.mbt >&-", ""),
        (0, "requirements -o a.md <&- >&- 2>&- && cmp a.md requirements.md", ""),
        (0, "encode picture.png -o - 2>&- | cmp - a.mbt", ""),
        (1, "encode picture.png -o - >&-", "mbtref: standard output is closed"),
        (1, "encode - -o b.mbt <&-", "mbtref: standard input is closed"),
        (1, "inspect - </dev/zero", "mbtref: <stdin>: [Errno 27] more than the 536870912 bytes"),
        (1, "inspect a.mbt >/dev/full", "mbtref: standard output: No space left on device"),
        (1, "--help >/dev/full", "mbtref: standard output: No space left on device"),
        (2, "nonsense 2>/dev/full", ""),
        (2, "nonsense 2>&-", ""),
        (2, "encode - -o picture <picture", "mbtref: picture is an input"),
        (2, "encode /dev/stdin -o picture <picture", "mbtref: picture is an input"),
    ],
)
def test_standard_streams_that_fail(status: int, command: str, says: str, full: Path) -> None:
    """Closed, full and endless streams are no traceback, and a file gets what is for it alone."""
    (full / "requirements.md").write_text(requirements.page(), "utf-8")
    buffered = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    words = ["sh", "-c", f"{sys.executable} -m mbtref {command}"]
    done = subprocess.run(words, env=buffered, capture_output=True, text=True)
    lines = done.stdout + done.stderr
    assert done.returncode == status, f"it ended with {done.returncode}: {lines}"
    assert lines.startswith(says), f"it says {lines!r}"
    assert lines.count("\n") == (says != ""), f"it should say no more: {lines}"


NAME = "n\n\r\x1b[31m\x9b\u2028\u202egnp\udcff$\\frac{$<b>,é"
SHOWN = r"n\n\r\x1b[31m\x9b\u2028\u202egnp\udcff$\frac{$<b>,é"
"""What a terminal, a page, a formula or a list would take for something else, and how it is shown."""


def test_every_name_is_shown_as_one_line(original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Whatever the name of a picture, a folder or a model: lines, records and the page have it escaped."""
    pytest.importorskip("matplotlib", reason="not run: no matplotlib, see the extra 'report'")
    folder, streams, model, out = (tmp_path / f"{NAME}{end}" for end in ("", "s", ".safetensors", ".json"))
    (folder / NAME).mkdir(parents=True)
    original.rename(folder / f"{NAME}.png")
    (folder / f"bad{NAME}.png").write_text("bad")
    model.write_bytes(embedded("lite-q3"))
    lines = ""
    for status, *command in (
        (1, "encode", folder, "-o", streams),
        (0, "inspect", streams / f"{NAME}.mbt", "--model", "lite-q4"),
        (1, "eval", folder, "--model", model, "--json", out),
        (1, "report", folder, "--model", model, "-o", folder),
    ):
        lines += "".join(terminal.ends(status, *command))
    assert all(line.isprintable() for line in lines.split("\n")), f"a line isn't escaped: {lines!r}"
    assert lines.count(f"left out bad{SHOWN}.png: ") == 3, f"the bad picture isn't named: {lines}"
    (record,) = records(out)
    assert (record["image"], record["model"]) == (f"{SHOWN}.png", SHOWN), "the record has other names"
    page = (folder / "index.html").read_text("utf-8")
    assert html.escape(f"bad{SHOWN}.png") in page, "the page doesn't name the bad picture"
    assert all(line.isprintable() for line in page.split("\n")), "the page has characters of a name"


@pytest.mark.parametrize(
    "where", ["arguments.description", "commands.coding.read_bytes", "picturefiles.PIL.Image.open"]
)
def test_too_little_memory_is_a_line(
    where: str, full: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """Memory that ends, wherever that is, is a line that says what to do."""

    def fail(*given: object, **named: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"mbtref.workbench.{where}", fail)
    for out in ("b.mbt", "out/"):
        terminal.fails(
            1, "not enough memory: take a smaller", "encode", "picture.png", "-o", out, "--model", "m,a.json"
        )


def test_a_poor_console_shows_what_it_can(tmp_path: Path) -> None:
    """Signs that a console doesn't have are replaced, and files are written all the same."""
    made, page, markdown = (tmp_path / f"page.{suffix}" for suffix in ("json", "html", "md"))
    made.write_text(OPENING)
    command = ["-m", "mbtref.workbench.cli", "matrix", made, "--html", page, "--markdown", markdown]
    shown = output_of(*command, more={"PYTHONIOENCODING": "ascii"})
    assert "passed" in shown, f"nothing is shown: {shown!r}"
    assert page.is_file(), "the page isn't written"
    assert "not to be edited" in markdown.read_text("utf-8"), "the page of docs doesn't say that it is made"


def test_resume_takes_no_measurement_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """Whatever is asked for, a record goes only when one of the same pixels and model takes its place."""
    out = tmp_path / "out.json"
    three_pictures(tmp_path)
    terminal.prints("eval", tmp_path, "--model", "lite-q3", "--json", out)
    a, b, c = records(out)

    shown = terminal.prints("eval", tmp_path / "b.png", "--model", "lite-q4", "--json", out, "--resume")
    new, *kept = records(out)
    assert (new["image"], new["model"]) == ("b.png", "lite-q4"), "what is asked for comes first"
    assert kept == [a, b, c], "records of another model aren't kept in their order"
    assert "| lite-q4 |      1 |" in shown.splitlines()[3], (
        f"the table should show what was asked for alone:\n{shown}"
    )

    shutil.copy(tmp_path / "a.png", tmp_path / "c.png")
    monkeypatch.setattr("mbtref.workbench.evaluate.measure_batch", None)  # nothing is measured again
    again = ("eval", tmp_path / "c.png", "--model", "lite-q3", "--json", out, "--resume")
    terminal.prints(*again)
    assert records(out) == [{**a, "image": "c.png"}, new, b, c], "a picture is known by its pixels, not its name"

    before = out.read_bytes()
    (tmp_path / "c.png").write_bytes(b"broken")
    terminal.ends(1, *again)
    assert out.read_bytes() == before, "a picture that is broken today takes measurements away"


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """Fetch keeps no picture of other pixels or in another format, and fetches only what is missing."""
    served, target = tmp_path / "served", tmp_path / "kodak"
    served.mkdir()
    pictures = {"one.png": picture(30, 40), "two.png": picture(50, 20)}
    known = {name: hashlib.sha256(pixels.tobytes()).hexdigest() for name, pixels in pictures.items()}
    monkeypatch.setattr(kodak, "PIXELS", known)
    files = {name: picturefiles.png(pixels) for name, pixels in pictures.items()}
    with serving(served) as url:
        fetch = ("kodak", "fetch", "--to", target, "--url", url)
        PIL.Image.fromarray(pictures["one.png"]).save(bitmap := io.BytesIO(), "BMP")
        for wrong in (picturefiles.png(picture(30, 41)), bitmap.getvalue()):
            (served / "one.png").write_bytes(wrong)
            terminal.fails(1, "one.png", *fetch)
            assert os.listdir(target) == [], "a wrong file was kept"
        for name, data in files.items():
            (served / name).write_bytes(data)
        assert "2 pictures fetched" in terminal.prints(*fetch), "the count is wrong"
        assert {path.name: path.read_bytes() for path in target.iterdir()} == files, "not the two pictures"
        assert "0 pictures fetched" in terminal.prints(*fetch), "a second call fetched again"
