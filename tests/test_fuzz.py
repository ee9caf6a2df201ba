"""The fuzz harness: its inputs are fixed, it finds what is wrong, and right decoders pass."""

import itertools
import shutil
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mbtref.bitstream import DIMENSIONS_AT, HEADER_BYTES
from mbtref.rans import FLUSHED
from mbtref.suite.fuzz import __main__ as fuzz
from mbtref.suite.fuzz import damage, inflaters
from mbtref.suite.generate import deflate
from mbtref.suite.operations import Values
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.one_file import OneFile
from mbtref.suite.subjects.protocol import Rejected, Subject

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


def without_its_picture(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """A stream has latents, but no picture."""
    answer = RIGHT(self, operation, model, inputs)
    return {"y_hat": answer["y_hat"]} if operation == "decode" else answer


def never_ends(self: OneFile, operation: str, model: str | None, inputs: Values) -> Values:
    """Hangs on a raw buffer."""
    while operation == "unpack_raw":
        pass
    return RIGHT(self, operation, model, inputs)


NEEDS_NODE = pytest.mark.skipif(not shutil.which("node"), reason="not run: no Node")


def with_third(monkeypatch: pytest.MonkeyPatch, third: Subject | None) -> None:
    """Puts a decoder in the place of the JavaScript codec; or takes Node away, so that there is none."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if third:
        monkeypatch.setattr(fuzz, "node", lambda: "")
    monkeypatch.setattr(fuzz, "isolated", lambda *_: third)


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


@pytest.mark.parametrize("node", [pytest.param(True, marks=NEEDS_NODE), False])
def test_right_decoders_have_no_finding(
    node: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All decoders agree on the first inputs of a seed, nothing is written, and a run without Node says so."""
    if not node:
        with_third(monkeypatch, None)
    status = fuzzed(tmp_path)
    printed = capsys.readouterr().out
    assert status == 0, f"the decoders differ:\n{printed}"
    assert not list(tmp_path.iterdir()), "a folder of findings was made for none"
    assert ("two decoders alone: " in printed) is not node, f"it doesn't say whom it asks:\n{printed}"
    assert f"{2 + node} decoders, 100 inputs" in printed, f"it doesn't say how many inputs it had:\n{printed}"
    for target in damage.TARGETS:
        assert f"\n{target} " in printed, f"the table lacks {target}:\n{printed}"


@pytest.mark.parametrize(
    ("wrong", "target", "words"),
    [
        (accepts_a_missing_word, "rans", "the reference says truncated, {} taken"),
        (raises_and_calls_by_another_kind, "rans", "{} IndexError: pop from empty list"),
        (raises_and_calls_by_another_kind, "raw", "{} truncated"),
        (last_latent_wrong, "latents", "{}'s y_hat["),
        (without_its_picture, "latents", "{}'s image missing from the answer"),
    ],
)
@pytest.mark.parametrize("decoder", ["the one-file decoder", "the JavaScript codec"])
def test_a_wrong_decoder_is_found(
    wrong: Call, target: str, words: str, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder wrong in one way gives status 1, and files with the input and with what differed."""
    third = type("Third", (OneFile,), {"call": wrong})()
    with_third(monkeypatch, third if "JavaScript" in decoder else None)
    if "JavaScript" not in decoder:
        monkeypatch.setattr(OneFile, "call", wrong)
    assert fuzzed(tmp_path, "--seed", "5") == 1, "the status doesn't say that there are findings"
    asked = dict(enumerate(itertools.islice(damage.questions(5), 100)))
    notes = sorted((tmp_path / "found").glob(f"{target}-5-*.txt"))
    assert notes, f"no finding of {target}"
    for note in notes:
        name, question = asked[int(note.stem.rpartition("-")[2])]
        text = note.read_text()
        assert words.format(decoder) in text, f"it doesn't say what differed: {text}"
        assert name == target, f"a finding of {target} has the number of an input of {name}"
        assert question.vector in text, f"it doesn't say of which vector the input is made: {text}"
        assert note.with_suffix(".bin").read_bytes() == question.data, f"{note.stem}.bin isn't the input"


GREETS = """
import os, time
input()
print('{"name": "third", "version": "1", "capabilities": []}', flush=True)
input()
"""


@pytest.mark.parametrize(
    ("then", "words"),
    [("os._exit(3)", "Crashed: its output ended"), ("time.sleep(9)", "TimedOut: no answer within 0.5 s")],
)
def test_a_program_that_gives_no_answer_is_found(
    then: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third decoder is a program: that it ends or sleeps is a finding, and the run goes on."""
    monkeypatch.setattr(fuzz, "FINDINGS_MAX", 2)
    with closing(Command([sys.executable, "-c", GREETS + then], 0.5)) as third:
        with_third(monkeypatch, third)
        assert fuzzed(tmp_path) == 1, "the status doesn't say that there is a finding"
    notes = [path.read_text() for path in (tmp_path / "found").glob("*.txt")]
    assert len(notes) == 2, f"the run ended after {len(notes)} findings"
    assert all(f"the JavaScript codec {words}" in note for note in notes), f"they don't say what happened: {notes}"


def test_a_decoder_that_never_ends_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes too long is ended and is a finding; a run ends after enough of them."""
    with_third(monkeypatch, None)
    fuzz.load_models()
    monkeypatch.setattr(fuzz, "SECONDS_MAX", 0.25)
    monkeypatch.setattr(fuzz, "FINDINGS_MAX", 1)
    monkeypatch.setattr(OneFile, "call", never_ends)
    assert fuzzed(tmp_path) == 1, "the status doesn't say that there is a finding"
    (note,) = (tmp_path / "found").glob("*.txt")
    assert "TimeoutError: no answer after 0.25 seconds" in note.read_text(), "it doesn't say that it took too long"


SHAPES, BODY = struct.pack("<8i", 1, 1, 4, 4, 1, 284, 1, 1), bytes(range(200)) * 3
"""Of the buffers below: 300 values."""
TAKEN, TRUNCATED, MISMATCH, TRAILING = "taken", "truncated", "checksum-mismatch", "trailing-data"


def bits(body: bytes, match: str = "") -> str:
    """An open block of bytes, and three more: a match of 3. match: the bits of its distance."""
    open_block = "1" + deflate.fixed(body)[1:-7]
    return open_block + "0000001" + match if match else open_block


def back(code: int, extra: int) -> str:
    """The least distance of a code, which so many bits follow."""
    return f"{code:05b}" + "0" * extra


def buffer(*blocks: str, body: bytes = BODY, window: int = 7) -> bytes:
    return SHAPES + deflate.zlib_stream(body, *blocks, begin=deflate.header(window))


END, FAULT = "0000000", "11000111"
MATCHED, NEAR, FAR = BODY[:-3], back(6, 2), back(16, 7)  # 9 and 257 bytes
WHOLE, OPEN = buffer(bits(BODY), END), SHAPES + deflate.header() + deflate.joined(bits(BODY[:9]))
WRONG = WHOLE[:-4] + b"abcd"


@pytest.mark.parametrize(
    ("data", "ours", "theirs", "longer", "right"),
    [
        # a fault that zlib sees later, or earlier, than another one
        (OPEN[:34] + deflate.joined("101" + "11111"), TRUNCATED, MISMATCH, MISMATCH, True),
        (WRONG[:-1], TRUNCATED, MISMATCH, MISMATCH, True),
        (OPEN + b"\xff\xff", MISMATCH, TRUNCATED, MISMATCH, True),
        (OPEN, TRUNCATED, MISMATCH, MISMATCH, False),
        (WHOLE[:-1], TRUNCATED, MISMATCH, MISMATCH, False),
        (WHOLE[:-2], TRUNCATED, MISMATCH, MISMATCH, False),
        (WRONG, MISMATCH, TRUNCATED, TRUNCATED, False),
        (WRONG, MISMATCH, TRUNCATED, TRAILING, False),
        (WRONG, MISMATCH, TAKEN, TAKEN, False),
        (WHOLE[:32] + b"ab", MISMATCH, TRUNCATED, MISMATCH, False),
        (WHOLE[:33], TRUNCATED, MISMATCH, MISMATCH, False),
        # a match after the values
        (buffer(bits(BODY, back(29, 13)), END), TRAILING, MISMATCH, MISMATCH, True),
        (buffer(bits(BODY, NEAR), END), TRAILING, MISMATCH, MISMATCH, False),
        (buffer(bits(BODY + b"a"), FAULT), TRAILING, MISMATCH, MISMATCH, False),
        (buffer(bits(BODY), FAULT), MISMATCH, TRAILING, TRAILING, False),
        (buffer(bits(BODY, back(29, 13)), END), TRAILING, TRUNCATED, TRUNCATED, False),
        # a match beyond the window
        (buffer(bits(MATCHED, FAR), END, body=MATCHED + MATCHED[-257:-254], window=0), TAKEN, MISMATCH, "", True),
        (buffer(bits(MATCHED, NEAR), END, body=MATCHED + MATCHED[-9:-6], window=0), TAKEN, MISMATCH, "", False),
        (buffer(bits(MATCHED, FAR), END, body=MATCHED + MATCHED[-257:-254]), TAKEN, MISMATCH, "", False),
        (buffer(bits(MATCHED, FAR), END, body=MATCHED + MATCHED[-257:-254], window=0), TAKEN, TRAILING, "", False),
    ],
)
def test_two_kinds_are_right_where_the_specification_says_so(
    data: bytes, ours: str, theirs: str, longer: str, right: bool
) -> None:
    """Of two answers to a buffer either is right in the three cases of §8 alone. longer: if more bytes follow."""

    def zlib_says(data: bytes) -> str:
        return fuzz.verdict(OneFile(), damage.Question("", "unpack_zlib", None, {"buffer": data}))[0]

    assert zlib_says(data) == ours, "the buffer isn't what this test is about"
    found = inflaters.either_is_right(data, zlib_says, lambda asked: theirs if asked == data else longer)
    assert found is right, f"{ours} and {theirs} are {'both' if found else 'not both'} right"


def test_no_input_is_large() -> None:
    """A stream that claims a large picture has no words for it, so that no input takes long."""
    for _, question in itertools.islice(damage.questions(0), 500):
        data = question.data
        if question.operation == "decode" and len(data) >= HEADER_BYTES:
            height, width = struct.unpack_from("<HH", data, DIMENSIONS_AT)
            large = -(-height // 64) * -(-width // 64) > damage.BLOCKS_MAX
            assert not large or len(data) <= HEADER_BYTES + FLUSHED, f"{height}×{width} with {len(data)} bytes"
