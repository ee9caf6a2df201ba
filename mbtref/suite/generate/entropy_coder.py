"""RANS: messages with edge tables, and streams that no encoder wrote.

The docstring of each function that makes a vector is the bug that the vector catches.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mbtref import rans, tables
from mbtref.errors import Kind
from mbtref.making.modelfile import to_arrays
from mbtref.rans import (
    DIGIT_BITS,
    FLUSHED,
    LOWER,
    MAX_DIGITS,
    PRECISION,
    UPPER_BITS,
    WORD_BITS,
    WORD_MASK,
    Table,
)
from mbtref.suite.generate.textures import scatter
from mbtref.suite.generate.vectorset import Stored, VectorSet

REQUIREMENTS = ("RANS-1", "RANS-2", "RANS-3")
TOTAL = 1 << PRECISION
ONLY_ESCAPE = Table((0, TOTAL), 3)
RARE = Table((0, 1, TOTAL - 1, TOTAL), -1)
"""Symbol -1 and the escape have one slot each, 0 has all others."""
ONE_SYMBOL = Table((0, TOTAL - 1, TOTAL), 7)
"""Symbol 7 has all slots but the escape's one."""
EVEN = Table((0, TOTAL // 4, TOTAL // 2, TOTAL), -1)
"""Symbols -1 and 0 at two bits, the escape at one."""
LONGEST = Table(tuple(range(TOTAL + 1)), -TOTAL // 2)
"""Every slot a bin of its own."""


class Interval(NamedTuple):
    """A coding step: the part [start, start + freq) of 2^bits equal slots."""

    start: int
    freq: int
    bits: int


def intervals(symbols: Sequence[int], indexes: Sequence[int], tables: Sequence[Table]) -> list[Interval]:
    """The coding steps of a message, in reading order."""
    coded = rans.steps(np.array(symbols, np.int64), np.array(indexes, np.int64), rans.Tables(tables))
    return [Interval(*step) for step in zip(*(part.tolist() for part in coded), strict=True)]


class Message(NamedTuple):
    """Symbols, the table of each, and the tables."""

    symbols: list[int]
    indexes: list[int]
    tables: Sequence[Table]

    @property
    def steps(self) -> list[Interval]:
        return intervals(*self)


class Coded(NamedTuple):
    """A stream, and how its encoder got there."""

    data: bytes
    states: list[int]
    """Before each step."""


def code(steps: Sequence[Interval], x: int = LOWER, late: int = 0) -> Coded:
    """`rans.encode` for any steps. x: the encoder's first state. late: how far beyond its limit a state may go."""
    words, states = [], []
    for start, freq, bits in reversed(steps):
        limit = (freq << UPPER_BITS - bits) + late
        states.append(x)
        if x >= limit:
            words.append(x & WORD_MASK)
            x >>= WORD_BITS
        x = (x // freq << bits) + x % freq + start
    return Coded(struct.pack(f"<Q{len(words)}I", x, *reversed(words)), states)


def escaped(digits: Sequence[int], table: Table) -> list[Interval]:
    """The steps of an escape with these digits, lowest first, and their count, even a forbidden one."""
    return [
        Interval(table.cdf[-2], TOTAL - table.cdf[-2], PRECISION),
        Interval(len(digits), 1, DIGIT_BITS),
        *(Interval(digit, 1, DIGIT_BITS) for digit in digits),
    ]


def ends_in_digits(digits: Sequence[int], table: Table) -> bytes:
    """A state and no words: an escape with these digits, their count first, whose last digit needs a word."""
    x = LOWER >> DIGIT_BITS  # after the last digit
    for digit in reversed(digits):
        x = x << DIGIT_BITS | digit
    start, freq, bits = escaped([], table)[0]
    return struct.pack("<Q", (x // freq << bits) + x % freq + start)


# Messages, each encoded and decoded


def empty() -> Message:
    """a stream of no symbols that has no state, or more than the state"""
    return Message([], [], [EVEN])


def single() -> Message:
    """a word written or read where none is due"""
    return Message([0], [0], [EVEN])


def only_escape() -> Message:
    """a frequency of 65536 kept in 16 bits, where it is 0; its limit of 2^63 kept in a signed integer"""
    return Message([3, 4, 2, 3, 250, -77], [0] * 6, [ONLY_ESCAPE])


def one_symbol() -> Message:
    """an alphabet of one symbol, which costs next to nothing: a word written or read where none is due"""
    message = Message([7] * 1000 + [6], [0] * 1001, [ONE_SYMBOL])
    assert len(code(message.steps).data) == FLUSHED, "a thousand symbols take more than the state"
    return message


def rare() -> Message:
    """a probability of 1/65536, in the first slot or the last"""
    return Message([-1, -1, 0, 1, -1, -2, 0, 0, -1, -1], [0] * 10, [RARE])


def limit() -> Message:
    """a state at its limit renormalised one step late, by > in place of >="""
    message = Message([-1, -1], [0, 0], [RARE])
    assert code(message.steps).data != code(message.steps, late=1).data, "being late changes nothing"
    return message


def longest() -> Message:
    """a search that ends at fewer bins, or a bin's number in 16 signed bits"""
    symbols = [-TOTAL // 2, TOTAL // 2 - 2, TOTAL // 2 - 1, -1, 0, 255, 256, -TOTAL // 2 - 1]
    return Message(symbols, [0] * len(symbols), [LONGEST])


def digits() -> Message:
    """digits of escapes in the wrong order, of 0 to 7 digits; even and odd exchanged; a count that is one off"""
    edges = [16**n + d for n in range(MAX_DIGITS + 1) for d in (-2, -1, 0, 1)]
    raws = [raw for raw in edges if 0 <= raw < 16**MAX_DIGITS]
    escape = len(EVEN.cdf) - 2
    values = [-(raw + 1) // 2 if raw % 2 else raw // 2 + escape for raw in raws]
    message = Message([EVEN.offset + value for value in values], [0] * len(values), [EVEN])
    counts = {(-(-raw.bit_length() // DIGIT_BITS), raw % 2) for raw in raws}
    assert counts == {(0, 0), *((n, odd) for n in range(1, MAX_DIGITS + 1) for odd in (0, 1))}, f"only {counts}"
    return message


def mixed() -> Message:
    """the wrong table for a symbol; padding taken for part of a table; states beyond 2^62 as signed numbers"""
    gaussian = tables.load_gaussian().tables[::9]
    indexes = (scatter(np.arange(2000), 1) % len(gaussian)).tolist()
    slots = scatter(np.arange(2000), 2).tolist()
    bins = [bisect_right(gaussian[i].cdf, slot) - 1 for i, slot in zip(indexes, slots, strict=True)]
    symbols = [gaussian[i].offset + value for i, value in zip(indexes, bins, strict=True)]
    message = Message(symbols, indexes, gaussian)
    assert any(x >= 1 << 62 for x in code(message.steps).states), "no state beyond 2^62"
    assert len({len(table.cdf) for table in gaussian}) == len(gaussian), "tables of the same length"
    return message


def even() -> Message:
    """tables kept from a message before: those of `rare` have this shape, and as many symbols"""
    return Message([0, -1, 0, 1, 0, 2, -1, -2, 0, 0], [0] * 10, [EVEN])


def beyond_2_62() -> Message:
    """a first state beyond 2^62 taken for a negative number or shifted out"""
    message = Message([1] + [-1] * 13, [0] * 14, [EVEN])
    first = int.from_bytes(code(message.steps).data[:FLUSHED], "little")
    assert first >= 1 << 62, f"the first state is {first:#x}"
    return message


def below_a_table() -> Message:
    """a symbol below a table taken for one of the table before, where all tables are one array"""
    first = EVEN.offset
    return Message([0, first - 1, first - 2, first, 1, 2], [0, 1, 1, 1, 0, 1], [EVEN, EVEN])


MESSAGES = (
    empty,
    single,
    only_escape,
    one_symbol,
    rare,
    limit,
    longest,
    digits,
    mixed,
    even,
    beyond_2_62,
    below_a_table,
)


# Faults: each gives a stream of MESSAGE that must be refused

MESSAGE = Message([0, -1, 5, 0, -9, 0, 100] * 3, [0] * 21, [EVEN])


def no_bytes() -> bytes:
    """the state read from nothing"""
    return b""


def half_a_low_state() -> bytes:
    """a state of one word, for no symbols: the second taken for 0"""
    return struct.pack("<I", LOWER)


def half_a_state() -> bytes:
    """the state's second word taken for 0"""
    return code(MESSAGE.steps).data[: FLUSHED // 2]


def half_a_word() -> bytes:
    """bytes after the last whole word ignored"""
    return code(MESSAGE.steps).data + bytes(2)


def low_state() -> bytes:
    """a first state below 2^31 taken as it is: nothing says how often to refill it"""
    return struct.pack("<Q", LOWER - 1) + code(MESSAGE.steps).data[FLUSHED:]


def high_state() -> bytes:
    """a first state of 2^63 taken as it is, or as a negative number"""
    return struct.pack("<Q", 1 << UPPER_BITS) + code(MESSAGE.steps).data[FLUSHED:]


def missing_word() -> bytes:
    """words beyond the end taken for 0"""
    return code(MESSAGE.steps).data[: -WORD_BITS // 8]


def eight_digits() -> bytes:
    """an escape of eight digits, which overflows 32 bits"""
    return code([*escaped([1] * (MAX_DIGITS + 1), EVEN), *MESSAGE.steps[1:]]).data


def fifteen_digits() -> bytes:
    """an escape of any length"""
    return code([*escaped([15] * 15, EVEN), *MESSAGE.steps[1:]]).data


def zero_digit() -> bytes:
    """an escape with more digits than it needs: one message would have many streams"""
    return code([*escaped([2, 0], EVEN), *MESSAGE.steps[1:]]).data


def a_byte_more() -> bytes:
    """a byte after the last whole word ignored"""
    return code(MESSAGE.steps).data + b"\0"


def far_final_state() -> bytes:
    """the lower word of the last state looked at alone"""
    return code(MESSAGE.steps, LOWER + (1 << WORD_BITS)).data


def extra_word() -> bytes:
    """words after the last symbol ignored"""
    return code(MESSAGE.steps).data + bytes(WORD_BITS // 8)


def other_final_state() -> bytes:
    """the last state not looked at"""
    return code(MESSAGE.steps, LOWER + 1).data


def many_digits_missing_word() -> bytes:
    """a count of digits judged before its refill: a digit is read with its refill, then judged"""
    return ends_in_digits([MAX_DIGITS + 1], EVEN)


def zero_digit_missing_word() -> bytes:
    """a highest digit judged before its refill"""
    return ends_in_digits([1, 0], EVEN)


FAULTS: Mapping[Kind, Sequence[Callable[[], bytes]]] = {
    Kind.TRUNCATED: (
        no_bytes, half_a_state, half_a_low_state, half_a_word, a_byte_more, missing_word,
        many_digits_missing_word, zero_digit_missing_word,
    ),
    Kind.BAD_FINAL_STATE: (low_state, high_state, other_final_state, far_final_state),
    Kind.SYMBOL_OUT_OF_RANGE: (eight_digits, fifteen_digits, zero_digit),
    Kind.TRAILING_DATA: (extra_word,),
}  # fmt: skip


def all_vectors(out: VectorSet) -> None:
    """Makes the vectors of REQUIREMENTS."""
    for make in MESSAGES:
        message = make()
        folder = f"rans/{make.__name__}"
        symbols = out.store(f"{folder}/symbols", np.array(message.symbols, np.int32))
        inputs = {"symbols": symbols, **table_files(out, folder, message)}
        stream = out.add("RANS-1", make.__name__, "rans_encode", inputs, made=make, folder=folder)["stream"]
        assert stream.data == code(message.steps).data, f"{make.__name__} has other bytes step by step"
        decoded = decode(out, "RANS-2", make, stream.data, message)["symbols"]
        assert decoded.array.tolist() == message.symbols, f"{make.__name__} comes back as something else"
    for kind, faults in FAULTS.items():
        for fault in faults:
            decode(out, "RANS-3", fault, fault(), MESSAGE, kind)


def decode(
    out: VectorSet,
    requirement: str,
    make: Callable[..., object],
    stream: bytes,
    message: Message,
    kind: Kind | None = None,
) -> dict[str, Stored]:
    """Adds a stream to be read with a message's tables. kind: that of its refusal, if it must be refused."""
    folder = f"rans/{make.__name__}"
    inputs = {"stream": out.store(f"{folder}/stream", stream), **table_files(out, folder, message)}
    return out.add(requirement, make.__name__, "rans_decode", inputs, made=make, folder=folder, rejected=kind)


def table_files(out: VectorSet, folder: str, message: Message) -> dict[str, Stored]:
    """indexes (n,), cdf (T, L), length (T,), offset (T,): int32."""
    arrays = to_arrays(message.tables)
    values = {"indexes": np.array(message.indexes, np.int32)}
    values |= {"cdf": arrays["_quantized_cdf"], "length": arrays["_cdf_length"], "offset": arrays["_offset"]}
    return out.store_all(folder, values)
