"""RANS: messages with edge tables, and streams that no encoder wrote."""

import functools
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
from mbtref.suite.generate.case import Case, Faults, Stored
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.textures import scatter
from mbtref.suite.operations import Value

WORD = WORD_BITS // 8
"""Bytes."""
LOW_STATE, HIGH_STATE = struct.pack("<Q", LOWER - 1), struct.pack("<Q", 1 << UPPER_BITS)
"""First states, one below and one above those that are allowed."""
FAR_STATE = LOWER + (1 << WORD_BITS)
"""A last state whose lower word is right."""
TOO_MANY = [1] * (MAX_DIGITS + 1)
"""Digits of an escape, one more than are allowed."""
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


Interval = tuple[int, int, int]
"""A coding step (start, freq, bits): the part [start, start + freq) of 2^bits equal slots."""


class Message(NamedTuple):
    """Symbols, the table of each, and the tables."""

    symbols: list[int]
    indexes: list[int]
    tables: Sequence[Table]

    @property
    def steps(self) -> list[Interval]:
        """In reading order."""
        symbols, indexes = np.array(self.symbols, np.int64), np.array(self.indexes, np.int64)
        coded = rans.steps(symbols, indexes, rans.Tables(self.tables))
        return list(zip(*(part.tolist() for part in coded), strict=True))

    @property
    def arrays(self) -> dict[str, Value]:
        """What a decoder is told: indexes (n,), cdf (T, L), length (T,), offset (T,): int32."""
        cdf, length, offset = to_arrays(self.tables).values()
        return {"indexes": np.array(self.indexes, np.int32), "cdf": cdf, "length": length, "offset": offset}


def code(steps: Sequence[Interval], x: int = LOWER, late: int = 0) -> bytes:
    """`rans.encode` for any steps. x: the encoder's first state. late: how far beyond its limit a state may go."""
    words = []
    for start, freq, bits in reversed(steps):
        limit = (freq << UPPER_BITS - bits) + late
        if x >= limit:
            words.append(x & WORD_MASK)
            x >>= WORD_BITS
        x = (x // freq << bits) + x % freq + start
    return struct.pack(f"<Q{len(words)}I", x, *reversed(words))


def first_state(steps: Sequence[Interval]) -> int:
    """The decoder's."""
    return int.from_bytes(code(steps)[:FLUSHED], "little")


def escaped(digits: Sequence[int], table: Table) -> list[Interval]:
    """The steps of an escape with these digits, lowest first, and their count, even a forbidden one."""
    return [
        (table.cdf[-2], TOTAL - table.cdf[-2], PRECISION),
        (len(digits), 1, DIGIT_BITS),
        *((digit, 1, DIGIT_BITS) for digit in digits),
    ]


def escape_first(digits: Sequence[int], table: Table, steps: Sequence[Interval]) -> bytes:
    """A stream with an escape of these digits in place of its first symbol."""
    return code([*escaped(digits, table), *steps[1:]])


def ends_in_digits(digits: Sequence[int], table: Table) -> bytes:
    """A state and no words: an escape with these digits, their count first, whose last digit needs a word."""
    x = LOWER >> DIGIT_BITS  # after the last digit
    for digit in reversed(digits):
        x = x << DIGIT_BITS | digit
    start, freq, bits = escaped([], table)[0]
    return struct.pack("<Q", (x // freq << bits) + x % freq + start)


def ask_both(case: Case, message: Message, given: Mapping[str, Value | Stored]) -> None:
    """Asks for the stream of a message, and for its symbols. given: the inputs of the encoder but the symbols."""
    symbols = case.store("symbols", np.array(message.symbols, np.int32))
    stream = case.ask("rans_encode", {"symbols": symbols, **given})["stream"]
    assert stream.data == code(message.steps), f"{case.name} has other bytes step by step"
    decoded = case.but(requirement="RANS-2").ask("rans_decode", {"stream": stream, **given})
    assert decoded["symbols"].array.tolist() == message.symbols, f"{case.name} comes back as something else"


def roundtrip(build: Callable[[], Message]) -> Callable[[], Message]:
    """Registers a message, which is encoded and decoded again."""

    @vector("RANS-1", "RANS-2")
    @functools.wraps(build)
    def make(case: Case) -> None:
        message = build()
        ask_both(case, message, message.arrays)

    return build


@roundtrip
def empty() -> Message:
    """a stream of no symbols that has no state, or more than the state"""
    return Message([], [], [EVEN])


@roundtrip
def single() -> Message:
    """a word written or read where none is due"""
    return Message([0], [0], [EVEN])


@roundtrip
def only_escape() -> Message:
    """a frequency of 65536 kept in 16 bits, where it is 0; its limit of 2^63 kept in a signed integer"""
    return Message([3, 4, 2, 3, 250, -77], [0] * 6, [ONLY_ESCAPE])


@roundtrip
def one_symbol() -> Message:
    """an alphabet of one symbol, which costs next to nothing: a word written or read where none is due"""
    message = Message([7] * 1000 + [6], [0] * 1001, [ONE_SYMBOL])
    assert len(code(message.steps)) == FLUSHED, "a thousand symbols take more than the state"
    return message


@roundtrip
def rare() -> Message:
    """a probability of 1/65536, in the first slot or the last"""
    return Message([-1, -1, 0, 1, -1, -2, 0, 0, -1, -1], [0] * 10, [RARE])


@roundtrip
def limit() -> Message:
    """a state at its limit renormalised one step late, by > in place of >="""
    message = Message([-1, -1], [0, 0], [RARE])
    assert code(message.steps) != code(message.steps, late=1), "being late changes nothing"
    return message


@roundtrip
def longest() -> Message:
    """a search that ends at fewer bins, or a bin's number in 16 signed bits"""
    symbols = [-TOTAL // 2, TOTAL // 2 - 2, TOTAL // 2 - 1, -1, 0, 255, 256, -TOTAL // 2 - 1]
    return Message(symbols, [0] * len(symbols), [LONGEST])


@roundtrip
def digits() -> Message:
    """digits of escapes in the wrong order, of 0 to 7 digits; even and odd exchanged; a count that is one off"""
    edges = [16**n + d for n in range(MAX_DIGITS + 1) for d in (-2, -1, 0, 1)]
    raws = [raw for raw in edges if 0 <= raw < 16**MAX_DIGITS]
    escape = len(EVEN.cdf) - 2
    values = [-(raw + 1) // 2 if raw % 2 else raw // 2 + escape for raw in raws]
    return Message([EVEN.offset + value for value in values], [0] * len(values), [EVEN])


@roundtrip
def mixed() -> Message:
    """the wrong table for a symbol; padding taken for part of a table; states beyond 2^62 as signed numbers"""
    gaussian = tables.load_gaussian().tables[::9]
    indexes = (scatter(np.arange(2000), 1) % len(gaussian)).tolist()
    slots = scatter(np.arange(2000), 2).tolist()
    bins = [bisect_right(gaussian[i].cdf, slot) - 1 for i, slot in zip(indexes, slots, strict=True)]
    symbols = [gaussian[i].offset + value for i, value in zip(indexes, bins, strict=True)]
    message = Message(symbols, indexes, gaussian)
    steps = message.steps
    assert any(first_state(steps[i:]) >= 1 << 62 for i in range(len(steps))), "no state beyond 2^62"
    assert len({len(table.cdf) for table in gaussian}) == len(gaussian), "tables of the same length"
    return message


@roundtrip
def even() -> Message:
    """tables kept from a message before: those of `rare` have this shape, and as many symbols"""
    return Message([0, -1, 0, 1, 0, 2, -1, -2, 0, 0], [0] * 10, [EVEN])


@roundtrip
def beyond_2_62() -> Message:
    """a first state beyond 2^62 taken for a negative number or shifted out"""
    message = Message([1] + [-1] * 13, [0] * 14, [EVEN])
    assert first_state(message.steps) >= 1 << 62, "the first state isn't beyond 2^62"
    return message


@roundtrip
def highest_state() -> Message:
    """a first state near 2^63 compared with it as a float64, which is 2^63"""
    # the last three symbols lead to a state from which the first three lead up, each with a bin of the last slots
    last = [Table((0, width, TOTAL), 0) for width in (3708, 64350, 2)]
    first = [Table((0, TOTAL - width - 1, TOTAL - 1, TOTAL), 0) for width in (3, 1)]
    message = Message([1, 1, 1, 0, 0, 0], [0, 0, 1, 2, 3, 4], [*first, *last])
    assert float(first_state(message.steps)) == 2.0**63, "the first state is far from 2^63"
    return message


@roundtrip
def below_a_table() -> Message:
    """a symbol below a table taken for one of the table before, where all tables are one array"""
    first = EVEN.offset
    return Message([0, first - 1, first - 2, first, 1, 2], [0, 1, 1, 1, 0, 1], [EVEN, EVEN])


@roundtrip
def lowest_state() -> Message:
    """a state of exactly 2^31 refilled, or called truncated: in the midst of a stream, after a count of digits"""
    message = Message([1] + [-1] * 16, [0] * 17, [EVEN])
    assert first_state(message.steps[2:]) == LOWER, f"{message.symbols[1:]} don't lead back to the first state"
    return message


@roundtrip
def no_digits() -> Message:
    """no refill after a count of 0 digits"""
    message = Message([1] * 16, [0] * 16, [EVEN])
    counts = [first_state(message.steps[i:]) for i in range(1, 32, 2)]
    assert any(x >> DIGIT_BITS < LOWER for x in counts), "no count of 0 digits is followed by a refill"
    return message


@roundtrip
def many_tables() -> Message:
    """the number of a table kept in 3 to 8 bits, or a list of 64 or 256 tables"""
    numbers = list(range(299, -1, -1))
    return Message(numbers, numbers, [Table((0, 9000 + i, TOTAL - i - 1, TOTAL), i) for i in range(300)])


@roundtrip
def far_offsets() -> Message:
    """an offset or a symbol kept in 16 or 24 bits, or in float32"""
    offsets = [-(1 << 24) - 1, -40000, 40000, (1 << 24) + 1]
    symbols = [offset + value for offset in offsets for value in (0, 1, -1, 2, 300)]
    return Message(symbols, np.repeat(range(4), 5).tolist(), [EVEN._replace(offset=offset) for offset in offsets])


@vector("RANS-1", "RANS-2")
def beyond_16_bits(case: Case) -> None:
    """symbols or words counted in 16 bits or fewer; a buffer that holds fewer than 65537 of them"""
    far = [ONE_SYMBOL._replace(offset=offset) for offset in (1 << 26, -(1 << 26))]
    random = scatter(np.arange((1 << 16) + 1), 3)
    # a symbol is the number of its table, so a file is enough for both: 0 takes 16 bits, and 1 and 2 take 48
    numbers = np.where(random % 64 < 31, 0, 1 + (random >> 8) % 2).tolist()
    message = Message(numbers, numbers, [RARE._replace(offset=0), *far])
    words = (len(code(message.steps)) - FLUSHED) // WORD
    assert words > 1 << 16, f"{case.name} has {words} words"
    ask_both(case, message, message.arrays | {"indexes": case.store("symbols", message.arrays["indexes"])})


def at_any_length(steps: Sequence[Interval]) -> dict[Kind, Faults]:
    """Faults of the stream of these steps, which may be none, by the kind with which they must be refused."""
    stream, words = code(steps), code(steps)[FLUSHED:]
    return {
        Kind.TRUNCATED: {
            "no_bytes: the state read from nothing": b"",
            "half_a_state: the state's second word taken for 0": stream[: FLUSHED // 2],
            "half_a_word: bytes after the last whole word ignored": stream + bytes(WORD // 2),
            "a_byte_more: a byte after the last whole word ignored": stream + b"\0",
            "low_state_half_a_word: the first state looked at before the length": LOW_STATE
            + words
            + bytes(WORD // 2),
        },
        Kind.BAD_FINAL_STATE: {
            "low_state: a first state below 2^31 taken as it is: nothing says how often to refill it": (
                LOW_STATE + words
            ),
            "high_state: a first state of 2^63 taken as it is, or as a negative number": HIGH_STATE + words,
            "other_final_state: the last state not looked at": code(steps, LOWER + 1),
            "far_final_state: the lower word of the last state looked at alone": code(steps, FAR_STATE),
        },
        Kind.TRAILING_DATA: {"extra_word: words after the last symbol ignored": stream + bytes(WORD)},
    }


FORBIDDEN: Mapping[str, Sequence[int]] = {
    "eight_digits: an escape of eight digits, which overflows 32 bits": TOO_MANY,
    "fifteen_digits: an escape of any length": [15] * 15,
    "zero_digit: an escape with more digits than it needs: one message would have many streams": [2, 0],
    "one_digit_of_zero: an escape of one digit that is 0, in place of no digits": [0],
    "two_digits_of_zero: an escape of digits that are all 0": [0, 0],
    "zero_digit_of_seven: the highest digit looked at in short escapes alone": [1] * (MAX_DIGITS - 1) + [0],
}
"""Digits of escapes that must be refused."""
UNREAD: Faults = {
    "many_digits_missing_word: a count of digits judged before its refill: a digit is read with its refill, then "
    "judged": ends_in_digits([MAX_DIGITS + 1], EVEN),
    "zero_digit_missing_word: a highest digit judged before its refill": ends_in_digits([1, 0], EVEN),
}


@vector("RANS-3")
def refused(case: Case) -> None:
    """streams that no encoder wrote"""
    message = Message([0, -1, 5, 0, -9, 0, 100] * 3, [0] * 21, [EVEN])
    steps = message.steps
    faults = at_any_length(steps)
    faults[Kind.TRUNCATED] = {
        **faults[Kind.TRUNCATED],
        "half_a_low_state: a state of one word, for no symbols: the second taken for 0": struct.pack("<I", LOWER),
        "missing_word: words beyond the end taken for 0": code(steps)[:-WORD],
        **UNREAD,
    }
    faults[Kind.SYMBOL_OUT_OF_RANGE] = {
        text: escape_first(digits, EVEN, steps) for text, digits in FORBIDDEN.items()
    }
    for kind, some in faults.items():
        case.refuse(kind, "rans_decode", some, **message.arrays)


@vector("RANS-3")
def refused_shortest(case: Case) -> None:
    """streams of no symbols, or of one, which is the first and the last, that no encoder wrote"""
    for count in (0, 1):
        message = Message([0] * count, [0] * count, [EVEN])
        faults = at_any_length(message.steps)
        if count:
            faults[Kind.TRUNCATED] = {
                **faults[Kind.TRUNCATED],
                "missing_word: a missing word seen at the next symbol alone": ends_in_digits([1, 2], EVEN),
                **UNREAD,
            }
            faults[Kind.SYMBOL_OUT_OF_RANGE] = {
                text: code(escaped(digits, EVEN)) for text, digits in FORBIDDEN.items()
            }
        beside = case.but(name=f"{case.name}/{count}")
        arrays = {name: beside.store(name, value) for name, value in message.arrays.items()}
        for kind, some in faults.items():
            named = {text.replace(":", f"_of_{count}:", 1): data for text, data in some.items()}
            case.refuse(kind, "rans_decode", named, **arrays)
