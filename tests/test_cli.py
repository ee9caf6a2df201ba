"""The command line: one line and the right status for every mistake, whole files or none."""

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

import mbtref
from mbtref.image import Image
from mbtref.modelfile import SERIES
from mbtref.suite import kodak
from mbtref.workbench import picturefiles, tasks
from mbtref.workbench.evaluate import evaluate as real_evaluate
from mbtref.workbench.records import Record
from tests.support import QuietHandler, Terminal, picture, run, serving, write_png

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
OPENING = "[\n" + json.dumps({"record": "opening", "format": 1, "subject": {"name": "a", "version": "1"}})
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


Pipe = Callable[[str, bytes], tuple[int, bytes, str]]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Pipe:
    """Runs a command on the bytes of standard input. Gives its status, output and errors."""

    def piped(words: str, data: bytes) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = run(*words.split())
        out, errors = capsysbinary.readouterr()
        return status, out, errors.decode()

    return piped


def test_a_dash_is_standard_input_and_output(
    original: Path, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    """Encode, inspect and decode work in a pipe: `-` gives bytes alone, and the line about them is on stderr."""
    monkeypatch.chdir(tmp_path)
    data = stream.read_bytes()
    status, out, errors = pipe("encode - -o -", original.read_bytes())
    assert (status, out) == (0, data), f"standard output isn't the stream: {out[:40]!r}, {errors}"
    assert "70×40" in errors, f"the line about the stream isn't on stderr: {errors!r}"
    _, out, _ = pipe("inspect -", data)
    assert "70×40 pixels" in out.decode(), f"inspect shows {out!r}"
    status, out, errors = pipe("decode - -o -", data)
    expected = picturefiles.png(mbtref.decode(mbtref.load("lite-q4"), data))
    assert (status, out) == (0, expected), f"standard output isn't the PNG: {out[:40]!r}, {errors}"
    stream.unlink()
    assert pipe("encode - -o a.mbt", original.read_bytes())[1].startswith(b"a.mbt: "), "no line"
    assert stream.read_bytes() == data, "another stream in a file"
    status, out, errors = pipe("decode - -o -", data[:-4])
    assert (status, out) == (1, b""), "a damaged stream leaves standard output empty"
    assert errors.startswith("mbtref: <stdin>: checksum-mismatch"), errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mbt", "picture.png"], "something was written"


def test_the_package_is_a_program(original: Path, stream: Path, tmp_path: Path) -> None:
    """`python -m mbtref` is the command line, in a real pipe."""
    command, found = [sys.executable, "-m", "mbtref", "encode", "-", "-o", "-"], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=original.read_bytes(), cwd=tmp_path, env=os.environ | found,
                          capture_output=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, stream.read_bytes()), done.stderr.decode()


def test_a_dash_in_a_folder_is_a_file(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """`./-` is a file of this name, as anywhere."""
    monkeypatch.chdir(tmp_path)
    terminal.prints("encode", original, "-o", "./-")
    terminal.prints("decode", "./-", "-o", "a.png")
    assert (tmp_path / "a.png").is_file(), "no picture"


@pytest.mark.parametrize("name", ["out.jpg", "out.PNG", "out.gif"])
def test_no_stream_is_named_as_a_picture(name: str, original: Path, terminal: Terminal) -> None:
    """A stream isn't written under the suffix of a picture."""
    terminal.fails(2, ".mbt", "encode", original, "-o", original.with_name(name))
    assert not original.with_name(name).exists(), "it was written"


def test_inspect_names_its_files(stream: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Of several streams each is named; a bad one is a line, the others are shown, and the status is 1."""
    bad, last = (tmp_path / name for name in ("b.mbt", "c.mbt"))
    bad.write_bytes(stream.read_bytes()[:-4])
    shutil.copy(stream, last)
    out, errors = terminal.ends(1, "inspect", stream, bad, last)
    assert errors.startswith(f"mbtref: {bad}: checksum-mismatch"), f"b.mbt isn't named: {errors}"
    named = [line.split()[1] for line in out.splitlines() if line.startswith("stream ")]
    assert named == [str(stream), str(last)], f"named are {named}"


def test_help_of_the_suite(terminal: Terminal) -> None:
    """`mbtref conformance --help` shows the options of the suite."""
    shown = terminal.prints("conformance", "--help")
    for option in ("--subject", "--capabilities", "--tier", "--report", "--known-failures", "--processor"):
        assert f"  {option} " in shown, f"{option} isn't shown:\n{shown}"


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is refused only where it can't be used")
def test_a_device_that_is_not_there(original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """A device that this machine lacks is one line, and nothing is written."""
    terminal.fails(
        1, "'cuda' can't be used here", "encode", original, "-o", tmp_path / "a.mbt", "--device", "cuda"
    )
    assert not (tmp_path / "a.mbt").exists(), "something was written"


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "encode",
        "encode missing.png -o a.mbt",
        "encode {picture} -o missing/a.mbt",
        "encode {picture} -o a.JPG",
        "encode - {picture} -o out",
        "encode - -o {folder}",
        "encode {folder} -o -",
        "encode {picture} {picture} -o {folder}",
        "encode {folder} -o {picture}",
        "encode {empty} -o out",
        "encode {picture} -o a.mbt --jobs 0",
        "encode {picture} -o a.mbt --model lite-q4 --weights {picture}",
        "encode {picture} -o a.mbt --model lite-q9",
        "encode {picture} -o a.mbt --model {picture}",
        "decode {picture} -o a.mbt",
        "decode {folder} -o out",
        "encode {picture} -o a.mbt --device mps",
        "encode {picture} -o a.mbt --nonsense",
        "eval {picture}",
        "eval {picture} --model lite-q3,",
        "eval {picture} --model lite-q3 --resume",
        "eval {picture} --model lite-q3 --jobs 2 --cluster tcp://127.0.0.1:9",
        "report --model lite-q3 -o {folder}",
        "report {picture} --model lite-q3",
        "report {picture} --model lite-q3 -o {picture}",
        "report {picture} --model lite-q3 -o {folder} --curves jpeg,png",
        "report {picture} --model lite-q3 -o {folder} --limit many",
        "kodak",
    ],
)
def test_wrong_use(words: str, original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Wrong use is one line, which says where to read on, and exit status 2."""
    (tmp_path / "empty").mkdir()
    filled = [w.format(picture=original, folder=tmp_path, empty=tmp_path / "empty") for w in words.split()]
    terminal.fails(2, "--help", *filled)


@pytest.mark.parametrize("content", [b"", b"MBT", b"not an mbt file at all, but long enough for a header"])
def test_bad_stream(content: bytes, tmp_path: Path, terminal: Terminal) -> None:
    """A stream that can't be decoded is one line, exit status 1 and no output file."""
    stream, out = tmp_path / "bad.mbt", tmp_path / "out.png"
    stream.write_bytes(content)
    terminal.fails(1, "bad.mbt: ", "decode", stream, "-o", out)
    terminal.fails(1, "bad.mbt: ", "inspect", stream)
    assert not out.exists(), "a failed decode left an output file"


def test_damaged_stream_keeps_old_output(stream: Path, tmp_path: Path, terminal: Terminal) -> None:
    """A failed decode leaves the file that was there before as it was."""
    out = tmp_path / "a.png"
    stream.write_bytes(stream.read_bytes()[:-8])
    out.write_bytes(b"precious")
    terminal.fails(1, "checksum-mismatch", "decode", stream, "-o", out)
    assert out.read_bytes() == b"precious", "the old file was lost"
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["a.mbt", "a.png", "picture.png"], f"a temporary file is left: {left}"


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n cut"])
def test_bad_picture(content: bytes, tmp_path: Path, terminal: Terminal) -> None:
    """A file that isn't a picture is one line that names it, exit status 1 and no stream."""
    path, stream = tmp_path / "bad.png", tmp_path / "a.mbt"
    path.write_bytes(content)
    terminal.fails(1, "bad.png", "encode", path, "-o", stream)
    assert not stream.exists(), "a failed encode left a stream"


def records(path: Path) -> list[dict[str, Any]]:
    """The records in a file of `mbtref eval`."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["records"]
    return found


def three_pictures(folder: Path) -> None:
    """Writes a.png, b.png and c.png, each of another height."""
    for height, name in enumerate(("a.png", "b.png", "c.png"), 40):
        write_png(folder / name, picture(height, 70))


def test_eval(tmp_path: Path, terminal: Terminal) -> None:
    """Eval names a broken picture, measures the others at every model, writes its JSON and exits with 1."""
    three_pictures(tmp_path)
    (tmp_path / "b.png").write_bytes(b"broken")
    out = tmp_path / "out.json"
    shown, errors = terminal.ends(1, "eval", tmp_path, "--model", "lite-q3,lite-q4", "--json", out)
    assert "b.png" in errors, f"the broken picture isn't named: {errors}"
    assert "lite-q4" in shown, f"no table: {shown}"
    found = records(out)
    pairs = [(r["image"], r["model"]) for r in found]
    assert pairs == [(i, m) for m in ("lite-q3", "lite-q4") for i in ("a.png", "c.png")], f"records of {pairs}"
    fields = (
        "image model fingerprint pixels height width psnr psnr_8bit msssim bpp_y bpp_z bpp_theoretical "
        "bpp_buffer_raw bpp_buffer_zlib drift_buffer psnr_bitstream psnr_bitstream_8bit msssim_bitstream "
        "bpp_bitstream symbols_equal encode_seconds decode_seconds"
    )
    for record in found:
        assert list(record) == fields.split(), f"fields of a record: {list(record)}"
        assert record["drift_buffer"] == 0, f"the buffer of {record['image']} drifts by {record['drift_buffer']}"
        assert record["symbols_equal"] is True, f"encoder and decoder differ on {record['image']}"
    mean = json.loads(out.read_text())["means"][0]
    assert mean["model"] == "lite-q3", "means are in the order of the models"
    own = [record["bpp_bitstream"] for record in found[:2]]
    assert mean["bpp_bitstream"] == pytest.approx(sum(own) / 2), "the mean isn't the mean"


@pytest.mark.parametrize("series", SERIES)
def test_a_series_stands_for_its_models(series: str, tmp_path: Path, terminal: Terminal) -> None:
    """The name of a series, in place of a model's, is all its models in their order, and none may come twice."""
    path, out = tmp_path / "a.png", tmp_path / "out.json"
    write_png(path, picture(64, 64))
    terminal.prints("eval", path, "--model", series, "--json", out)
    models = [record["model"] for record in records(out)]
    assert models == list(SERIES[series]), f"{series} stands for {models}"
    twice = f"{series},{SERIES[series][0]}"
    terminal.fails(2, "two models have the same name", "eval", path, "--model", twice)
    terminal.fails(2, "no model", "encode", path, "-o", tmp_path / "a.mbt", "--model", series)


def test_nothing_that_is_read_is_overwritten(original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """An output that is also an input, in whatever place, is wrong use and stays as it is."""
    weights = (resources.files("mbtref") / "data" / "lite-q3.safetensors").read_bytes()
    model, other, report = tmp_path / "m.mbt", tmp_path / "m.json", tmp_path / "report.html"
    image = original.rename(tmp_path / "picture")
    model.write_bytes(weights)
    other.write_bytes(weights)
    report.write_text(OPENING)
    for path, arguments in (
        (image, ("encode", image, "-o", image)),
        (model, ("encode", image, "--model", model, "-o", model)),
        (other, ("eval", image, "--model", f"lite-q4,{other}", f"--json={other}")),
        (report, ("matrix", report, "--html", report)),
    ):
        before = path.read_bytes()
        terminal.fails(2, "is an input", *arguments)
        assert path.read_bytes() == before, f"{arguments} has overwritten its input"


def test_a_poor_console_shows_what_it_can(tmp_path: Path) -> None:
    """Signs that a console doesn't have are replaced, and files are written all the same."""
    report, page, markdown = (tmp_path / f"page.{suffix}" for suffix in ("json", "html", "md"))
    report.write_text(OPENING)
    outputs = ["--html", str(page), "--markdown", str(markdown)]
    command = [sys.executable, "-m", "mbtref.workbench.cli", "matrix", str(report), *outputs]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"passed" in done.stdout, f"nothing is shown: {done.stdout!r}"
    assert page.is_file(), "the page isn't written"
    assert "not to be edited" in markdown.read_text("utf-8"), "the page of docs doesn't say that it is made"


def test_eval_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """An evaluation that was cut off is continued: what it measured is kept, the rest is measured."""
    out = tmp_path / "out.json"
    three_pictures(tmp_path)
    measured: list[str] = []

    def evaluate(model: mbtref.Model, pixels: Image, name: str) -> Record:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(name)
        return real_evaluate(model, pixels, name)

    monkeypatch.setattr("mbtref.workbench.evaluate.evaluate", evaluate)
    asked = ("eval", tmp_path, "--model", "lite-q3", "--json", out)
    terminal.fails(130, "stopped", *asked)
    kept = records(out)
    assert [record["image"] for record in kept] == ["a.png", "b.png"], "what was measured is lost"
    measured.clear()
    terminal.prints(*asked, "--resume")
    assert measured == ["c.png"], f"{measured} were measured again"
    assert records(out)[:2] == kept, "the records that were there have changed"
    assert [record["image"] for record in records(out)] == ["a.png", "b.png", "c.png"], "records are missing"
    out.write_text('{"records": [{"image": "a.png"}]}')
    terminal.fails(1, "can't be resumed", *asked, "--resume")


def test_measurements_are_not_written_over(original: Path, tmp_path: Path, terminal: Terminal) -> None:
    """A file of measurements is written over only with --force; an empty one holds none."""
    out, page = tmp_path / "out.json", tmp_path / "index.html"
    out.touch()
    terminal.prints("eval", original, "--model", "lite-q3", "--json", out)
    before = out.read_bytes()
    asked = ("eval", original, "--model", "lite-q4", "--json", out)
    line = terminal.fails(2, "--resume", *asked)
    assert "--force" in line, f"it should say how to begin anew: {line}"
    assert out.read_bytes() == before, "the measurements are lost"
    terminal.ends(2, *asked, "--resume", "--force")
    terminal.prints(*asked, "--force")
    assert [record["model"] for record in records(out)] == ["lite-q4"], "not anew"
    page.write_text("a report")
    reason = "index.html already holds measurements: --force"
    terminal.fails(2, reason, "report", original, "--model", "lite-q4", "-o", tmp_path)
    assert page.read_text() == "a report", "the report is lost"


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
    assert "| lite-q4 | 1 |" in shown.splitlines()[-1], f"the table should show what was asked for alone:\n{shown}"

    shutil.copy(tmp_path / "a.png", tmp_path / "c.png")
    monkeypatch.setattr("mbtref.workbench.evaluate.evaluate", None)  # nothing is measured again
    again = ("eval", tmp_path / "c.png", "--model", "lite-q3", "--json", out, "--resume")
    terminal.prints(*again)
    assert records(out) == [{**a, "image": "c.png"}, new, b, c], "a picture is known by its pixels, not its name"

    before = out.read_bytes()
    (tmp_path / "c.png").write_bytes(b"broken")
    terminal.ends(1, *again)
    assert out.read_bytes() == before, "a picture that is broken today takes measurements away"


def test_eval_without_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """Without pictures the message says how to get them."""
    monkeypatch.setenv(kodak.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    line = terminal.fails(1, "mbtref kodak fetch", "eval", "--model", "lite-q3")
    assert kodak.FOLDER_VARIABLE in line, f"no advice in {line!r}"


def test_import(tmp_path: Path, terminal: Terminal) -> None:
    """Importing an embedded model file as if it were a checkpoint gives its weights and tables again."""
    out = tmp_path / "again.safetensors"
    terminal.prints("import", resources.files("mbtref") / "data" / "lite-q3.safetensors", "-o", out)
    again, original = mbtref.load(out), mbtref.load("lite-q3")
    assert tuple(again.tables) == tuple(original.tables), "the integer tables of z differ"
    assert again.networks.state_dict().keys() == original.networks.state_dict().keys(), "weights differ"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures, whose hashes stand for Kodak's."""
    folder = tmp_path / "served"
    folder.mkdir()
    pictures = {"one.png": picture(30, 40), "two.png": picture(50, 20)}
    for name, pixels in pictures.items():
        write_png(folder / name, pixels)
    known = {name: hashlib.sha256(pixels.tobytes()).hexdigest() for name, pixels in pictures.items()}
    monkeypatch.setattr(kodak, "PIXELS", known)
    return folder


@pytest.fixture
def fetch(served: Path, tmp_path: Path) -> Iterator[tuple[object, ...]]:
    """The command that fetches them into the folder `kodak`."""
    with serving(served) as url:
        yield ("kodak", "fetch", "--to", tmp_path / "kodak", "--url", url)


def test_fetch(fetch: tuple[object, ...], tmp_path: Path, terminal: Terminal) -> None:
    """Fetch gets what is missing, leaves nothing half-written, and a second call fetches nothing."""
    assert "2 pictures fetched" in terminal.prints(*fetch), "the count is wrong"
    assert sorted(os.listdir(tmp_path / "kodak")) == ["one.png", "two.png"], "not just the two pictures"
    assert "0 pictures fetched" in terminal.prints(*fetch), "a second call fetched again"


def test_fetch_resumes(
    fetch: tuple[object, ...], served: Path, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that was cut off continues from where it was."""
    target = tmp_path / "kodak"
    monkeypatch.setattr(QuietHandler, "cut", {"one.png": 60})
    terminal.fails(1, "byte 60", *fetch)
    assert os.listdir(target) == ["one.png.part"], "a half-written picture has its final name"
    original = (served / "one.png").read_bytes()
    (served / "one.png").write_bytes(b"\0" * 60 + original[60:])
    terminal.prints(*fetch)
    assert (target / "one.png").read_bytes() == original, "the parts don't fit together"


def huge(data: bytes) -> bytes:
    """A PNG file whose header claims a picture of 60000×60000."""
    header = data[12:16] + struct.pack(">II", 60000, 60000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("wrong", [lambda data: picturefiles.png(picture(30, 41)), huge], ids=["pixels", "huge"])
def test_fetch_refuses_a_wrong_file(
    wrong: Callable[[bytes], bytes], fetch: tuple[object, ...], served: Path, tmp_path: Path, terminal: Terminal
) -> None:
    """A picture with other pixels, and a file that Pillow refuses to open, are one line and not kept."""
    (served / "one.png").write_bytes(wrong((served / "one.png").read_bytes()))
    terminal.fails(1, "one.png", *fetch)
    assert os.listdir(tmp_path / "kodak") == [], "a wrong file was kept"


def test_fetch_without_network(fetch: tuple[object, ...], served: Path, terminal: Terminal) -> None:
    """A server that isn't there, or lacks the file, is one line."""
    (served / "one.png").unlink()
    terminal.fails(1, "404", *fetch)
    terminal.fails(1, "http://127.0.0.1:9", *fetch[:-1], "http://127.0.0.1:9")
