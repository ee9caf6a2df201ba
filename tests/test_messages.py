"""What a failed case tells: the field, the stage and the place to look at, the same in every run."""

from pathlib import Path

import numpy as np
import pytest

from mbtref.suite import check, explain, kodak
from mbtref.suite.difference import first_difference
from mbtref.suite.subjects import one_file
from mbtref.suite.vectors import frozen
from tests.test_suite import CONFORMANCE, run


def message(folder: Path, miniature: str, file: str, only: str) -> str:
    """The message of the one case that is chosen, which must fail."""
    subject = f"tests.miniatures:{miniature}"
    status, cases = run(folder, subject, "--in-process", "-k", only, file=f"test_{file}.py")
    ends = [(case["case"], case["outcome"]) for case in cases]
    assert (status, len(cases)) == (pytest.ExitCode.TESTS_FAILED, 1), f"{ends} ended with {status}"
    return str(cases[0]["message"])


def holds(text: str, *parts: str) -> None:
    """Asserts that a message has these parts in this order, and no address of an object."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        assert place >= 0, f"{part!r} isn't in the message, or not where it should be:\n{text}"
    assert " object at 0x" not in text, f"the message is another one in the next run:\n{text}"


@pytest.mark.parametrize(
    ("miniature", "vector", "parts"),
    [
        (
            "OtherByteOrder",
            "DECODE-1/lite-q3/odd",
            [
                "refused as too-large",
                "look at the header (§6): bytes 12 to 15, height and width",
                ": 61 00 47 00\n",
            ],
        ),
        ("GridUnits", "DECODE-1/lite-q3/square", ["y_hat[", ": grid units, off by a factor of 1024; "]),
        (
            "WrongMask",
            "DECODE-1/lite-q3/scattered_symbols",
            ["teacher-forced, the first wrong stage is phi: phi["],
        ),
        (
            "OneLatentOff",
            "DECODE-3/lite-q3/kodim20",
            ["y_hat: its SHA-256 isn't", "y_hat[3, 1, 2] is", "every stage is right", "look at the entropy coder"],
        ),
        (
            "OneSymbolOff",
            "EXACT-2/lite-q3/square",
            ["k[5, 2, 1] is", "teacher-forced, every stage is right", "look at what a step hands on"],
        ),
    ],
)
def test_a_vector_leads_to_the_fault(miniature: str, vector: str, parts: list[str], tmp_path: Path) -> None:
    """A wrong answer to a vector is led back to the header's field, the stage or the first wrong latent."""
    holds(message(tmp_path, miniature, "vectors", vector), *parts)


def test_the_header_is_enough(tmp_path: Path) -> None:
    """A stream refused for its header says nothing about stages."""
    text = message(tmp_path, "OtherByteOrder", "vectors", "DECODE-1/lite-q3/odd")
    assert "teacher-forced" not in text, f"the stages are asked:\n{text}"


@pytest.mark.parametrize(
    ("miniature", "case", "parts"),
    [
        ("OneLatentOff", "both_sides", ["decoder and encoder disagree: y_hat[3, 1, 2] is"]),
        ("SpoilsTheBorder", "padding", ["whether it was padded before or by the codec: image["]),
        ("Remembers", "padding", ["the answer is that of an earlier picture"]),
        ("ForgetsZ", "buffer", ["z of the raw buffer isn't what was packed: z[0, 0, 0] is 7.0, expected"]),
        ("WrongOnce", "size", ["the same question was answered in two ways: decompress: refused as bad-magic"]),
    ],
)
def test_a_round_trip_names_the_place(miniature: str, case: str, parts: list[str], tmp_path: Path) -> None:
    """A codec that disagrees with itself is told the first coordinate, or that it answered another question."""
    holds(message(tmp_path, miniature, "roundtrip", f"test_{case}"), *parts)


@pytest.mark.parametrize(
    ("miniature", "parts"),
    [
        ("ShowsNegatives", ["PSNR is", "the decoder is wrong: y_hat[3, 1, 2] is", "every stage is right"]),
        (
            "CompressesBlueFirst",
            [
                "PSNR is",
                "decoded right: look at the encoder",
                "k_z differs from the golden one in",
                "latents moved",
            ],
        ),
    ],
)
def test_a_kodak_picture_leads_to_the_fault(miniature: str, parts: list[str], tmp_path: Path) -> None:
    """A wrong figure of a `.mbt` stream is led back to the decoder or the encoder, with the first wrong place."""
    if not (kodak.folder() / "kodim20.png").is_file():
        pytest.skip("not run: no Kodak pictures, see 'mbtref kodak fetch'")
    holds(message(tmp_path, miniature, "kodak", "test_closed_loop and lite-q3/kodim20"), *parts)


def test_wrong_sides_are_told(tmp_path: Path) -> None:
    """An encoder that writes other sides is told those of its header, whether its stream can be decoded or not."""
    text = message(tmp_path, "SwapsSides", "encode", "lite-q3/tall")
    holds(text, "refuses the stream as truncated", "its header has a height of 64 and a width of 128")
    text = message(tmp_path, "SwapsSides", "encode", "lite-q3/odd")
    holds(text, "the stream holds a picture (71, 97, 3), the encoder was given (97, 71, 3)")


def test_padding_is_suspected_where_it_is_to_blame(tmp_path: Path) -> None:
    """An encoder that fails with padding alone is told so."""
    text = message(tmp_path, "PadsWithZeros", "encode", "lite-q3/odd")
    holds(text, "dB worse", "k_z differs", "padded before it is encoded, is right: look at the padding (§3)")
    text = message(tmp_path, "WrongColoursEncoded", "encode", "lite-q3/odd")
    holds(text, "dB worse", "padded before it is encoded, is wrong too")


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


@pytest.mark.parametrize("options", [[], ["--in-process"]], ids=["isolated", "in process"])
def test_an_array_in_place_of_a_mapping(options: list[str], tmp_path: Path) -> None:
    """An adapter that returns an array is told what to return, wherever it runs."""
    only = ["-k", "TRANSFORM-3/lite-q3/square", *options]
    _, cases = run(tmp_path, "tests.miniatures:BareArray", *only)
    holds(str(cases[0]["message"]), "the answer is ndarray, not a mapping", "give {'x_hat': ...}")


@pytest.mark.parametrize(("error", "unit"), [(1.01, " (probability)"), (0.5, " bits")])
def test_likelihoods_have_a_unit(error: float, unit: str) -> None:
    """Whether a likelihood is compared as a probability or in bits is said."""
    vector = next(v for v in frozen().vectors if v.id == "FLOAT-2/lite-q3/square")
    right = dict(vector.expected)
    likelihoods = np.array(right["y_likelihoods"])
    place = np.unravel_index((likelihoods if unit == " bits" else -likelihoods).argmin(), likelihoods.shape)
    likelihoods[place] *= error
    difference = check.first_wrong(vector, {**right, "y_likelihoods": likelihoods}, right)
    assert difference, "the difference isn't seen"
    assert str(difference).count(unit) == 2, f"both values should have the unit: {difference}"


@pytest.mark.parametrize(
    ("stream", "kind", "words"),
    [
        (b"MBT", "truncated", "look at the header (§6): it has 20 bytes, this stream has 3"),
        (bytes(40), "bad-magic", "look at the header (§6): bytes 0 to 2, the letters MBT: 00 00 00"),
        (bytes(40), "bad-final-state", ""),
    ],
)
def test_a_refusal_leads_to_the_header(stream: bytes, kind: str, words: str) -> None:
    """A kind that is known before the payload is read points to its field; others don't."""
    found = list(explain.field(stream, kind))
    assert found == ([words] if words else []), f"{found}"


@pytest.mark.parametrize("on_ci", ["", "true"])
def test_one_cause_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_ci: str
) -> None:
    """Cases with one cause share one whole message, unless -v asks for all; the report has all either way."""
    monkeypatch.setenv("CI", on_ci)
    only = ["--in-process", "-k", "TRANSFORM-3/lite-q3"]
    capsys.readouterr()
    _, cases = run(tmp_path, "tests.miniatures:WrongDtype", *only)
    short = capsys.readouterr().out
    assert "the same in 3 cases: g_s: x_hat has dtype float64, not float32 (TRANSFORM-3 3)" in short, short
    assert short.count("repeat: pytest") == 1, f"one message should be whole:\n{short}"
    assert all("repeat: pytest" in str(case["message"]) for case in cases), "the report lacks a message"
    run(tmp_path, "tests.miniatures:WrongDtype", *only, "-vv")
    assert capsys.readouterr().out.count("repeat: pytest") == 3, "-v should show each message"


def test_what_is_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines say how many cases weren't run, why, and what to do."""
    monkeypatch.setenv("MBTREF_KODAK", str(tmp_path))
    run(tmp_path, "reference", "--in-process", "-k", "test_open_loop and lite-q3/kodim01", file="test_kodak.py")
    out = capsys.readouterr().out
    assert "not run, 1 case: " in out, out
    assert "mbtref kodak fetch" in out.rpartition("not run, 1 case: ")[2], f"it should say what to do:\n{out}"


def test_collecting_needs_no_subject(tmp_path: Path) -> None:
    """`--collect-only` starts no subject, writes no file and ends well."""
    report, known = tmp_path / "report.json", tmp_path / "known.json"
    files = ["--report", str(report), "--write-known-failures", str(known)]
    options = ["--collect-only", "-q", "--subject", "no_such_module:Subject", *files, "-p", "no:cacheprovider"]
    status = pytest.main([str(CONFORMANCE / "test_vectors.py"), *options])
    assert status == pytest.ExitCode.OK, f"collecting ended with {status}"
    assert not report.exists(), "a report was written, though nothing was checked"
    assert not known.exists(), "a list of known failures was written, though nothing was checked"
