"""The fuzz harness: its inputs are fixed, it finds what is wrong, and a right pair passes."""

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbtref.bitstream import DIMENSIONS_AT, HEADER_BYTES
from mbtref.rans import FLUSHED
from mbtref.suite.fuzz import __main__ as fuzz
from mbtref.suite.fuzz import damage
from mbtref.suite.operations import Values
from mbtref.suite.subjects.one_file import OneFile
from mbtref.suite.subjects.protocol import Rejected

Call = Callable[[OneFile, str, str | None, Values], Values]
RIGHT = OneFile.call


def accepts_a_missing_word(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """Takes words beyond the end for 0."""
    try:
        return RIGHT(self, operation, model, inputs)
    except Rejected as rejected:
        if (operation, rejected.kind) != ("rans_decode", "truncated"):
            raise
        return {"symbols": np.zeros(0, np.int32)}


def raises_and_calls_by_another_kind(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """Of rANS, it doesn't look whether a word is left; of raw buffers, it calls wrong shapes truncated."""
    try:
        return RIGHT(self, operation, model, inputs)
    except Rejected as rejected:
        if operation == "rans_decode":
            raise IndexError("pop from empty list") from rejected
        raise Rejected("truncated" if operation == "unpack_raw" else rejected.kind) from rejected


def last_latent_wrong(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """The last latent of a stream is a step off."""
    answer = RIGHT(self, operation, model, inputs)
    if operation == "decode":
        np.asarray(answer["y_hat"])[-1, -1, -1] += 1
    return answer


def never_ends(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """Hangs on a raw buffer."""
    while operation == "unpack_raw":
        pass
    return RIGHT(self, operation, model, inputs)


def fuzzed(folder: Path, *options: str) -> int:
    """The exit status of a short run whose findings go into a folder."""
    return fuzz.main(["--count", "100", "--findings", str(folder / "found"), *options])


def test_a_seed_fixes_the_inputs() -> None:
    """The same seed gives the same inputs, and another seed others."""
    first, again, other = (
        [(q[:3], q.data) for _, q in itertools.islice(damage.questions(seed), 50)] for seed in (3, 3, 4)
    )
    assert first == again, "the inputs of a seed are others the second time"
    assert first != other, "the seed changes nothing"


def test_the_right_pair_has_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both decoders agree on the first inputs of a seed; the status is 0 and nothing is written."""
    status = fuzzed(tmp_path)
    printed = capsys.readouterr().out
    assert status == 0, f"the two differ:\n{printed}"
    assert not list(tmp_path.iterdir()), "a folder of findings was made for none"
    assert "100 inputs" in printed, f"it doesn't say how many inputs it had:\n{printed}"
    for target in damage.TARGETS:
        assert f"\n{target} " in printed, f"the table lacks {target}:\n{printed}"


@pytest.mark.parametrize(
    ("wrong", "target", "words"),
    [
        (accepts_a_missing_word, "rans", "the reference says truncated, the one-file decoder taken"),
        (raises_and_calls_by_another_kind, "rans", "the one-file decoder IndexError: pop from empty list"),
        (raises_and_calls_by_another_kind, "raw", "the one-file decoder truncated"),
        (last_latent_wrong, "latents", "the one-file decoder's y_hat["),
    ],
)
def test_a_wrong_decoder_is_found(
    wrong: Call, target: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder wrong in one way gives status 1, and files with the input and with what differed."""
    monkeypatch.setattr(OneFile, "call", wrong)
    assert fuzzed(tmp_path, "--seed", "5") == 1, "the status doesn't say that there are findings"
    asked = dict(enumerate(itertools.islice(damage.questions(5), 100)))
    notes = sorted((tmp_path / "found").glob(f"{target}-5-*.txt"))
    assert notes, f"no finding of {target}"
    for note in notes:
        name, question = asked[int(note.stem.rpartition("-")[2])]
        text = note.read_text()
        assert words in text, f"it doesn't say what differed: {text}"
        assert name == target, f"a finding of {target} has the number of an input of {name}"
        assert question.vector in text, f"it doesn't say of which vector the input is made: {text}"
        assert note.with_suffix(".bin").read_bytes() == question.data, f"{note.stem}.bin isn't the input"


def test_a_decoder_that_never_ends_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes too long is ended and is a finding; a run ends after enough of them."""
    fuzz.load_models()
    monkeypatch.setattr(fuzz, "SECONDS_MAX", 0.25)
    monkeypatch.setattr(fuzz, "FINDINGS_MAX", 1)
    monkeypatch.setattr(OneFile, "call", never_ends)
    assert fuzzed(tmp_path) == 1, "the status doesn't say that there is a finding"
    (note,) = (tmp_path / "found").glob("*.txt")
    assert "TimeoutError: no answer after 0.25 seconds" in note.read_text(), "it doesn't say that it took too long"


def test_no_input_is_large() -> None:
    """A stream that claims a large picture has no words for it, so that no input takes long."""
    for _, question in itertools.islice(damage.questions(0), 500):
        data = question.data
        if question.operation == "decode" and len(data) >= HEADER_BYTES:
            height, width = struct.unpack_from("<HH", data, DIMENSIONS_AT)
            large = -(-height // 64) * -(-width // 64) > damage.BLOCKS_MAX
            assert not large or len(data) <= HEADER_BYTES + FLUSHED, f"{height}×{width} with {len(data)} bytes"
