"""DECODE-2: streams with one fault each, or with two, of which the first names the kind."""

import functools
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from mbtref import Model
from mbtref.bitstream import DIMENSIONS_AT, FINGERPRINT_AT, FINGERPRINT_BYTES, HEADER_BYTES, MAGIC
from mbtref.errors import Kind
from mbtref.rans import FLUSHED, LOWER, MAX_DIGITS, WORD_BITS
from mbtref.suite.generate import edge
from mbtref.suite.generate.case import Case, Fault
from mbtref.suite.generate.rans import (
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
from mbtref.suite.generate.streams import I32, in_order, steps
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.subjects.protocol import Rejected

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
        return in_order(self.model, self.k_z, self.k)

    def escape(self, digits: Sequence[int]) -> bytes:
        """The payload with an escape of these digits in place of its first symbol."""
        return escape_first(digits, self.model.tables[0], self.steps)

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


def sound(case: Case) -> Sound:
    """The stream of a picture, from vectors that were made before."""
    folder, out = f"stages/{SOUND}/{PICTURE}", case.out
    return Sound(
        model=out.bench.models[SOUND],
        data=out.stored(f"{folder}/closed/stream.mbt").data,
        k_z=out.stored(f"{folder}/exact/k_z.npy").array,
        k=out.stored(f"{folder}/exact/k.npy").array,
        foreign=out.stored(f"stages/{FOREIGN}/{PICTURE}/closed/stream.mbt").data,
    )


Faults = Callable[[Sound], Iterator[Fault]]


def refused(kind: Kind | None) -> Callable[[Faults], Faults]:
    """Registers faults of the sound stream. kind: that of their refusal; None: what the reference says."""

    def register(faults: Faults) -> Faults:
        @vector("DECODE-2")
        @functools.wraps(faults)
        def make(case: Case) -> None:
            for fault in faults(sound(case)):
                one = case.but(name=fault.name, purpose=fault.purpose, model_name=SOUND)
                one.ask("decode", {"stream": fault.data}, rejected=kind or refusal(one, fault.data))

        return faults

    return register


def refusal(case: Case, data: bytes) -> Kind:
    """The kind with which the reference refuses a stream."""
    try:
        case.out.bench.golden.call("decode", case.model_name, {"stream": data})
    except Rejected as error:
        return Kind(error.kind)
    raise AssertionError(f"{case.name} was decoded")


def each_byte(
    name: str, purpose: str, data: bytes, at: int, count: int, finish: Callable[[bytes], bytes] = seal
) -> Iterator[Fault]:
    """Streams with one flipped byte each, of `count` from `at` on."""
    for i in range(count):
        yield Fault(f"{name}_{i}", f"{purpose}: byte {i} left out", finish(flipped(data, at + i)))


def without_words(s: Sound, height: int, width: int) -> bytes:
    """A picture of this size whose payload is a state alone: its first symbol misses a word."""
    return seal(s.with_dimensions(height, width)[:HEADER_BYTES] + struct.pack("<Q", LOWER))


@vector("DECODE-2")
def zero_in_fingerprint(case: Case) -> None:
    """a fingerprint compared as a text, which ends at a 0"""
    case = case.but(model_name=edge.NAME)
    data = case.encode(picture(SIZES["square"], 1))
    assert data[FINGERPRINT_AT] == 0, f"the fingerprint of {edge.NAME} doesn't begin with a 0"
    case.ask("decode", {"stream": seal(flipped(data, FINGERPRINT_AT + 7))}, rejected=Kind.UNKNOWN_MODEL)


@refused(Kind.BAD_MAGIC)
def bad_magic(s: Sound) -> Iterator[Fault]:
    yield Fault("other_magic", "any file taken for a stream", seal(patched(s.data, 0, b"mbt")))
    yield Fault(
        "one_wrong_byte", "a file of one byte that isn't even the first of a stream called truncated", b"P"
    )
    yield Fault("magic_and_version", "the version looked at before the magic", seal(patched(s.data, 0, b"mbt\2")))
    yield from each_byte("flipped_magic", "the magic compared in part", s.data, 0, len(MAGIC))


@refused(Kind.UNSUPPORTED_VERSION)
def unsupported_version(s: Sound) -> Iterator[Fault]:
    yield Fault("version_2", "a later version decoded as this one", seal(patched(s.data, len(MAGIC), b"\2")))
    yield Fault("version_0", "a version compared as smaller or equal", seal(patched(s.data, len(MAGIC), b"\0")))
    yield Fault(
        "version_2_alone",
        "the length looked at before the version: another version may have a shorter header",
        MAGIC + b"\2",
    )


@refused(Kind.TRUNCATED)
def truncated(s: Sound) -> Iterator[Fault]:
    yield Fault("no_bytes", "fields read from nothing", b"")
    yield Fault("cut_header", "fields beyond the end taken for 0", s.data[: HEADER_BYTES - 1])
    yield Fault("no_payload", "the state read from nothing", s.with_payload(b""))
    yield Fault("one_word", "the state's second word taken for 0", s.with_payload(s.payload[:WORD]))
    data = s.with_payload(s.payload + bytes(WORD // 2))
    yield Fault("half_a_word", "bytes after the last whole word ignored", data)
    yield Fault("missing_word", "words beyond the end taken for 0", s.with_payload(s.payload[:-WORD]))
    data = s.with_dimensions(0, 71)[: HEADER_BYTES - 1]
    yield Fault("cut_and_zero_height", "the dimensions looked at before the length", data)
    data = s.with_payload(LOW_STATE + s.words + bytes(WORD // 2))
    yield Fault("low_state_half_a_word", "the first state looked at before the length of the payload", data)
    yield Fault("a_byte_more", "a byte after the last whole word ignored", s.with_payload(s.payload + b"\0"))
    data = s.with_payload(ends_in_digits([MAX_DIGITS + 1], s.model.tables[0]))
    yield Fault("many_digits_missing_word", "a count of digits judged before its refill", data)
    data = s.with_payload(ends_in_digits([1, 0], s.model.tables[0]))
    yield Fault("zero_digit_missing_word", "a highest digit judged before its refill", data)
    yield Fault("largest_area", "2^25 pixels refused, by >= in place of >", without_words(s, 4096, 8192))
    yield Fault("beyond_2_24", "an area limit of 2^24", without_words(s, 4096, 4097))
    data = without_words(s, 513, 65408)
    yield Fault("padded_beyond", "the limit on an area applied to the padded picture", data)
    yield Fault("tallest", "a height of 65535 refused, or taken for -1", without_words(s, 65535, 1))
    yield Fault("widest", "a width of 65535 refused, or taken for -1", without_words(s, 1, 65535))


@refused(Kind.BAD_DIMENSIONS)
def bad_dimensions(s: Sound) -> Iterator[Fault]:
    yield Fault("zero_height", "a picture without rows", s.with_dimensions(0, 71))
    yield Fault("zero_width", "a picture without columns", s.with_dimensions(97, 0))
    data = patched(s.data, DIMENSIONS_AT, bytes(2))
    yield Fault("zero_height_unsealed", "the checksum looked at before the dimensions are compared with 0", data)
    yield Fault(
        "zero_height_alone",
        "a header without a payload called truncated before its dimensions are looked at",
        seal(s.with_dimensions(0, 71)[:HEADER_BYTES]),
    )


@refused(Kind.TOO_LARGE)
def too_large(s: Sound) -> Iterator[Fault]:
    data = s.with_dimensions(4097, 8192)
    yield Fault("too_large", "memory taken for what a header claims: one row more than 2^25 pixels", data)
    yield Fault("largest", "height times width in 32 bits, signed", s.with_dimensions(65535, 65535))
    data = patched(s.data, DIMENSIONS_AT, LARGEST)
    yield Fault("too_large_unsealed", "the checksum looked at before the area", data)
    data = seal(patched(s.foreign, DIMENSIONS_AT, LARGEST))
    yield Fault("too_large_for_another_model", "the fingerprint looked at before the area", data)


@refused(Kind.CHECKSUM_MISMATCH)
def checksum_mismatch(s: Sound) -> Iterator[Fault]:
    data = flipped(s.data, HEADER_BYTES + len(s.payload) // 2)
    yield Fault("flipped_payload", "the checksum not looked at", data)
    data = flipped(s.data, DIMENSIONS_AT)
    yield Fault("flipped_height", "a checksum of the payload alone: another height decodes to another crop", data)
    yield Fault("flipped_checksum", "the checksum compared in part", flipped(s.data, CHECKSUM_AT + 3))
    yield Fault("cut_payload", "a file cut short decoded as far as it goes", s.data[:-WORD])
    yield Fault("grown", "bytes after the payload ignored", s.data + bytes(WORD))
    data = flipped(s.data, FINGERPRINT_AT)
    yield Fault("flipped_fingerprint_unsealed", "the fingerprint looked at before the checksum", data)
    yield Fault(
        "unsealed_alone",
        "a header without a payload called truncated before its checksum is looked at",
        s.data[:HEADER_BYTES],
    )
    yield from each_byte("flipped_checksum", "the checksum compared in part", s.data, CHECKSUM_AT, 3, finish=bytes)


@refused(Kind.UNKNOWN_MODEL)
def unknown_model(s: Sound) -> Iterator[Fault]:
    yield Fault("foreign", "a stream decoded with another model than it was made with", s.foreign)
    data = seal(flipped(s.data, FINGERPRINT_AT + 7))
    yield Fault("flipped_fingerprint", "the fingerprint compared in part", data)
    data = seal(s.foreign + bytes(WORD // 2))
    yield Fault("foreign_half_a_word", "the payload looked at before the fingerprint", data)
    yield Fault(
        "foreign_alone",
        "a header without a payload called truncated before its fingerprint is looked at",
        seal(s.foreign[:HEADER_BYTES]),
    )
    yield from each_byte(
        "flipped_fingerprint", "the fingerprint compared in part", s.data, FINGERPRINT_AT, FINGERPRINT_BYTES - 1
    )


@refused(Kind.SYMBOL_OUT_OF_RANGE)
def symbol_out_of_range(s: Sound) -> Iterator[Fault]:
    data = s.with_payload(s.escape(TOO_MANY))
    yield Fault("eight_digits", "an escape of eight digits, which overflows 32 bits", data)
    yield Fault(
        "zero_digit",
        "an escape with more digits than it needs: one picture would have many streams",
        s.with_payload(s.escape([2, 0])),
    )
    data = s.with_payload(s.escape(TOO_MANY) + bytes(WORD))
    yield Fault("eight_digits_extra_word", "an escape judged at the end, after the words that are left", data)


@refused(Kind.TRAILING_DATA)
def trailing_data(s: Sound) -> Iterator[Fault]:
    yield Fault("extra_word", "words after the last symbol ignored", s.with_payload(s.payload + bytes(WORD)))
    data = s.with_payload(code(s.steps, LOWER + 1).data + bytes(WORD))
    yield Fault("extra_word_and_state", "the last state looked at before the words that are left", data)


@refused(Kind.BAD_FINAL_STATE)
def bad_final_state(s: Sound) -> Iterator[Fault]:
    yield Fault("low_state", "a first state below 2^31 taken as it is", s.with_payload(LOW_STATE + s.words))
    data = s.with_payload(HIGH_STATE + s.words)
    yield Fault("high_state", "a first state of 2^63 taken as it is, or as a negative number", data)
    yield Fault("other_final_state", "the last state not looked at", s.with_payload(code(s.steps, LOWER + 1).data))
    data = s.with_payload(code(s.steps, LOWER + (1 << WORD_BITS)).data)
    yield Fault("far_final_state", "the lower word of the last state looked at alone", data)
    yield Fault("low_state_alone", "a word missed before the first state is looked at", s.with_payload(LOW_STATE))


@refused(None)
def garbage(s: Sound) -> Iterator[Fault]:
    """streams that are decoded up to a point where nothing fits: the weights decide which check fails first"""
    data = seal(flipped(s.data, HEADER_BYTES + len(s.payload) // 2))
    yield Fault("flipped_and_sealed", "a stream decoded to garbage without a sign of it", data)
    _, h, w = s.k.shape
    places = [(torch.full((w,), row), torch.arange(w)) for row in range(h)]
    data = s.with_payload(code(steps(s.model, s.k_z, s.k, places)).data)
    yield Fault("raster_order", "latents in raster order, as CompressAI codes them, in place of wavefronts", data)
