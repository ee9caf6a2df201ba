"""DECODE-2: streams with one fault each, or with two, of which the first names the kind.

The docstring of each function that makes a stream is the bug that its vector catches.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from mbtref import Model
from mbtref.bitstream import DIMENSIONS_AT, FINGERPRINT_AT, FINGERPRINT_BYTES, HEADER_BYTES, MAGIC
from mbtref.errors import Kind
from mbtref.rans import FLUSHED, LOWER, MAX_DIGITS, UPPER_BITS, WORD_BITS
from mbtref.scan import wavefronts
from mbtref.suite.generate.entropy_coder import Interval, code, ends_in_digits, escaped
from mbtref.suite.generate.streams import I32, steps
from mbtref.suite.generate.vectorset import VectorSet
from mbtref.suite.subjects.protocol import Rejected

REQUIREMENTS = ("DECODE-2",)
CHECKSUM_AT = HEADER_BYTES - 4
WORD = WORD_BITS // 8


class Sound(NamedTuple):
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
    def steps(self) -> list[Interval]:
        _, height, width = self.k.shape
        return steps(self.model, self.k_z, self.k, wavefronts(height, width))

    def with_payload(self, payload: bytes) -> bytes:
        """The same header over another payload, sealed."""
        return seal(self.data[:HEADER_BYTES] + payload)

    def with_dimensions(self, height: int, width: int) -> bytes:
        """The same payload under another size, sealed."""
        return seal(patched(self.data, DIMENSIONS_AT, struct.pack("<HH", height, width)))


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


def other_magic(sound: Sound) -> bytes:
    """any file taken for a stream"""
    return seal(patched(sound.data, 0, b"mbt"))


def one_wrong_byte(sound: Sound) -> bytes:
    """a file of one byte that isn't even the first of a stream called truncated"""
    return b"P"


def version_2(sound: Sound) -> bytes:
    """a later version decoded as this one"""
    return seal(patched(sound.data, len(MAGIC), b"\2"))


def version_0(sound: Sound) -> bytes:
    """a version compared as smaller or equal"""
    return seal(patched(sound.data, len(MAGIC), b"\0"))


def version_2_alone(sound: Sound) -> bytes:
    """the length looked at before the version: another version may have a shorter header"""
    return MAGIC + b"\2"


def no_bytes(sound: Sound) -> bytes:
    """fields read from nothing"""
    return b""


def cut_header(sound: Sound) -> bytes:
    """fields beyond the end taken for 0"""
    return sound.data[: HEADER_BYTES - 1]


def zero_height(sound: Sound) -> bytes:
    """a picture without rows"""
    return sound.with_dimensions(0, 71)


def zero_width(sound: Sound) -> bytes:
    """a picture without columns"""
    return sound.with_dimensions(97, 0)


def too_large(sound: Sound) -> bytes:
    """memory taken for what a header claims: one row more than 2^25 pixels"""
    return sound.with_dimensions(4097, 8192)


def largest(sound: Sound) -> bytes:
    """height times width in 32 bits, signed"""
    return sound.with_dimensions(65535, 65535)


def flipped_payload(sound: Sound) -> bytes:
    """the checksum not looked at"""
    return flipped(sound.data, HEADER_BYTES + len(sound.payload) // 2)


def flipped_height(sound: Sound) -> bytes:
    """a checksum of the payload alone: another height decodes to another crop"""
    return flipped(sound.data, DIMENSIONS_AT)


def flipped_checksum(sound: Sound) -> bytes:
    """the checksum compared in part"""
    return flipped(sound.data, CHECKSUM_AT + 3)


def cut_payload(sound: Sound) -> bytes:
    """a file cut short decoded as far as it goes"""
    return sound.data[:-WORD]


def grown(sound: Sound) -> bytes:
    """bytes after the payload ignored"""
    return sound.data + bytes(WORD)


def foreign(sound: Sound) -> bytes:
    """a stream decoded with another model than it was made with"""
    return sound.foreign


def flipped_fingerprint(sound: Sound) -> bytes:
    """the fingerprint compared in part"""
    return seal(flipped(sound.data, FINGERPRINT_AT + 7))


def no_payload(sound: Sound) -> bytes:
    """the state read from nothing"""
    return sound.with_payload(b"")


def one_word(sound: Sound) -> bytes:
    """the state's second word taken for 0"""
    return sound.with_payload(sound.payload[:WORD])


def half_a_word(sound: Sound) -> bytes:
    """bytes after the last whole word ignored"""
    return sound.with_payload(sound.payload + bytes(WORD // 2))


def low_state(sound: Sound) -> bytes:
    """a first state below 2^31 taken as it is"""
    return sound.with_payload(struct.pack("<Q", LOWER - 1) + sound.payload[FLUSHED:])


def high_state(sound: Sound) -> bytes:
    """a first state of 2^63 taken as it is, or as a negative number"""
    return sound.with_payload(struct.pack("<Q", 1 << UPPER_BITS) + sound.payload[FLUSHED:])


def missing_word(sound: Sound) -> bytes:
    """words beyond the end taken for 0"""
    return sound.with_payload(sound.payload[:-WORD])


def eight_digits(sound: Sound) -> bytes:
    """an escape of eight digits, which overflows 32 bits"""
    return sound.with_payload(code([*escaped([1] * 8, sound.model.tables[0]), *sound.steps[1:]]).data)


def zero_digit(sound: Sound) -> bytes:
    """an escape with more digits than it needs: one picture would have many streams"""
    return sound.with_payload(code([*escaped([2, 0], sound.model.tables[0]), *sound.steps[1:]]).data)


def extra_word(sound: Sound) -> bytes:
    """words after the last symbol ignored"""
    return sound.with_payload(sound.payload + bytes(WORD))


def other_final_state(sound: Sound) -> bytes:
    """the last state not looked at"""
    return sound.with_payload(code(sound.steps, LOWER + 1).data)


def extra_word_and_state(sound: Sound) -> bytes:
    """the last state looked at before the words that are left"""
    return sound.with_payload(code(sound.steps, LOWER + 1).data + bytes(WORD))


def flipped_and_sealed(sound: Sound) -> bytes:
    """a stream decoded to garbage without a sign of it"""
    return seal(flipped_payload(sound))


def raster_order(sound: Sound) -> bytes:
    """latents in raster order, as CompressAI codes them, in place of wavefronts"""
    _, h, w = sound.k.shape
    places = [(torch.full((w,), row), torch.arange(w)) for row in range(h)]
    return sound.with_payload(code(steps(sound.model, sound.k_z, sound.k, places)).data)


# Two faults: the check that comes first names the kind


def magic_and_version(sound: Sound) -> bytes:
    """the version looked at before the magic"""
    return seal(patched(sound.data, 0, b"mbt\2"))


def cut_and_zero_height(sound: Sound) -> bytes:
    """the dimensions looked at before the length"""
    return sound.with_dimensions(0, 71)[: HEADER_BYTES - 1]


def zero_height_unsealed(sound: Sound) -> bytes:
    """the checksum looked at before the dimensions are compared with 0"""
    return patched(sound.data, DIMENSIONS_AT, bytes(2))


def too_large_unsealed(sound: Sound) -> bytes:
    """the checksum looked at before the area"""
    return patched(sound.data, DIMENSIONS_AT, b"\xff\xff\xff\xff")


def too_large_for_another_model(sound: Sound) -> bytes:
    """the fingerprint looked at before the area"""
    return seal(patched(sound.foreign, DIMENSIONS_AT, b"\xff\xff\xff\xff"))


def flipped_fingerprint_unsealed(sound: Sound) -> bytes:
    """the fingerprint looked at before the checksum"""
    return flipped(sound.data, FINGERPRINT_AT)


def foreign_half_a_word(sound: Sound) -> bytes:
    """the payload looked at before the fingerprint"""
    return seal(sound.foreign + bytes(WORD // 2))


def low_state_half_a_word(sound: Sound) -> bytes:
    """the first state looked at before the length of the payload"""
    return sound.with_payload(struct.pack("<Q", LOWER - 1) + sound.payload[FLUSHED:] + bytes(WORD // 2))


def zero_height_alone(sound: Sound) -> bytes:
    """a header without a payload called truncated before its dimensions are looked at"""
    return seal(sound.with_dimensions(0, 71)[:HEADER_BYTES])


def unsealed_alone(sound: Sound) -> bytes:
    """a header without a payload called truncated before its checksum is looked at"""
    return sound.data[:HEADER_BYTES]


def foreign_alone(sound: Sound) -> bytes:
    """a header without a payload called truncated before its fingerprint is looked at"""
    return seal(sound.foreign[:HEADER_BYTES])


def a_byte_more(sound: Sound) -> bytes:
    """a byte after the last whole word ignored"""
    return sound.with_payload(sound.payload + b"\0")


def far_final_state(sound: Sound) -> bytes:
    """the lower word of the last state looked at alone"""
    return sound.with_payload(code(sound.steps, LOWER + (1 << WORD_BITS)).data)


def low_state_alone(sound: Sound) -> bytes:
    """a word missed before the first state is looked at"""
    return sound.with_payload(struct.pack("<Q", LOWER - 1))


def many_digits_missing_word(sound: Sound) -> bytes:
    """a count of digits judged before its refill"""
    return sound.with_payload(ends_in_digits([MAX_DIGITS + 1], sound.model.tables[0]))


def zero_digit_missing_word(sound: Sound) -> bytes:
    """a highest digit judged before its refill"""
    return sound.with_payload(ends_in_digits([1, 0], sound.model.tables[0]))


def eight_digits_extra_word(sound: Sound) -> bytes:
    """an escape judged at the end, after the words that are left"""
    return sound.with_payload(eight_digits(sound)[HEADER_BYTES:] + bytes(WORD))


# Limits that are just kept: no word is there for the symbols


def without_words(sound: Sound, height: int, width: int) -> bytes:
    """A picture of this size whose payload is a state alone: its first symbol misses a word."""
    return seal(sound.with_dimensions(height, width)[:HEADER_BYTES] + struct.pack("<Q", LOWER))


def largest_area(sound: Sound) -> bytes:
    """2^25 pixels refused, by >= in place of >"""
    return without_words(sound, 4096, 8192)


def beyond_2_24(sound: Sound) -> bytes:
    """an area limit of 2^24"""
    return without_words(sound, 4096, 4097)


def padded_beyond(sound: Sound) -> bytes:
    """the limit on an area applied to the padded picture"""
    return without_words(sound, 513, 65408)


def tallest(sound: Sound) -> bytes:
    """a height of 65535 refused, or taken for -1"""
    return without_words(sound, 65535, 1)


def widest(sound: Sound) -> bytes:
    """a width of 65535 refused, or taken for -1"""
    return without_words(sound, 1, 65535)


def each_byte(name: str, at: int, count: int, sealed: bool, purpose: str) -> list[Callable[[Sound], bytes]]:
    """Makers of streams with one flipped byte each, of `count` from `at` on. sealed: with the right checksum."""

    def maker(i: int) -> Callable[[Sound], bytes]:
        def make(sound: Sound) -> bytes:
            data = flipped(sound.data, at + i)
            return seal(data) if sealed else data

        make.__name__ = make.__qualname__ = f"{name}_{i}"
        make.__doc__ = f"{purpose}: byte {i} left out"
        return make

    return [maker(i) for i in range(count)]


FAULTS: Mapping[Kind, Sequence[Callable[[Sound], bytes]]] = {
    Kind.BAD_MAGIC: (
        other_magic, one_wrong_byte, magic_and_version,
        *each_byte("flipped_magic", 0, len(MAGIC), True, "the magic compared in part"),
    ),
    Kind.UNSUPPORTED_VERSION: (version_2, version_0, version_2_alone),
    Kind.TRUNCATED: (
        no_bytes, cut_header, no_payload, one_word, half_a_word, missing_word, cut_and_zero_height,
        low_state_half_a_word, a_byte_more, many_digits_missing_word, zero_digit_missing_word,
        largest_area, beyond_2_24, padded_beyond, tallest, widest,
    ),
    Kind.BAD_DIMENSIONS: (zero_height, zero_width, zero_height_unsealed, zero_height_alone),
    Kind.TOO_LARGE: (too_large, largest, too_large_unsealed, too_large_for_another_model),
    Kind.CHECKSUM_MISMATCH: (
        flipped_payload, flipped_height, flipped_checksum, cut_payload, grown, flipped_fingerprint_unsealed,
        unsealed_alone,
        *each_byte("flipped_checksum", CHECKSUM_AT, 3, False, "the checksum compared in part"),
    ),
    Kind.UNKNOWN_MODEL: (
        foreign, flipped_fingerprint, foreign_half_a_word, foreign_alone,
        *each_byte(
            "flipped_fingerprint", FINGERPRINT_AT, FINGERPRINT_BYTES - 1, True, "the fingerprint compared in part"
        ),
    ),
    Kind.SYMBOL_OUT_OF_RANGE: (eight_digits, zero_digit, eight_digits_extra_word),
    Kind.TRAILING_DATA: (extra_word, extra_word_and_state),
    Kind.BAD_FINAL_STATE: (low_state, high_state, other_final_state, far_final_state, low_state_alone),
}  # fmt: skip
"""By the kind with which a decoder refuses them."""
GARBAGE = (flipped_and_sealed, raster_order)
"""A decoder reads these up to some point where nothing fits. The weights decide which check fails first."""
assert set(FAULTS) == set(Kind), "a kind of error has no vector"


def all_vectors(out: VectorSet, name: str, sound: Sound) -> None:
    """Makes the vectors of REQUIREMENTS. name: the model of the sound stream."""
    kinds = [(kind, make) for kind, makers in FAULTS.items() for make in makers]
    kinds += [(refusal(out, name, make(sound)), make) for make in GARBAGE]
    for kind, make in kinds:
        inputs = {"stream": out.store(f"malformed/{make.__name__}", make(sound), ".mbt")}
        out.add("DECODE-2", make.__name__, "decode", inputs, made=make, model=name, rejected=kind)


def refusal(out: VectorSet, name: str, data: bytes) -> Kind:
    """The kind with which the reference refuses a stream."""
    try:
        out.bench.golden.call("decode", name, {"stream": data})
    except Rejected as error:
        return Kind(error.kind)
    raise AssertionError("a broken stream was decoded")
