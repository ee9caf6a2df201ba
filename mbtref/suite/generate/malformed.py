"""DECODE-2: streams with one fault each, or with two, of which the first names the kind."""

import functools
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mbtref import Model
from mbtref.bitstream import DIMENSIONS_AT, FINGERPRINT_AT, FINGERPRINT_BYTES, HEADER_BYTES, MAGIC
from mbtref.errors import Kind
from mbtref.rans import FLUSHED, LOWER, MAX_DIGITS
from mbtref.suite.generate import edge
from mbtref.suite.generate.case import Case, Faults
from mbtref.suite.generate.rans import (
    FAR_STATE,
    HIGH_STATE,
    LOW_STATE,
    TOO_MANY,
    WORD,
    Interval,
    code,
    ends_in_digits,
    escape_first,
)
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.streams import steps
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.subjects.tensors import I32

SOUND, FOREIGN, PICTURE = "lite-q4", "lite-q3", "odd"
"""Model and picture of the stream into which faults are put; another model, whose stream is a fault too."""
CHECKSUM_AT = HEADER_BYTES - 4
LARGEST = b"\xff\xff\xff\xff"
"""The largest height and width of a header."""


@dataclass(frozen=True)
class Sound:
    """The stream into which faults are put."""

    model: Model
    data: bytes
    """A right stream."""
    k_z: I32
    """(N, h, w): its symbols."""
    k: I32
    """(M, 4h, 4w)."""
    foreign: bytes
    """The stream of the same picture at another model."""

    @property
    def payload(self) -> bytes:
        return self.data[HEADER_BYTES:]

    @property
    def words(self) -> bytes:
        """The payload after the first state."""
        return self.payload[FLUSHED:]

    @functools.cached_property
    def steps(self) -> list[Interval]:
        return steps(self.model, self.k_z, self.k)

    def escape(self, digits: Sequence[int]) -> bytes:
        """The payload with an escape of these digits in place of its first symbol."""
        return escape_first(digits, self.model.tables[0], self.steps)

    def over(self, payload: bytes) -> bytes:
        """The same header over another payload, sealed."""
        return seal(self.data[:HEADER_BYTES] + payload)

    def sized(self, height: int, width: int) -> bytes:
        """The same payload under another size, sealed."""
        return seal(patched(self.data, DIMENSIONS_AT, struct.pack("<HH", height, width)))

    def without_words(self, height: int, width: int) -> bytes:
        """A picture of this size whose payload is a state alone: its first symbol misses a word."""
        return seal(self.sized(height, width)[:HEADER_BYTES] + struct.pack("<Q", LOWER))


def patched(data: bytes, at: int, part: bytes) -> bytes:
    """data, overwritten by part from byte `at` on."""
    return data[:at] + part + data[at + len(part) :]


def flipped(data: bytes, at: int) -> bytes:
    """data with the lowest bit of byte `at` flipped."""
    return patched(data, at, bytes([data[at] ^ 1]))


def seal(data: bytes) -> bytes:
    """data with the right checksum, so that a decoder gets beyond it."""
    checksum = zlib.crc32(data[HEADER_BYTES:], zlib.crc32(data[:CHECKSUM_AT]))
    return patched(data, CHECKSUM_AT, struct.pack("<I", checksum))


def each_byte(text: str, data: bytes, at: int, count: int) -> Faults:
    """Streams with one flipped byte each, of `count` from `at` on; not sealed. text: name and purpose of all."""
    name, purpose = text.split(": ")
    return {f"{name}_{i}: {purpose}: byte {i} left out": flipped(data, at + i) for i in range(count)}


def sealed(faults: Faults) -> Faults:
    return {text: seal(data) for text, data in faults.items()}


def refused(kind: Kind) -> Callable[[Callable[[Sound], Faults]], object]:
    """Registers faults of the sound stream, which was made before."""

    def register(faults: Callable[[Sound], Faults]) -> object:
        @vector("DECODE-2")
        @functools.wraps(faults)
        def make(case: Case) -> None:
            folder, stored = f"stages/{SOUND}/{PICTURE}", case.out.stored
            sound = Sound(
                model=case.out.bench.models[SOUND],
                data=stored(f"{folder}/closed/stream.mbt").data,
                k_z=stored(f"{folder}/exact/k_z.npy").array,
                k=stored(f"{folder}/exact/k.npy").array,
                foreign=stored(f"stages/{FOREIGN}/{PICTURE}/closed/stream.mbt").data,
            )
            case.but(model_name=SOUND).refuse(kind, "decode", faults(sound))

        return make

    return register


@vector("DECODE-2")
def zero_in_fingerprint(case: Case) -> None:
    """a fingerprint compared as a text, which ends at a 0"""
    case = case.but(model_name=edge.NAME)
    data = flipped(case.encode(picture(SIZES["square"], 1)), FINGERPRINT_AT + 7)
    case.refuse(Kind.UNKNOWN_MODEL, "decode", {f"{case.name}: {case.purpose}": seal(data)})


@refused(Kind.BAD_MAGIC)
def bad_magic(s: Sound) -> Faults:
    return {
        "other_magic: any file taken for a stream": seal(patched(s.data, 0, b"mbt")),
        "one_wrong_byte: a file of one byte that isn't even the first of a stream called truncated": b"P",
        "magic_and_version: the version looked at before the magic": seal(patched(s.data, 0, b"mbt\2")),
        **sealed(each_byte("flipped_magic: the magic compared in part", s.data, 0, len(MAGIC))),
    }


@refused(Kind.UNSUPPORTED_VERSION)
def unsupported_version(s: Sound) -> Faults:
    return {
        "version_2: a later version decoded as this one": seal(patched(s.data, len(MAGIC), b"\2")),
        "version_0: a version compared as smaller or equal": seal(patched(s.data, len(MAGIC), b"\0")),
        "version_17: a version compared in its lower bits": seal(patched(s.data, len(MAGIC), b"\x11")),
        "version_129: a version compared in 7 bits": seal(patched(s.data, len(MAGIC), b"\x81")),
        "version_2_alone: the length looked at before the version: another version may have a shorter header": (
            MAGIC + b"\2"
        ),
    }


@refused(Kind.TRUNCATED)
def truncated(s: Sound) -> Faults:
    table = s.model.tables[0]
    return {
        "no_bytes: fields read from nothing": b"",
        "cut_header: fields beyond the end taken for 0": s.data[: HEADER_BYTES - 1],
        "no_payload: the state read from nothing": s.over(b""),
        "one_word: the state's second word taken for 0": s.over(s.payload[:WORD]),
        "half_a_word: bytes after the last whole word ignored": s.over(s.payload + bytes(WORD // 2)),
        "missing_word: words beyond the end taken for 0": s.over(s.payload[:-WORD]),
        "cut_and_zero_height: the dimensions looked at before the length": s.sized(0, 71)[: HEADER_BYTES - 1],
        "low_state_half_a_word: the first state looked at before the length of the payload": (
            s.over(LOW_STATE + s.words + bytes(WORD // 2))
        ),
        "a_byte_more: a byte after the last whole word ignored": s.over(s.payload + b"\0"),
        "many_digits_missing_word: a count of digits judged before its refill": (
            s.over(ends_in_digits([MAX_DIGITS + 1], table))
        ),
        "zero_digit_missing_word: a highest digit judged before its refill": s.over(ends_in_digits([1, 0], table)),
        "largest_area: 2^25 pixels refused, by >= in place of >": s.without_words(4096, 8192),
        "beyond_2_24: an area limit of 2^24": s.without_words(4096, 4097),
        "padded_beyond: the limit on an area applied to the padded picture": s.without_words(513, 65408),
        "tallest: a height of 65535 refused, or taken for -1": s.without_words(65535, 1),
        "widest: a width of 65535 refused, or taken for -1": s.without_words(1, 65535),
    }


@refused(Kind.BAD_DIMENSIONS)
def bad_dimensions(s: Sound) -> Faults:
    return {
        "zero_height: a picture without rows": s.sized(0, 71),
        "zero_width: a picture without columns": s.sized(97, 0),
        "zero_height_unsealed: the checksum looked at before the dimensions are compared with 0": (
            patched(s.data, DIMENSIONS_AT, bytes(2))
        ),
        "zero_height_alone: a header without a payload called truncated before its dimensions are looked at": (
            seal(s.sized(0, 71)[:HEADER_BYTES])
        ),
    }


@refused(Kind.TOO_LARGE)
def too_large(s: Sound) -> Faults:
    foreign = seal(patched(s.foreign, DIMENSIONS_AT, LARGEST))
    return {
        "too_large: memory taken for what a header claims: one row more than 2^25 pixels": s.sized(4097, 8192),
        "one_pixel_more: height times width in float32, where 2^25 + 1 is 2^25, or in 24 bits, where it is 1": (
            seal(s.sized(12153, 2761)[:HEADER_BYTES])
        ),
        "one_pixel_more_and_wide: height times width in float32": seal(s.sized(4051, 8283)[:HEADER_BYTES]),
        "largest: height times width in 32 bits, signed": s.sized(65535, 65535),
        "too_large_unsealed: the checksum looked at before the area": patched(s.data, DIMENSIONS_AT, LARGEST),
        "too_large_for_another_model: the fingerprint looked at before the area": foreign,
    }


@refused(Kind.CHECKSUM_MISMATCH)
def checksum_mismatch(s: Sound) -> Faults:
    return {
        "flipped_payload: the checksum not looked at": flipped(s.data, HEADER_BYTES + len(s.payload) // 2),
        "flipped_height: a checksum of the payload alone: another height decodes to another crop": (
            flipped(s.data, DIMENSIONS_AT)
        ),
        "flipped_checksum: the checksum compared in part": flipped(s.data, CHECKSUM_AT + 3),
        "top_bit_of_checksum: the checksum compared in 31 bits": (
            patched(s.data, CHECKSUM_AT + 3, bytes([s.data[CHECKSUM_AT + 3] ^ 0x80]))
        ),
        "no_checksum: a checksum of 0 taken for none": patched(s.data, CHECKSUM_AT, bytes(4)),
        "cut_payload: a file cut short decoded as far as it goes": s.data[:-WORD],
        "grown: bytes after the payload ignored": s.data + bytes(WORD),
        "flipped_fingerprint_unsealed: the fingerprint looked at before the checksum": (
            flipped(s.data, FINGERPRINT_AT)
        ),
        "unsealed_alone: a header without a payload called truncated before its checksum is looked at": (
            s.data[:HEADER_BYTES]
        ),
        **each_byte("flipped_checksum: the checksum compared in part", s.data, CHECKSUM_AT, 3),
    }


@refused(Kind.UNKNOWN_MODEL)
def unknown_model(s: Sound) -> Faults:
    text, count = "flipped_fingerprint: the fingerprint compared in part", FINGERPRINT_BYTES - 1
    return {
        "foreign: a stream decoded with another model than it was made with": s.foreign,
        text: seal(flipped(s.data, FINGERPRINT_AT + count)),
        "foreign_half_a_word: the payload looked at before the fingerprint": seal(s.foreign + bytes(WORD // 2)),
        "foreign_alone: a header without a payload called truncated before its fingerprint is looked at": (
            seal(s.foreign[:HEADER_BYTES])
        ),
        **sealed(each_byte(text, s.data, FINGERPRINT_AT, count)),
    }


@refused(Kind.SYMBOL_OUT_OF_RANGE)
def symbol_out_of_range(s: Sound) -> Faults:
    many = s.escape(TOO_MANY)
    return {
        "eight_digits: an escape of eight digits, which overflows 32 bits": s.over(many),
        "zero_digit: an escape with more digits than it needs: one picture would have many streams": (
            s.over(s.escape([2, 0]))
        ),
        "one_digit_of_zero: an escape of one digit that is 0, in place of no digits": s.over(s.escape([0])),
        "eight_digits_extra_word: an escape judged at the end, after the words that are left": (
            s.over(many + bytes(WORD))
        ),
    }


@refused(Kind.TRAILING_DATA)
def trailing_data(s: Sound) -> Faults:
    both = code(s.steps, LOWER + 1) + bytes(WORD)
    return {
        "extra_word: words after the last symbol ignored": s.over(s.payload + bytes(WORD)),
        "extra_word_and_state: the last state looked at before the words that are left": s.over(both),
    }


@refused(Kind.BAD_FINAL_STATE)
def bad_final_state(s: Sound) -> Faults:
    return {
        "low_state: a first state below 2^31 taken as it is": s.over(LOW_STATE + s.words),
        "high_state: a first state of 2^63 taken as it is, or as a negative number": s.over(HIGH_STATE + s.words),
        "other_final_state: the last state not looked at": s.over(code(s.steps, LOWER + 1)),
        "far_final_state: the lower word of the last state looked at alone": s.over(code(s.steps, FAR_STATE)),
        "low_state_alone: a word missed before the first state is looked at": s.over(LOW_STATE),
    }


@refused(Kind.TRUNCATED)
def garbage(s: Sound) -> Faults:
    """Streams that are decoded up to a point where nothing fits: the weights decide which check fails first."""
    _, h, w = s.k.shape
    places = [(torch.full((w,), row), torch.arange(w)) for row in range(h)]
    raster = code(steps(s.model, s.k_z, s.k, places))
    flip = flipped(s.data, HEADER_BYTES + len(s.payload) // 2)
    return {
        "flipped_and_sealed: a stream decoded to garbage without a sign of it": seal(flip),
        "raster_order: latents in raster order, as CompressAI codes them, in place of wavefronts": s.over(raster),
    }
