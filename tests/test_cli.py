"""The command line: one line and the right status for every mistake, whole files or none."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL.Image
import pytest
import torch

import mbtref
from mbtref.image import Image
from mbtref.modelfile import SERIES
from mbtref.suite import kodak
from mbtref.workbench import picturefiles, tasks
from mbtref.workbench.evaluate import evaluate as real_evaluate
from mbtref.workbench.records import Record
from tests.support import QuietHandler, one_line, run, serving, write_png

T = TypeVar("T")
ROOT = Path(__file__).parent.parent


def gradient(height: int, width: int) -> Image:
    """A picture made by integers alone."""
    rows, columns, channels = np.indices((height, width, 3))
    picture: Image = ((rows * 3 + columns * 2 + channels * 40) % 256).astype(np.uint8)
    return picture


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    write_png(path, gradient(40, 70))
    return path


def test_encode_inspect_decode(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What encode writes, inspect describes and decode turns into the picture that the library gives."""
    stream, out = tmp_path / "a.mbt", tmp_path / "a.png"
    assert run("encode", picture, "-o", stream, "--model", "lite-q3") == 0, "encode failed"
    assert run("inspect", stream) == 0, "inspect failed"
    shown = capsys.readouterr().out
    for fact in ("lite-q3", "70×40", f"{stream.stat().st_size} bytes", "header     20 bytes"):
        assert fact in shown, f"inspect doesn't show {fact!r}:\n{shown}"
    assert run("decode", stream, "-o", out) == 0, "decode failed"
    expected = mbtref.decode(mbtref.load("lite-q3"), stream.read_bytes())
    assert np.array_equal(picturefiles.read(out), expected), "the PNG isn't the picture that the library decodes"


class Console(NamedTuple):
    """What a command gave that ran in a process of its own."""

    status: int
    out: bytes
    err: str


def piped(words: str, data: bytes, folder: Path) -> Console:
    """Runs `python -m mbtref`. words: its command line. data: its standard input."""
    command, found = [sys.executable, "-m", "mbtref", *words.split()], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=data, cwd=folder, env=found, capture_output=True)
    return Console(done.returncode, done.stdout, done.stderr.decode())


def test_a_dash_is_standard_input_and_output(picture: Path, tmp_path: Path) -> None:
    """Encode, inspect and decode work in a pipe: `-` gives bytes alone, and the line about them is on stderr."""
    stream = mbtref.encode(mbtref.load("lite-q4"), picturefiles.read(picture))
    found = piped("encode - -o -", picture.read_bytes(), tmp_path)
    assert found.status == 0, found.err
    assert found.out == stream, f"standard output isn't the stream: {found.out[:40]!r}"
    assert "70×40" in found.err, f"the line about the stream isn't on stderr: {found.err!r}"
    shown = piped("inspect -", stream, tmp_path)
    assert b"70\xc3\x9740 pixels" in shown.out, f"inspect shows {shown}"
    decoded = piped("decode - -o -", stream, tmp_path)
    assert decoded.status == 0, decoded.err
    expected = picturefiles.png(mbtref.decode(mbtref.load("lite-q4"), stream))
    assert decoded.out == expected, f"standard output isn't the PNG: {decoded.out[:40]!r}"
    assert piped("encode - -o a.mbt", picture.read_bytes(), tmp_path).out.startswith(b"a.mbt: "), "no line"
    assert (tmp_path / "a.mbt").read_bytes() == stream, "another stream in a file"
    bad = piped("decode - -o -", stream[:-4], tmp_path)
    assert (bad.status, bad.out) == (1, b""), "a damaged stream leaves standard output empty"
    assert bad.err.startswith("mbtref: <stdin>: checksum-mismatch"), bad.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mbt", "picture.png"], "something was written"


def test_a_dash_in_a_folder_is_a_file(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./-` is a file of this name, as anywhere."""
    monkeypatch.chdir(tmp_path)
    assert run("encode", picture, "-o", "./-") == 0, "it can't be written"
    assert run("decode", "./-", "-o", "a.png") == 0, "it can't be read"
    assert (tmp_path / "a.png").is_file(), "no picture"


@pytest.mark.parametrize("name", ["out.jpg", "out.PNG", "out.gif"])
def test_no_stream_is_named_as_a_picture(name: str, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream isn't written under the suffix of a picture."""
    assert run("encode", picture, "-o", picture.with_name(name)) == 2, f"{name} would be no picture"
    assert ".mbt" in one_line(capsys), "it should say how to name it"
    assert not picture.with_name(name).exists(), "it was written"


def test_inspect_names_its_files(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several streams each is named; a bad one is a line, the others are shown, and the status is 1."""
    first, bad, last = (tmp_path / name for name in ("a.mbt", "b.mbt", "c.mbt"))
    run("encode", picture, "-o", first)
    bad.write_bytes(first.read_bytes()[:-4])
    last.write_bytes(first.read_bytes())
    capsys.readouterr()
    assert run("inspect", first, bad, last) == 1, "b.mbt is damaged"
    shown = capsys.readouterr()
    assert shown.err.startswith(f"mbtref: {bad}: checksum-mismatch"), f"b.mbt isn't named: {shown.err}"
    named = [line.split()[1] for line in shown.out.splitlines() if line.startswith("stream ")]
    assert named == [str(first), str(last)], f"named are {named}"


def test_help_of_the_suite(capsys: pytest.CaptureFixture[str]) -> None:
    """`mbtref conformance --help` shows the options of the suite."""
    assert run("conformance", "--help") == 0, "help isn't a mistake"
    shown = capsys.readouterr().out
    for option in ("--subject", "--capabilities", "--tier", "--report", "--known-failures", "--processor"):
        assert f"  {option} " in shown, f"{option} isn't shown:\n{shown}"


def test_inspect_adds_up(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Header, z and y of inspect sum to the size of the file."""
    stream = tmp_path / "a.mbt"
    run("encode", picture, "-o", stream)
    capsys.readouterr()
    run("inspect", stream)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    sizes = {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
    assert sizes["header"] + sizes["z"] + sizes["y"] == sizes["file"], f"the parts don't add up: {sizes}"


def test_progress(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture shows how far it is in every loop that grows with it; of many, the files are counted instead."""
    seen: list[str] = []

    def watch(steps: Sequence[T], name: str) -> Sequence[T]:
        seen.append(name)
        return steps

    monkeypatch.setattr(tasks, "bar", watch)
    stream = tmp_path / "a.mbt"
    assert run("encode", picture, "-o", stream) == 0, "it should be encoded"
    assert run("decode", stream, "-o", tmp_path / "a.png") == 0, "it should be decoded"
    assert seen == ["g_a", "latents", "latents", "g_s"], f"the loops that are shown: {seen}"
    assert run("encode", picture, "-o", f"{tmp_path}/many/") == 0, "it should be encoded"
    assert len(seen) == 4, "two bars at a time"


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is refused only where it can't be used")
def test_a_device_that_is_not_there(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that this machine lacks is one line, and nothing is written."""
    assert run("encode", picture, "-o", tmp_path / "a.mbt", "--device", "cuda") == 1, "there is no such device"
    assert "'cuda' can't be used here" in one_line(capsys), "it should say which device"
    assert not (tmp_path / "a.mbt").exists(), "something was written"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("encode",),
        ("encode", "missing.png", "-o", "a.mbt"),
        ("encode", "{picture}", "-o", "missing/a.mbt"),
        ("encode", "{picture}", "-o", "a.JPG"),
        ("encode", "-", "{picture}", "-o", "out"),
        ("encode", "-", "-o", "{folder}"),
        ("encode", "{folder}", "-o", "-"),
        ("encode", "{picture}", "{picture}", "-o", "{folder}"),
        ("encode", "{folder}", "-o", "{picture}"),
        ("encode", "{empty}", "-o", "out"),
        ("encode", "{picture}", "-o", "a.mbt", "--jobs", "0"),
        ("encode", "{picture}", "-o", "a.mbt", "--model", "lite-q4", "--weights", "{picture}"),
        ("encode", "{picture}", "-o", "a.mbt", "--model", "lite-q9"),
        ("encode", "{picture}", "-o", "a.mbt", "--model", "{picture}"),
        ("decode", "{picture}", "-o", "a.mbt"),
        ("decode", "{folder}", "-o", "out"),
        ("encode", "{picture}", "-o", "a.mbt", "--device", "mps"),
        ("eval", "{picture}"),
        ("eval", "{picture}", "--model", "lite-q3,"),
        ("eval", "{picture}", "--model", "lite-q3", "--resume"),
        ("eval", "{picture}", "--model", "lite-q3", "--jobs", "2", "--cluster", "tcp://127.0.0.1:9"),
        ("kodak",),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...], picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong use is one line and exit status 2."""
    (tmp_path / "empty").mkdir()
    filled = [a.format(picture=picture, folder=tmp_path, empty=tmp_path / "empty") for a in arguments]
    assert run(*filled) == 2, f"{filled} should end with status 2"
    assert "--help" in one_line(capsys), "the line should say where to read on"


@pytest.mark.parametrize("content", [b"", b"MBT", b"not an mbt file at all, but long enough for a header"])
def test_bad_stream(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that can't be decoded is one line, exit status 1 and no output file."""
    stream, out = tmp_path / "bad.mbt", tmp_path / "out.png"
    stream.write_bytes(content)
    assert run("decode", stream, "-o", out) == 1, "a bad stream should end with status 1"
    assert "bad.mbt: " in one_line(capsys), "the line should name the stream"
    assert run("inspect", stream) == 1, "inspect should refuse it as well"
    one_line(capsys)
    assert not out.exists(), "a failed decode left an output file"


def test_damaged_stream_keeps_old_output(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed decode leaves the file that was there before as it was."""
    stream, out = tmp_path / "a.mbt", tmp_path / "a.png"
    run("encode", picture, "-o", stream)
    capsys.readouterr()
    stream.write_bytes(stream.read_bytes()[:-8])
    out.write_bytes(b"precious")
    assert run("decode", stream, "-o", out) == 1, "a truncated stream should end with status 1"
    assert "checksum-mismatch" in one_line(capsys), "the line should name the kind"
    assert out.read_bytes() == b"precious", "the old file was lost"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mbt", "a.png", "picture.png"], (
        "a temporary file is left"
    )


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n cut"])
def test_bad_picture(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that isn't a picture is one line that names it, exit status 1 and no stream."""
    path, stream = tmp_path / "bad.png", tmp_path / "a.mbt"
    path.write_bytes(content)
    assert run("encode", path, "-o", stream) == 1, "a bad picture should end with status 1"
    assert "bad.png" in one_line(capsys), "the line should name the file"
    assert not stream.exists(), "a failed encode left a stream"


def test_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eval names a broken picture, measures the others at every model, writes its JSON and exits with 1."""
    for name, shape in (("a.png", (64, 64)), ("c.png", (33, 50))):
        write_png(tmp_path / name, gradient(*shape))
    (tmp_path / "b.png").write_bytes(b"broken")
    out = tmp_path / "out.json"
    assert run("eval", tmp_path, "--model", "lite-q3,lite-q4", "--json", out) == 1, "one picture is broken"
    shown = capsys.readouterr()
    assert "b.png" in shown.err, f"the broken picture isn't named: {shown.err}"
    assert "lite-q4" in shown.out, f"no table: {shown.out}"
    found = json.loads(out.read_text())
    pairs = [(r["image"], r["model"]) for r in found["records"]]
    assert pairs == [(i, m) for m in ("lite-q3", "lite-q4") for i in ("a.png", "c.png")], f"records of {pairs}"
    fields = (
        "image model fingerprint pixels height width psnr psnr_8bit msssim bpp_y bpp_z bpp_theoretical "
        "bpp_buffer_raw bpp_buffer_zlib drift_buffer psnr_bitstream psnr_bitstream_8bit msssim_bitstream "
        "bpp_bitstream symbols_equal encode_seconds decode_seconds"
    )
    for record in found["records"]:
        assert list(record) == fields.split(), f"fields of a record: {list(record)}"
        assert record["drift_buffer"] == 0, f"the buffer of {record['image']} drifts by {record['drift_buffer']}"
        assert record["symbols_equal"] is True, f"encoder and decoder differ on {record['image']}"
    mean = found["means"][0]
    own = [r["bpp_bitstream"] for r in found["records"][:2]]
    assert mean["model"] == "lite-q3", "means go in the order of the models"
    assert mean["bpp_bitstream"] == pytest.approx(sum(own) / 2), "the mean isn't the mean"


@pytest.mark.parametrize("ladder", SERIES)
def test_a_ladder_stands_for_its_models(ladder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a ladder, in place of a model's, is all its models in their order, and none may come twice."""
    path, out = tmp_path / "a.png", tmp_path / "out.json"
    write_png(path, gradient(64, 64))
    assert run("eval", path, "--model", ladder, "--json", out) == 0, f"{ladder} isn't taken as a name"
    models = [record["model"] for record in json.loads(out.read_text())["records"]]
    assert models == list(SERIES[ladder]), f"{ladder} stands for {models}"
    capsys.readouterr()
    first = SERIES[ladder][0]
    assert run("eval", path, "--model", f"{ladder},{first}") == 2, f"{first} is asked for twice"
    assert "two models have the same name" in one_line(capsys), "the line should say what is wrong"
    assert run("encode", path, "-o", tmp_path / "a.mbt", "--model", ladder) == 2, "a stream has one model"


def test_nothing_that_is_read_is_overwritten(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An output that is also an input, in whatever place, is wrong use and stays as it is."""
    weights = (resources.files("mbtref") / "data" / "lite-q3.safetensors").read_bytes()
    model, other, report = tmp_path / "m.mbt", tmp_path / "m.json", tmp_path / "report.html"
    picture = picture.rename(tmp_path / "picture")
    model.write_bytes(weights)
    other.write_bytes(weights)
    opening = {"record": "opening", "format": 1, "subject": {"name": "a", "version": "1"}}
    report.write_text("[\n" + json.dumps(opening))
    for path, arguments in (
        (picture, ("encode", picture, "-o", picture)),
        (model, ("encode", picture, "--model", model, "-o", model)),
        (other, ("eval", picture, "--model", f"lite-q4,{other}", f"--json={other}")),
        (report, ("matrix", report, "--html", report)),
    ):
        before = path.read_bytes()
        assert run(*arguments) == 2, f"{arguments} should be refused"
        assert "is an input" in one_line(capsys), "it should say why"
        assert path.read_bytes() == before, f"{arguments} has overwritten its input"


def test_a_poor_console_shows_what_it_can(tmp_path: Path) -> None:
    """Signs that a console doesn't have are replaced, and files are written all the same."""
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    opening = {"record": "opening", "format": 1, "subject": {"name": "a", "version": "1"}}
    report.write_text("[\n" + json.dumps(opening))
    markdown = tmp_path / "page.md"
    outputs = ["--html", str(page), "--markdown", str(markdown)]
    command = [sys.executable, "-m", "mbtref.workbench.cli", "matrix", str(report), *outputs]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"passed" in done.stdout, f"nothing is shown: {done.stdout!r}"
    assert page.is_file(), "the page isn't written"
    assert "not to be edited" in markdown.read_text("utf-8"), "the page of docs doesn't say that it is made"


def test_eval_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation that was cut off is gone on with: what it measured is kept, the rest is measured."""
    out = tmp_path / "out.json"
    for height, name in enumerate(("a.png", "b.png", "c.png"), 40):
        write_png(tmp_path / name, gradient(height, 70))
    measured: list[str] = []

    def evaluate(model: mbtref.Model, picture: Image, name: str) -> Record:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(name)
        return real_evaluate(model, picture, name)

    monkeypatch.setattr("mbtref.workbench.evaluate.evaluate", evaluate)
    assert run("eval", tmp_path, "--model", "lite-q3", "--json", out) == 130, "it should be stopped"
    kept = json.loads(out.read_text())["records"]
    assert [record["image"] for record in kept] == ["a.png", "b.png"], "what was measured is lost"
    measured.clear()
    assert run("eval", tmp_path, "--model", "lite-q3", "--json", out, "--resume") == 0, "it should come to its end"
    assert measured == ["c.png"], f"{measured} were measured again"
    records = json.loads(out.read_text())["records"]
    assert records[:2] == kept, "the records that were there have changed"
    assert [record["image"] for record in records] == ["a.png", "b.png", "c.png"], "records are missing"
    assert run("eval", tmp_path, "--model", "lite-q3", "--resume") == 2, "there is nothing to go on with"
    out.write_text('{"records": [{"image": "a.png"}]}')
    assert run("eval", tmp_path, "--model", "lite-q3", "--json", out, "--resume") == 1, "that is no evaluation"
    assert "can't be resumed" in capsys.readouterr().err, "it should say why"


def test_measurements_are_not_written_over(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of measurements is written over only with --force; an empty one holds none."""
    out = tmp_path / "out.json"
    out.touch()
    assert run("eval", picture, "--model", "lite-q3", "--json", out) == 0, "an empty file holds nothing"
    before = out.read_bytes()
    capsys.readouterr()
    assert run("eval", picture, "--model", "lite-q4", "--json", out) == 2, "lite-q3 would be lost"
    line = one_line(capsys)
    assert "--resume" in line, f"it should say how to go on: {line}"
    assert "--force" in line, f"it should say how to begin anew: {line}"
    assert out.read_bytes() == before, "the measurements are lost"
    assert run("eval", picture, "--model", "lite-q4", "--json", out, "--resume", "--force") == 2, "which of them?"
    assert run("eval", picture, "--model", "lite-q4", "--json", out, "--force") == 0, "it is forced"
    assert [r["model"] for r in json.loads(out.read_text())["records"]] == ["lite-q4"], "not anew"
    (tmp_path / "index.html").write_text("a report")
    capsys.readouterr()
    assert run("report", picture, "--model", "lite-q4", "-o", tmp_path) == 2, "the report would be lost"
    assert "index.html is there and holds measurements: --force" in one_line(capsys), "it should say why"
    assert (tmp_path / "index.html").read_text() == "a report", "the report is lost"


def test_resume_takes_no_measurement_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked for, a record goes only when one of the same pixels and model takes its place."""
    out = tmp_path / "out.json"
    for height, name in enumerate(("a.png", "b.png", "c.png"), 40):
        write_png(tmp_path / name, gradient(height, 70))
    assert run("eval", tmp_path, "--model", "lite-q3", "--json", out) == 0, capsys.readouterr().err
    a, b, c = json.loads(out.read_text())["records"]

    run("eval", tmp_path / "b.png", "--model", "lite-q4", "--json", out, "--resume")
    new, *kept = json.loads(out.read_text())["records"]
    assert (new["image"], new["model"]) == ("b.png", "lite-q4"), "what is asked for comes first"
    assert kept == [a, b, c], "records of another model aren't kept in their order"
    shown = capsys.readouterr().out
    assert "| lite-q4 | 1 |" in shown.splitlines()[-1], f"the table should show what was asked for alone:\n{shown}"

    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    monkeypatch.setattr("mbtref.workbench.evaluate.evaluate", None)  # nothing is measured again
    assert run("eval", tmp_path / "c.png", "--model", "lite-q3", "--json", out, "--resume") == 0, "it is known"
    assert json.loads(out.read_text())["records"] == [{**a, "image": "c.png"}, new, b, c], (
        "a picture is known by its pixels, not by its name"
    )

    before = out.read_bytes()
    (tmp_path / "c.png").write_bytes(b"broken")
    assert run("eval", tmp_path / "c.png", "--model", "lite-q3", "--json", out, "--resume") == 1, "it is broken"
    assert out.read_bytes() == before, "a picture that is broken today takes measurements away"


def test_eval_without_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pictures the message says how to get them."""
    monkeypatch.setenv(kodak.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    assert run("eval", "--model", "lite-q3") == 1, "there are no pictures"
    line = one_line(capsys)
    assert "mbtref kodak fetch" in line, f"no advice in {line!r}"
    assert kodak.FOLDER_VARIABLE in line, f"no advice in {line!r}"


def test_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Importing an embedded model file as if it were a checkpoint gives its weights and tables again."""
    source = resources.files("mbtref") / "data" / "lite-q3.safetensors"
    out = tmp_path / "again.safetensors"
    assert run("import", source, "-o", out) == 0, f"import failed: {capsys.readouterr().err}"
    again, original = mbtref.load(out), mbtref.load("lite-q3")
    assert tuple(again.tables) == tuple(original.tables), "the integer tables of z differ"
    assert again.networks.state_dict().keys() == original.networks.state_dict().keys(), "weights differ"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A local server with two pictures, whose hashes stand for Kodak's. Gives its URL and folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    pictures = {"one.png": gradient(30, 40), "two.png": gradient(50, 20)}
    for name, picture in pictures.items():
        write_png(folder / name, picture)
    known = {name: hashlib.sha256(picture.tobytes()).hexdigest() for name, picture in pictures.items()}
    monkeypatch.setattr(kodak, "PIXELS", known)
    with serving(folder) as url:
        yield url, folder


def test_fetch(server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fetch gets what is missing, leaves nothing half-written, and a second call fetches nothing."""
    url, _ = server
    target = tmp_path / "kodak"
    assert run("kodak", "fetch", "--url", url, "--to", target) == 0, capsys.readouterr().err
    assert sorted(p.name for p in target.iterdir()) == ["one.png", "two.png"], "not just the two pictures"
    assert "2 pictures fetched" in capsys.readouterr().out, "the count is wrong"
    assert run("kodak", "fetch", "--url", url, "--to", target) == 0, "a second call should find all"
    assert "0 pictures fetched" in capsys.readouterr().out, "a second call fetched again"


def test_fetch_resumes(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that was cut off goes on from where it was."""
    url, folder = server
    target = tmp_path / "kodak"
    monkeypatch.setattr(QuietHandler, "cut", {"one.png": 60})
    assert run("kodak", "fetch", "--url", url, "--to", target) == 1, "the connection was cut"
    assert "byte 60" in capsys.readouterr().err, "the line should say how far it came"
    assert [p.name for p in target.iterdir()] == ["one.png.part"], "a half-written picture has its final name"
    original = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(b"\0" * 60 + original[60:])
    assert run("kodak", "fetch", "--url", url, "--to", target) == 0, "the second call should go on from byte 60"
    assert (target / "one.png").read_bytes() == original, "the parts don't fit together"


def test_fetch_refuses_wrong_pixels(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture with other pixels is refused and not kept."""
    url, folder = server
    PIL.Image.fromarray(gradient(30, 41)).save(folder / "one.png")
    target = tmp_path / "kodak"
    assert run("kodak", "fetch", "--url", url, "--to", target) == 1, "the pixels are wrong"
    assert "one.png" in one_line(capsys), "the line should name the picture"
    assert list(target.iterdir()) == [], "a wrong picture was kept"


def test_fetch_refuses_a_damaged_file(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file whose header claims a huge picture, which Pillow refuses to open, is one line and not kept."""
    url, folder = server
    data = (folder / "one.png").read_bytes()
    header = data[12:16] + struct.pack(">II", 60000, 60000) + data[24:29]
    (folder / "one.png").write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    target = tmp_path / "kodak"
    assert run("kodak", "fetch", "--url", url, "--to", target) == 1, "the file is damaged"
    assert "one.png" in one_line(capsys), "the line should name the picture"
    assert list(target.iterdir()) == [], "a damaged picture was kept"


def test_fetch_without_network(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that isn't there, or hasn't the file, is one line."""
    url, folder = server
    (folder / "one.png").unlink()
    assert run("kodak", "fetch", "--url", url, "--to", tmp_path / "kodak") == 1, "the server has no such file"
    assert "404" in one_line(capsys), "the line should give the server's answer"
    assert run("kodak", "fetch", "--url", "http://127.0.0.1:9", "--to", tmp_path / "kodak") == 1, "nobody listens"
    one_line(capsys)
