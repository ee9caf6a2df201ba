"""What a failed case tells: the field, the stage and the place to look at, the same in every run."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from mbtref.suite import check, explain, kodak
from mbtref.suite.difference import first_difference
from mbtref.suite.subjects import one_file
from mbtref.suite.vectors import frozen
from tests.test_suite import REFERENCE, run

FAULTS = """
NotANumber vectors TRANSFORM-2/lite-q3/square
    z isn't finite at (1, 0, 0)
OneTooMany vectors TRANSFORM-3/lite-q3/square
    y_hat in the answer, but not asked for
Raises vectors TRANSFORM-3/lite-q3/square
    ZeroDivisionError: division by zero … miniatures.py
SpeaksInSurrogates vectors TRANSFORM-3/lite-q3/odd
    RuntimeError: bad \ud800 text
JunkAfterZlib vectors BUFFER-2/lite-q3/odd
    isn't one whole zlib stream
OffTheGrid vectors DECODE-3/lite-q3/kodim20
    not a multiple of 1 / 1024
GridUnits vectors DECODE-1/lite-q3/square
    y_hat[ … : grid units, off by a factor of 1024;
OneLatentOff vectors DECODE-3/lite-q3/kodim20
    y_hat: its SHA-256 isn't … y_hat[3, 1, 2] is … every stage is right … look at the entropy coder
OneSymbolOff vectors EXACT-2/lite-q3/square
    k[5, 2, 1] is … teacher-forced, every stage is right … look at what a step hands on
RefusesAll roundtrip test_size
    decompress: refused as bad-magic, should be taken
WrongOnce roundtrip test_size
    the same question was answered in two ways: decompress: refused as bad-magic
OneLatentOff roundtrip test_both_sides
    decoder and encoder disagree: y_hat[3, 1, 2] is
Remembers roundtrip test_padding
    the answer is that of an earlier picture
ForgetsZ roundtrip test_buffer
    z of the raw buffer isn't what was packed: z[0, 0, 0] is 7.0, expected
SwapsSides encode lite-q3/tall
    refuses the stream as truncated … its header has a height of 64 and a width of 128
SwapsSides encode lite-q3/odd
    the stream holds a picture (71, 97, 3), the encoder was given (97, 71, 3)
BlueFirst encode lite-q3/odd
    dB worse … padded before it is encoded, is wrong too
ShowsNegatives kodak closed_loop and lite-q3/kodim20
    PSNR is … the decoder is wrong: y_hat[3, 1, 2] is … every stage is right
BlueFirst kodak closed_loop and lite-q3/kodim20
    PSNR is … decoded right: look at the encoder … k_z differs from the golden one in … latents moved
"""
"""A wrong implementation, the file and the case that it is asked; below them the message, shortened."""


def faults() -> list[object]:
    """Each as a parameter of pytest."""
    lines = FAULTS.strip().splitlines()
    return [
        pytest.param(*line.split(maxsplit=2), text.strip().split(" … "), id=line)
        for line, text in zip(lines[::2], lines[1::2], strict=True)
    ]


@pytest.mark.parametrize(("miniature", "file", "only", "parts"), faults())
def test_a_message_leads_to_the_fault(
    miniature: str, file: str, only: str, parts: list[str], tmp_path: Path
) -> None:
    """A wrong answer is led back to the form of the answer, the stage, or the first wrong place."""
    if file == "kodak" and not (kodak.folder() / "kodim20.png").is_file():
        pytest.skip("not run: no Kodak pictures, see 'mbtref kodak fetch'")
    holds(message(tmp_path, miniature, only, file=f"test_{file}.py"), *parts)


def message(folder: Path, miniature: str, only: str, *options: str, file: str = "test_vectors.py") -> str:
    """The message of the one case that is chosen, which must fail."""
    status, cases = run(folder, miniature, *(options or ("--in-process",)), "-k", only, file=file)
    ends = [(case["case"], case["outcome"]) for case in cases]
    assert (status, len(cases)) == (pytest.ExitCode.TESTS_FAILED, 1), f"{ends} ended with {status}"
    return str(cases[0]["message"])


def holds(text: str, *parts: str) -> None:
    """Asserts that a message has these parts in this order, then its end, and no address of an object."""
    place = 0
    for part in (*parts, "required: ", "repeat: pytest"):
        place = text.find(part, place)
        assert place >= 0, f"{part!r} isn't in the message, or not where it should be:\n{text}"
    assert " object at 0x" not in text, f"the message is another one in the next run:\n{text}"


OF_HEADER = "look at the header (§6): bytes 12 to 15, height and width, little-endian: 61 00 47 00\n"
OF_LOOP = """\
the stream is whole: 20 bytes of header, 124 words of payload
  height 97, width 71: 2×2 blocks of 64×64 pixels (§3)
  teacher-forced, every stage is right
  in closed loop without the coder, the first wrong value is y_hat at channel 0, row 0, column 0: y_hat[0, 0, 0] \
is -1024, expected -991; 4087 of 4096 values differ
  look at what a step hands on: y_hat = saturate(k + mu), and which neighbours the context takes
"""


@pytest.mark.parametrize(
    ("miniature", "kind", "lines"),
    [("OtherByteOrder", "too-large", OF_HEADER), ("ForgetsTheMean", "bad-final-state", OF_LOOP)],
)
def test_a_whole_message(miniature: str, kind: str, lines: str, tmp_path: Path) -> None:
    """A message says what is wrong, where to look, what the case catches, what is required, how to repeat it."""
    assert message(tmp_path, miniature, "DECODE-1/lite-q3/odd") == (
        "DECODE-1/lite-q3/odd: failed\n"
        f"  decode: refused as {kind}, should be taken\n"
        f"  {lines}"
        "  catches: any stage that isn't exact; symbols in another order; a crop that isn't the top left\n"
        "  required: A stream decodes to exactly these latents, and to this picture; samples near a tie may "
        "differ by one level. (§§1 to 6, 9)\n"
        "  repeat: pytest 'conformance/test_vectors.py::test_vector[DECODE-1/lite-q3/odd]' "
        f"--subject tests.miniatures:{miniature} --in-process"
    ), "another message"


@pytest.mark.parametrize("options", [("--answer-timeout", "45"), ("--processor", "sse4")])
def test_a_message_repeats_the_options_of_its_run(options: tuple[str, ...], tmp_path: Path) -> None:
    """From a process of its own, too, comes the advice, and the command has what the answer may depend on."""
    text = message(tmp_path, "BareArray", "TRANSFORM-3/lite-q3/square", *options)
    holds(text, "the answer is ndarray, not a mapping", "give {'x_hat': ...}")
    assert text.endswith(shlex.join(options)), f"{shlex.join(options)} should end the command:\n{text}"
    opening, *_ = json.loads((tmp_path / "report.json").read_text())
    assert opening["machine"].get("simulated", "45") == options[1], f"the report has another processor: {opening}"


@pytest.mark.parametrize(
    ("places", "last"),
    [
        ([(1, 0, 5), (2, 7, 0)], "all of them lie beyond the picture: look at the padding (§3)"),
        ([(2, 6, 4), (1, 0, 5)], "the first in coding order is channel 1, row 0, column 5"),
        ([], "no latent moved by more than half a step"),
    ],
)
def test_moved_latents_are_told(places: list[tuple[int, ...]], last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first latent that moved is named, and padding is suspected if all of them are beyond the picture."""
    golden = {"k_z": np.zeros((2, 2, 2), np.int32), "y_hat": np.zeros((3, 8, 8), np.int32)}
    found = {name: value.copy() for name, value in golden.items()}
    for place in places:
        found["y_hat"][place] = 1024
    monkeypatch.setattr(one_file, "latents", lambda _, stream: golden if stream == b"golden" else found)
    lines = list(explain.moved("lite-q3", b"found", b"golden", 97, 71))
    assert lines[-1].endswith(last), f"{lines}"


@pytest.mark.parametrize(
    ("values", "expected", "tolerance", "units"),
    [
        ([2048.0], [2.0], 0.0, True),
        ([0.5], [512.0], 0.0, True),
        ([2047.0], [2.0], 0.0, False),
        ([2048.0, 3.0], [2.0, 4.0], 0.0, False),  # the first one alone, by chance
        ([2049.0, 0.0, -1023.0], [2.0, 0.0, -1.0], 0.01, True),  # floats within their tolerance
    ],
)
def test_grid_units_are_seen(values: list[float], expected: list[float], tolerance: float, units: bool) -> None:
    """Values are told to be in grid units, or to lack them, if the factor is 1024 for all of them."""
    found = str(first_difference({"mu": np.array(values)}, {"mu": np.array(expected)}, {"mu": tolerance}))
    assert ("grid units, off by a factor of 1024" in found) is units, found


@pytest.mark.parametrize(("error", "unit"), [(1.01, " (probability)"), (0.5, " bits")])
def test_likelihoods_have_a_unit(error: float, unit: str) -> None:
    """Whether a likelihood is compared as a probability or in bits is said."""
    vector = frozen().vector("FLOAT-2/lite-q3/square")
    right = dict(vector.expected)
    likelihoods = np.array(right["y_likelihoods"])
    place = np.unravel_index((likelihoods if unit == " bits" else -likelihoods).argmin(), likelihoods.shape)
    likelihoods[place] *= error
    difference = check.first_wrong(vector, {**right, "y_likelihoods": likelihoods}, right)
    assert str(difference).count(unit) == 2, f"both values should have the unit: {difference}"


@pytest.mark.parametrize(
    ("stream", "kind", "words"),
    [
        (b"MBT", "truncated", ["look at the header (§6): it has 20 bytes, this stream has 3"]),
        (bytes(40), "bad-magic", ["look at the header (§6): bytes 0 to 2, the letters MBT: 00 00 00"]),
        (bytes(40), "bad-final-state", []),
    ],
)
def test_a_refusal_leads_to_the_header(stream: bytes, kind: str, words: list[str]) -> None:
    """A kind that is known before the payload is read points to its field; others don't."""
    assert list(explain.field(stream, kind)) == words, "another field"


@pytest.mark.parametrize("on_ci", ["", "true"])
def test_one_cause_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_ci: str
) -> None:
    """Cases with one cause share one whole message, unless -v asks for all; the report has all either way."""
    monkeypatch.setenv("CI", on_ci)
    only = ["--in-process", "-k", "TRANSFORM-3/lite-q3"]
    capsys.readouterr()
    _, cases = run(tmp_path, "WrongDtype", *only)
    short = capsys.readouterr().out
    assert "the same in 3 cases: g_s: x_hat has dtype float64, not float32 (TRANSFORM-3 3)" in short, short
    assert short.count("repeat: pytest") == 1, f"one message should be whole:\n{short}"
    assert all("repeat: pytest" in str(case["message"]) for case in cases), "the report lacks a message"
    run(tmp_path, "WrongDtype", *only, "-vv")
    assert capsys.readouterr().out.count("repeat: pytest") == 3, "-v should show each message"


def test_what_is_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines say how many cases weren't run, why, and what to do."""
    monkeypatch.setenv("MBTREF_KODAK", str(tmp_path))
    run(tmp_path, REFERENCE, "--in-process", "-k", "test_open_loop and lite-q3/kodim01", file="test_kodak.py")
    out = capsys.readouterr().out
    assert "mbtref kodak fetch" in out.rpartition("not run, 1 case: ")[2], f"no advice in:\n{out}"
