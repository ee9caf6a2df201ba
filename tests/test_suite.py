"""The suite itself: that it finds what is wrong, goes on after it, and never takes silence for a pass."""

import io
import json
import re
import shlex
import shutil
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import numpy as np
import PIL.Image
import pytest
import torch

from mbtref.suite import fresh, plugin, vectors
from mbtref.suite.difference import first_difference
from mbtref.suite.figures import U8, made, unlike
from mbtref.suite.reports import matrix, report
from mbtref.suite.reports.report import Record
from mbtref.suite.subjects.loading import NAMES
from mbtref.suite.subjects.reference import Reference
from mbtref.workbench import picturefiles
from tests import oracle

ROOT = Path(__file__).parent.parent
CONFORMANCE = ROOT / "conformance"
REFERENCE = "reference"
SCHEMA = jsonschema.Draft202012Validator(
    json.loads(Path(report.__file__).with_name("report.schema.json").read_text())
)
QUICK = shlex.split("-q -p no:unraisableexception -p no:threadexception")
"""Options of a run inside another one: pytest's searches for lost exceptions walk through all of PyTorch."""
Codec = Callable[[U8, Any], tuple[bytes, U8]]
"""Of a picture and its golden stream: what it stores, and what it shows."""


def run(folder: Path, subject: str, *options: str, file: str = "test_vectors.py") -> tuple[int, Sequence[Record]]:
    """Runs a file of the suite on a miniature or another subject. Returns exit status and cases of the report."""
    if subject not in NAMES and ":" not in subject:
        subject = f"tests.miniatures:{subject}"
    path = folder / "report.json"
    status = pytest_on(CONFORMANCE / file, "--subject", subject, "--report", str(path), *options)
    found = report.read(path)
    assert found.closing, "a run that came to its end has no closing record"
    SCHEMA.validate(json.loads(path.read_text()))
    return status, found.cases


def pytest_on(path: Path, *options: str, plugins: Sequence[object] = (), cache: str = "-pno:cacheprovider") -> int:
    """The exit status of pytest, run in this process. Files that change meanwhile are noticed in `test_plugin`."""
    with mock.patch.object(vectors, "digest", return_value=(0, "")):
        return int(pytest.main([str(path), cache, *QUICK, *options], plugins))


def transforms(folder: Path, miniature: str, *options: str) -> tuple[int, Sequence[Record]]:
    """Asks a miniature about some of its transforms, without a process of its own."""
    return run(folder, miniature, "--in-process", "-k", "TRANSFORM and lite-q3", *options)


NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="not run: CUDA is refused only where it isn't")


@pytest.mark.parametrize("spread", [(), ("-n", "1")], ids=["alone", "xdist"])
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--capabilities", "rans,flying", "--capabilities: no flying; there are transforms,"),
        ("--report", "nowhere/report.json", "its folder doesn't exist"),
        ("--write-known-failures", "nowhere/known.json", "its folder doesn't exist"),
        ("--known-failures", "nowhere/known.json", "No such file"),
        ("--answer-timeout", "0", "more than 0"),
        ("--seed", "-1", "--seed: must be 0 or more"),
        ("--processor", "vax", "invalid choice: 'vax'"),
        ("--subject", "./codec.py:Subject", "give module:attribute"),
        ("--device", "mps", "--subject reference@mps: device 'mps' isn't one of cpu, cuda"),
        ("--device=cuda", "--subject=numpy", "--subject numpy@cuda: OneFile can't be told a device"),
        ("--device=cuda", "--subject=cmd:x@y", "--device: cmd:x@y can't be told one; it is for Python subjects"),
        pytest.param(
            "--device", "cuda", "--subject reference@cuda: device 'cuda' can't be used here", marks=NO_CUDA
        ),
    ],
)
def test_a_wrong_option_ends_the_run_at_once(
    option: str, value: str, words: str, spread: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    """An option that can't be meant is told in a line, before any case."""
    status = pytest_on(CONFORMANCE / "test_vectors.py", "--in-process", option, value, *spread)
    shown = capfd.readouterr()
    assert status == pytest.ExitCode.USAGE_ERROR, f"it ended with {status}: {shown}"
    assert words in shown.err, f"{words!r} isn't in {shown.err}"
    assert "Traceback" not in shown.err + shown.out, shown.err + shown.out


@pytest.mark.parametrize("spread", [(), ("-n", "1"), ("--in-process",)], ids=["alone", "xdist", "in-process"])
def test_a_device_is_told(spread: tuple[str, ...], tmp_path: Path) -> None:
    """A subject computes on the device of --device, the report names it, and on the CPU nothing else changes."""
    _, cases = run(tmp_path, "reference", "-k", "EXACT-1 and lite-q3", "--device", "cpu", *spread)
    tested = report.read(tmp_path / "report.json").opening["subject"]
    assert (tested["given"], tested["version"]) == ("reference@cpu", Reference.version), f"it is {tested}"
    assert {case["outcome"] for case in cases} == {"passed"}, f"{cases}"


@pytest.mark.parametrize("control", ["coarse_encoder", "dead_zone"])
def test_an_encoder_is_free_within_limits(control: str, tmp_path: Path) -> None:
    """An encoder may compute coarsely, and weigh rate against quality."""
    _, cases = run(tmp_path, f"mutants.subjects:{control}", "--capabilities", "encode", file="test_encode.py")
    assert {c["outcome"] for c in cases} == {"passed"}, f"{[c['message'] for c in cases if c['message']]}"


@pytest.mark.parametrize(
    "subject", [pytest.param("compressai", marks=oracle.needs_compressai), "mutants.subjects:coarse_encoder"]
)
def test_another_format_is_as_good(subject: str, tmp_path: Path) -> None:
    """Right codecs have the rate and the quality of the golden streams, in another format or coarsely computed."""
    _, cases = run(tmp_path, subject, "-k", "ROUNDTRIP-6 and square", file="test_roundtrip.py")
    assert {c["outcome"] for c in cases} == {"passed"}, f"{[c['message'] for c in cases if c['message']]}"


def webp(image: U8, golden: Any) -> tuple[bytes, U8]:
    """Another lossy codec, at a similar rate."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "WEBP", quality=30)
    return file.getvalue(), np.array(PIL.Image.open(file))


OTHER_CODECS: dict[str, Codec] = {
    "mean_colour": lambda image, _: (b"RGB", np.broadcast_to(image.mean((0, 1)).astype(np.uint8), image.shape)),
    "four_bits": lambda image, _: (zlib.compress((image & 0xF0).tobytes(), 9), image & np.uint8(0xF0)),
    "webp": webp,
    "raw": lambda image, _: (image.tobytes(), image),
    "png": lambda image, _: (picturefiles.png(image), image),
    "three_times_the_rate": lambda _, golden: (3 * golden["stream"], golden["image"]),
    "upside_down": lambda _, golden: (golden["stream"], golden["image"][::-1]),
    "a_row_less": lambda _, golden: (golden["stream"], golden["image"][:-1]),
}


@pytest.mark.parametrize("codec", OTHER_CODECS.values(), ids=OTHER_CODECS)
def test_what_is_no_such_codec_is_seen(codec: Codec) -> None:
    """What another codec makes of the pictures has another rate or another quality, in each of them."""
    for picture in vectors.frozen().pictures:
        image, golden = made(picture)
        blob, shown = codec(image, golden)
        assert unlike(image, {"blob": blob}, {"image": shown}, golden), f"{picture.model}/{picture.name} passes"


def test_answers_that_are_looked_up(tmp_path: Path) -> None:
    """A subject that knows the golden vectors alone passes them, and no question that stands in no file."""
    only = ("--in-process", "-k", "lite-q3/square or rare or other_height")
    status, cases = run(tmp_path, "LooksUp", *only)
    assert (status, {c["outcome"] for c in cases}) == (0, {"passed"}), f"{[c for c in cases if c['message']]}"
    _, cases = run(tmp_path, "LooksUp", "--in-process", "-k", "FRESH")
    assert {c["outcome"] for c in cases} == {"failed"}, f"{[c for c in cases if c['outcome'] != 'failed']}"


@pytest.mark.parametrize("operation", fresh.ASKED)
def test_a_seed_asks_the_same_questions(operation: str) -> None:
    """One seed gives the same questions again, another one gives others."""
    one, again, other = (list(fresh.questions(operation, seed)) for seed in (5, 5, 6))
    for first, second, third in zip(one, again, other, strict=True):
        assert first_difference(second.asked.inputs, first.asked.inputs, {}) is None, "another question"
        assert first_difference(second.due, first.due, {}) is None, "another answer"
        assert first_difference(third.asked.inputs, first.asked.inputs, {}), "two seeds, one question"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, 1.5, 3], "is 1.5, expected 1.0: off by 0.5, 5 times the tolerance (others by up to 20 times);"),
        ([1, 3, 1.5], "is 3.0, expected 1.0: off by 2, 20 times the tolerance;"),
    ],
)
def test_the_first_difference_tells_of_larger_ones(values: list[float], told: str) -> None:
    """A message about a value that passes its tolerance only just says by how much others do."""
    message = str(first_difference({"y": np.array(values)}, {"y": np.ones(3)}, {"y": 0.1}))
    assert message == f"y[1] {told} 2 of 3 values differ", f"it says {message}"


def test_each_run_asks_other_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run without --seed draws one, tells it first, and gives it to all processes and messages."""

    def seeds(*options: str) -> set[str]:
        _, cases = run(tmp_path, "LooksUp", "--in-process", "-v", "-k", "FRESH and rans", *options)
        shown = capsys.readouterr().out.partition("rootdir")[0]
        return {seed for text in (shown, *map(str, cases)) for seed in re.findall(r"--seed (\d+)", text)}

    drawn = [seeds(), seeds("-n", "1")]
    assert [len(each) for each in drawn] == [1, 1], f"not one seed a run: {drawn}"
    assert drawn[0] != drawn[1], "two runs ask the same questions"
    assert seeds("--seed", "7") == {"7"}, "another seed than the one that was asked for"


@pytest.mark.parametrize("isolation", [(), ("--in-process",)], ids=["isolated", "in process"])
def test_arrays_of_either_byte_order_are_taken(isolation: tuple[str, ...], tmp_path: Path) -> None:
    """A .npy file states its byte order, so an answer in another machine's is right."""
    capabilities = ("--capabilities", "rans,buffers,entropy-exact,decode", "--tier", "smoke")
    status, cases = run(tmp_path, "BigEndian", *capabilities, "-k", "lite-q3/square or rare", *isolation)
    assert {c["outcome"] for c in cases} == {"passed"}, f"{[c['message'] for c in cases if c['message']]}"
    assert status == 0, f"the run ended with {status}"


@pytest.mark.parametrize(
    ("miniature", "outcome", "words"),
    [
        (
            "GoesAstrayElsewhere",
            "failed",
            ["sse4, y_hat differs", "y_hat at channel 3, row 1, column 2", "dB in place of"],
        ),
        ("DiesElsewhere", "crashed", ["the second process, sse4, can't start"]),
    ],
)
def test_another_process_is_asked(miniature: str, outcome: str, words: list[str], tmp_path: Path) -> None:
    """A decoder that is right where it encoded and wrong elsewhere fails, and so does one that dies there."""
    status, cases = run(tmp_path, miniature, "--in-process", "-k", "lite-q3/gradient", file="test_portable.py")
    assert [c["outcome"] for c in cases] == [outcome], f"{cases}"
    assert status == pytest.ExitCode.TESTS_FAILED, f"the run ended with {status}"
    for part in words:
        assert part in str(cases[0]["message"]), f"{part!r} isn't in the message:\n{cases[0]['message']}"


ERRATIC = """
import json, os, sys, time

for line in sys.stdin:
    request = json.loads(line)
    if "hello" in request:
        answer = {"protocol": 1, "name": "erratic", "version": "0", "capabilities": ["transforms"]}
    elif request["operation"] == "g_a":
        time.sleep(60)
    elif request["operation"] == "h_a":
        os.abort()
    else:
        answer = {"id": request["id"] + 1, "unsupported": True}
    print(json.dumps(answer), flush=True)
"""
"""A program that hangs, dies, or answers the wrong request."""


def test_a_run_goes_on_after_each_bad_answer(tmp_path: Path) -> None:
    """Hanging, dying and answering another request each have an outcome of their own, and every case is tried."""
    command = shlex.join([sys.executable, "-S", "-E", "-c", ERRATIC])
    only = ("--capabilities", "transforms", "--answer-timeout", "1", "-k", "lite-q3/square or lite-q4/square")
    status, cases = run(tmp_path, f"cmd:{command}", *only)
    ends = {(c["requirement"], c["outcome"]) for c in cases}
    expected = {("TRANSFORM-1", "timed-out"), ("TRANSFORM-2", "crashed"), ("TRANSFORM-3", "protocol-fault")}
    assert (ends, len(cases)) == (expected, 6), f"{len(cases)} cases, {ends}"
    assert status == pytest.ExitCode.TESTS_FAILED, f"the run ended with {status}"


def test_damaged_vectors_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run doesn't begin if a frozen file was changed, and says which."""
    shutil.copytree(vectors.FOLDER, tmp_path / "vectors")
    (tmp_path / "vectors" / "kodak.json").write_text("{}")
    monkeypatch.setattr(plugin, "frozen", lambda: vectors.load(tmp_path / "vectors"))
    status = pytest_on(CONFORMANCE / "test_vectors.py", "--tier", "smoke")
    assert status == pytest.ExitCode.USAGE_ERROR, f"it ended with {status}"
    assert "kodak.json was changed" in capfd.readouterr().err, "the file isn't named"


def test_silence_is_not_a_pass(tmp_path: Path) -> None:
    """A subject that answers unsupported to all fails the run."""
    status, cases = transforms(tmp_path, "Nothing")
    assert {c["outcome"] for c in cases} == {"unsupported"}, "something else than unsupported"
    assert status == pytest.ExitCode.TESTS_FAILED, f"a run that checked nothing ended with {status}"


def test_collecting_needs_no_subject(tmp_path: Path) -> None:
    """`--collect-only` starts no subject, writes no file and ends well."""
    files = ["--report", str(tmp_path / "report.json"), "--write-known-failures", str(tmp_path / "known.json")]
    options = ["--collect-only", "--subject", "no_such_module:Subject", *files]
    status = pytest_on(CONFORMANCE / "test_vectors.py", *options)
    assert status == pytest.ExitCode.OK, f"collecting ended with {status}"
    assert not list(tmp_path.iterdir()), "a file was written, though nothing was checked"


def test_known_failures_are_strict(tmp_path: Path) -> None:
    """A list of known failures makes the run pass; an entry that passes or ends otherwise makes it fail."""
    known = tmp_path / "known.json"
    use, write = ("--known-failures", str(known)), ("--write-known-failures", str(known))
    status, _ = transforms(tmp_path, "Raises", *write)
    entries = json.loads(known.read_text())
    assert status == pytest.ExitCode.TESTS_FAILED, "it should fail without the list"
    assert {entry["id"][:11] for entry in entries} == {"TRANSFORM-3"}, f"g_s alone is wrong: {entries}"
    assert "ZeroDivisionError" in entries[0]["reason"], f"no reason: {entries[0]}"
    status, cases = transforms(tmp_path, "Raises", *use)
    assert status == 0, "known failures should not fail the run"
    assert [c["outcome"] for c in cases].count("known-failure") == len(entries), "not all are reported as known"
    entries[0]["reason"] = "waiting for a repair"
    known.write_text(json.dumps(entries))
    transforms(tmp_path, "Raises", *use, *write)
    assert json.loads(known.read_text()) == entries, "a list that is written anew lost its reasons"
    for miniature, why in (("OneTooMany", "hides one of another kind"), (REFERENCE, "that passes fails no run")):
        status, _ = transforms(tmp_path, miniature, *use)
        assert status == pytest.ExitCode.TESTS_FAILED, f"a known failure {why}"


def test_a_stopped_run_is_no_complete_report(tmp_path: Path) -> None:
    """A run that stops before its end leaves a report without its closing record, and the matrix says so."""
    path, cut = tmp_path / "report.json", tmp_path / "cut.json"
    options = ("--in-process", "-k", "TRANSFORM-3", "-x", "--subject", "tests.miniatures:Raises")
    pytest_on(CONFORMANCE / "test_vectors.py", *options, "--report", str(path))
    found = report.read(path)
    assert len(found.cases) == 1, f"it should stop at the first failure, it has {len(found.cases)} cases"
    assert found.closing is None, "a stopped run counts as complete"
    transforms(tmp_path, "Nothing")
    cut.write_text("\n".join(path.read_text().splitlines()[:4]) + '\n{"record": "ca')
    assert report.read(cut).closing is None, "a cut-off report counts as complete"
    shown = matrix.matrix([path, cut])
    assert "nothing 0 | nothing 0 (cut off)" in matrix.markdown(shown), matrix.markdown(shown)
    assert "nothing 0 (cut off)" in matrix.page(shown), "the page doesn't say that a report was cut off"


def test_matrix_shows_the_worst_outcome() -> None:
    """A cell is a pass only if every case of its requirement passed."""
    assert matrix.cell({"passed": 3}) == ("passed", "✓"), "three passes are a pass"
    assert matrix.cell({"passed": 3, "failed": 1}) == ("failed", "✗ 1 of 4"), "one failure is a failure"
    assert matrix.cell({"passed": 2, "not-run": 1}) == ("passed", "✓ 2 of 3"), "what wasn't run is no pass"
    assert matrix.cell({"unsupported": 2}) == ("unsupported", "–"), "not supported is its own mark"
    assert matrix.cell({}) == ("absent", ""), "no case, no mark"


def test_matrix_counts_a_requirement_by_capability(tmp_path: Path) -> None:
    """A requirement of every capability has one row in each, with the cases of that capability alone."""
    run(tmp_path, "numpy", "--capabilities", "rans,encode", file="test_state.py")
    lines = matrix.markdown(matrix.matrix([tmp_path / "report.json"])).splitlines()
    assert lines[2:4] == ["| rans | STATE-1 | ✓ |", "| encode | STATE-1 | – |"], "\n".join(lines)
