"""What a failed case tells: the field, the stage and the place to look at, the same in every run."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbtref.suite import check, explain, kodak, mistakes
from mbtref.suite.difference import first_difference
from mbtref.suite.figures import U8, made, too_dear
from mbtref.suite.operations import Values
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
OffTheGrid vectors DECODE-3/lite-q5/kodim20
    not a multiple of 1 / 1024
GridUnits vectors DECODE-1/lite-q3/square
    y_hat[ … : grid units, off by a factor of 1024;
OneLatentOff vectors DECODE-3/lite-q5/kodim20
    y_hat: its SHA-256 isn't … y_hat[3, 1, 2] is … every stage is right … look at the entropy coder
OneSymbolOff vectors EXACT-2/lite-q3/square
    k[5, 2, 1] is … teacher-forced, every stage is right … look at how y comes to the grid
RefusesAll roundtrip test_size
    decompress: refused as bad-magic, should be taken
WrongOnce roundtrip test_size
    the same question was answered in two ways: decompress: refused as bad-magic
OneLatentOff roundtrip test_both_sides
    decoder and encoder disagree: y_hat[3, 1, 2] is
Remembers roundtrip test_padding
    other pixels give these bytes, too
UnmaskedEncoder roundtrip test_both_sides
    decoder and encoder disagree: y_hat[ … model='filled'
Unmasked roundtrip test_both_sides
    decoder and encoder disagree: y_hat[ … model='filled'
ForgetsZ roundtrip test_buffer
    z of the raw buffer isn't what was packed: z[0, 0, 0] is 7.0, expected
ExchangesSides encode lite-q3/tall
    refuses the stream as truncated … height and width are exchanged … its header has a height of 64
ExchangesSides encode lite-q3/odd
    the stream holds a picture (71, 97, 3), the encoder was given (97, 71, 3) … height and width are exchanged
InRows encode lite-q3/odd
    refuses the stream … the stream is right but for this: symbols of y come row by row
UnderMu encode lite-q3/odd
    the stream is right but for this: tables of y are looked up by mu, not by sigma
ChecksPayload encode lite-q3/square
    checksum-mismatch … is that of the payload alone … little-endian: … expected
BlueFirst encode lite-q3/odd
    dB worse … with red and blue exchanged is right … padded before it is encoded, is wrong too
PadsWithZeros vectors REPRODUCIBLE-1/lite-q3/odd
    stream[20] is … latents moved … padded before it is encoded, is right: look at the padding
OneChannelLess vectors TRANSFORM-2/lite-q3/square
    z is of shape (47, 1, 1), expected (48, 1, 1) … catches
OfMu vectors EXACT-1/lite-q3/square
    index[ … look at the index (§4): it is looked up by mu, not by sigma
AtThreshold vectors EXACT-1/lite-q3/square
    index[ … look at the index (§4): a scale at a threshold counts as above it
HalfPrecision vectors TRANSFORM-1/lite-q3/square
    y[ … small errors everywhere, as of another precision
HalfPrecision vectors TRANSFORM-3/lite-q6/odd
    x_hat[ … small errors everywhere, as of another precision
HalfPrecision vectors FLOAT-1/lite-q6/odd
    psi[ … small errors everywhere, as of another precision
Remembers state STATE-1/compress
    the first with another last image has another answer after the first than alone: blob[ … kept
Chance state STATE-1/h_a
    asked twice of a new process, has two answers: z[
ShowsNegatives kodak closed_loop and lite-q5/kodim20
    PSNR is … the decoder is wrong: y_hat[3, 1, 2] is … every stage is right
BlueFirst kodak closed_loop and lite-q5/kodim20
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


OF_HEADER = (
    "look at the header (§6): bytes 12 to 15, height and width, little-endian: 61 00 47 00, which is right: "
    "what is wrong is how it is read\n"
)


OF_LOOP = """\
the stream is whole: 20 bytes of header, 124 words of payload
  height 97, width 71: 2×2 blocks of 64×64 pixels (§3)
  teacher-forced, every stage is right
  in closed loop without the coder, the first wrong value is y_hat at channel 0, row 0, column 0: y_hat[0, 0, 0] \
is -1024, expected -991; 4087 of 4096 values differ
  look at how y comes to the grid (§12), at y_hat = saturate(k + mu), and at the neighbours of a position
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


LOOK = "look at the header (§6)"


@pytest.mark.parametrize(
    ("stream", "kind", "words"),
    [
        (b"MBT", "truncated", [f"{LOOK}: it has 20 bytes, this stream has 3"]),
        (bytes(40), "bad-magic", [f"{LOOK}: bytes 0 to 2, the letters MBT: 00 00 00, expected 4d 42 54"]),
        (b"MBT\2" + bytes(36), "unsupported-version", [f"{LOOK}: byte 3, the version: 02, expected 01"]),
        (bytes(40), "bad-dimensions", [f"{LOOK}: bytes 12 to 15, height and width, little-endian: 00 00 00 00"]),
        (bytes(40), "bad-final-state", []),
    ],
)
def test_a_refusal_leads_to_the_header(stream: bytes, kind: str, words: list[str]) -> None:
    """A kind that is known before the payload is read points to its field; others don't."""
    assert list(explain.field("lite-q3", stream, kind)) == words, "another field"


STREAM = bytes(frozen().vector("DECODE-1/lite-q3/odd").inputs["stream"])


def test_the_mistake_of_a_stream_is_recognised() -> None:
    """A right stream that is written with one mistake is explained by this mistake."""
    tried = list(mistakes.to_decoder("lite-q3", STREAM))
    assert len(tried) == len(mistakes.HEADERS) + len(mistakes.LAYOUTS), "a mistake isn't tried"
    for mistake, wrong, _ in tried:
        found = list(mistakes.of_encoder("lite-q3", wrong, *mistakes.sides(STREAM)))
        assert found[:1] == [mistake], f"{mistake}: the stream is explained by {found}"


@pytest.mark.parametrize("size", [(97, 71), (64, 64), (70, 128)])
def test_the_mistake_of_a_picture_is_recognised(size: tuple[int, int]) -> None:
    """A picture that is made wrongly of right latents is explained by this mistake; a right one by none."""
    right = one_file.decode("lite-q3", STREAM)
    y_hat = np.asarray(right["y_hat"])
    guesses = list(mistakes.picture_by("lite-q3", y_hat, *size))
    for mistake, wrong in guesses:
        same = [name for name, other in guesses if np.array_equal(wrong, other)]
        assert mistakes.fitting(wrong, iter(guesses)) in ([name] for name in same), f"{mistake} isn't recognised"
    if size == (97, 71):
        assert not mistakes.fitting(np.asarray(right["image"]), iter(guesses)), "a right picture is called wrong"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image, "has 300 bytes in place of 260, and its picture is as good;"),
        (lambda image: image ^ (image == image.max()), "300 bytes in place of 260, and its picture is as good;"),
        (lambda image: 255 - image, "dB worse; 5% more and 0.20 dB worse are allowed"),
    ],
)
def test_a_stream_that_costs_too_much(change: Callable[[U8], U8], words: str) -> None:
    """Bytes and quality are told as one reads them: no loss of -0.00."""
    image, golden = made(frozen().pictures[0])
    came: Values = {
        "stream": bytes(golden["stream"]).ljust(300),
        "image": change(np.asarray(golden["image"], np.uint8)),
    }
    assert words in str(too_dear(image, came, golden)), f"{too_dear(image, came, golden)}"


@pytest.mark.parametrize(
    ("value", "right", "where"),
    [
        (b"MBT" + bytes(20), b"MBT" + bytes(13) + b"crc." + b"\0\1\0", 21),
        (b"MBT" + bytes(20), b"MBT" + bytes(13) + b"crc." + bytes(3), 16),
        (b"MBT" + bytes(20), b"MBT" + bytes(13) + b"crc." + bytes(9), 23),
        (b"MBT" + bytes(20), b"MBT\1" + bytes(12) + b"crc." + bytes(3), 3),
        (bytes(20), bytes(16) + b"four", 16),
    ],
)
def test_a_checksum_is_named_last(value: bytes, right: bytes, where: int) -> None:
    """The first difference of two streams is what the checksum follows from, if there is such a thing."""
    difference = first_difference({"stream": value}, {"stream": right}, {})
    assert difference, "no difference"
    assert difference.where == (where,), f"{difference}"


def test_a_wrong_answer_is_no_memory(tmp_path: Path) -> None:
    """A subject that is wrong, or has one answer for all questions, but the same alone, keeps nothing."""
    _, cases = run(tmp_path, "WrongAlways", "--in-process", "-k", "g_s or 1/encode]", file="test_state.py")
    assert [(case["case"], case["outcome"]) for case in cases] == [("g_s", "passed"), ("encode", "passed")], cases


def test_a_bounded_sigma_is_right(tmp_path: Path) -> None:
    """A network that gives max(sigma, 0.11) is the same codec."""
    sigma = np.asarray(frozen().vector("FLOAT-1/lite-q3/tall").expected["sigma"], np.float64)
    assert sigma.min() < 0.11, "nothing is bounded"
    _, cases = run(tmp_path, "BoundsSigma", "--in-process", "-k", "FLOAT-1/lite-q3")
    assert {case["outcome"] for case in cases} == {"passed"}, f"{cases}"


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
    assert "  g_s: x_hat has dtype float64, not float32: TRANSFORM-3 3; first TRANSFORM-3/lite-q3/" in short, short
    assert short.count("repeat: pytest") == 1, f"one message should be whole:\n{short}"
    assert all("repeat: pytest" in str(case["message"]) for case in cases), "the report lacks a message"
    run(tmp_path, "AtThreshold", "--in-process", "-k", "EXACT-1 and (lite-q3 or thresholds)")
    _, cause, last = capsys.readouterr().out.partition(
        "  the first wrong stage is index: EXACT-1 5; first EXACT-1/"
    )
    assert cause, last
    made_for_it = last.splitlines()[1]
    assert made_for_it.startswith("    catches: a threshold one off"), f"it isn't first: {last}"
    run(tmp_path, "WrongDtype", *only, "-vv")
    assert capsys.readouterr().out.count("repeat: pytest") == 3, "-v should show each message"


def test_what_is_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines say how many cases weren't run, why, and what to do."""
    monkeypatch.setenv("MBTREF_KODAK", str(tmp_path))
    run(tmp_path, REFERENCE, "--in-process", "-k", "test_open_loop and lite-q3/kodim02", file="test_kodak.py")
    out = capsys.readouterr().out
    assert "mbtref kodak fetch" in out.rpartition("not run, 1 case: ")[2], f"no advice in:\n{out}"
