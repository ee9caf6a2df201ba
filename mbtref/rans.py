"""The entropy coder: range asymmetric numeral systems, on integers alone.

Duda 2013 (arXiv:1311.2540) in the 64-bit form of Giesen's ryg_rans: a state x in [2^31, 2^63), 32-bit words,
probabilities in units of 2^-16. Surprises first:

- rANS is a stack. The encoder pushes the *last* symbol first; the decoder pops in reading order. So an encoder
  takes a whole message at once, but a decoder may choose each table after it has seen the symbols before.
- The last bin of every table is the escape. A symbol outside the table is the escape bin and then base-16 digits
  of uniform bits: their count, then the digits, lowest first.
- A decoder ends in the state in which the encoder began, and with no word left. Both are free checks.
- Only `push` and `pop` go symbol by symbol. Everything else is done for a whole message at once.

`compressai.ans` gives the same bytes for the same symbols and tables. But it goes wrong on streams of fewer than
three coding steps, on a bin of frequency 2^16 and on escaped values from 2^28 on.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref.compiled import Array, Numbers, compiled, numbers
from mbtref.errors import BitstreamError, Kind

PRECISION = 16
"""Bits of a probability: the frequencies of a table sum to 2^PRECISION."""
WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8
LOWER = 1 << 31
"""The smallest normalised state, and the first state of an encoder."""
UPPER_BITS = 31 + WORD_BITS
"""A normalised state is below 2^UPPER_BITS."""
WORD_MASK = (1 << WORD_BITS) - 1
FLUSHED = 2 * WORD_BYTES
"""Bytes of a stream without symbols: the state alone."""

SLOT_MASK = (1 << PRECISION) - 1

DIGIT_BITS = 4
"""Bits of one digit of an escaped value."""
DIGIT_MASK = (1 << DIGIT_BITS) - 1
MAX_DIGITS = 7
"""An escaped value has at most this many digits: it is below 2^28. More digits make a stream invalid."""

PART_BITS = 8
"""The search for a slot's bin begins at the first bin of its part of 2^PART_BITS slots."""


class Table(NamedTuple):
    """One integer CDF.

    cdf: 0 = cdf[0] < cdf[1] < ... < cdf[n] = 2^PRECISION, n >= 1 bins. Bin i < n - 1 is the symbol
    offset + i; bin n - 1 is the escape.
    offset: the symbol of the first bin.
    """

    cdf: tuple[int, ...]
    offset: int


class Tables(tuple[Table, ...]):
    """T tables as the coder takes them: their CDFs stand one after the other, and a bin is a place among them."""

    def __init__(self, tables: Iterable[Table]) -> None:
        lengths = np.array([len(table.cdf) for table in self], np.int64)
        self.cdf: Array = np.fromiter(itertools.chain.from_iterable(table.cdf for table in self), np.int64)
        """All CDFs."""
        self.begin: Array = np.cumsum(lengths) - lengths
        """(T,) the first bin of each table."""
        self.escape: Array = self.begin + lengths - 2
        """(T,) the last bin."""
        self.offset: Array = np.array([table.offset for table in self], np.int64)
        """(T,) the symbol of the first bin."""
        parts = np.arange(0, 1 << PRECISION, 1 << PART_BITS)
        first = [np.searchsorted(table.cdf, parts, "right") - 1 for table in self]
        bins = np.array(first, np.int64).reshape(-1, len(parts)) + self.begin[:, None]
        self.for_loops = tuple(map(numbers, (self.cdf, self.begin, self.escape, self.offset, bins.ravel())))
        """All of these, and (T · parts,) the bin in which each part of a table begins."""


class Steps(NamedTuple):
    """Coding steps in reading order: each is the part [start, start + freq) of 2^bits equal slots."""

    start: Array
    freq: Array
    bits: Array


def steps(symbols: Array, indexes: Array, tables: Tables) -> Steps:
    """The coding steps of a message: one for a symbol inside its table, 2 to 2 + MAX_DIGITS for another.

    symbols, indexes: (S,) int64. Raises ValueError for a symbol whose escape needs more than MAX_DIGITS digits.
    """
    value = symbols - tables.offset[indexes]
    escape = tables.escape[indexes] - tables.begin[indexes]
    outside = (value < 0) | (value >= escape)
    # symbols below the table get odd numbers, symbols from its end on get even numbers
    raw = np.where(outside, np.where(value < 0, -2 * value - 1, 2 * (value - escape)), 0)
    if (far := np.flatnonzero((raw < 0) | (raw >= 1 << DIGIT_BITS * MAX_DIGITS))).size:
        place = f"symbol {symbols[far[0]]} is too far outside table {indexes[far[0]]}"
        raise ValueError(f"{place} to be coded; clamp it first")
    digits = np.searchsorted(1 << DIGIT_BITS * np.arange(MAX_DIGITS, dtype=np.int64), raw, "right")
    # a symbol's steps: 0 its bin, 1 the number of digits, from 2 on the digits, lowest first
    count = np.where(outside, 2 + digits, 1)
    of = np.repeat(np.arange(len(symbols)), count)
    step = np.arange(len(of)) - (np.cumsum(count) - count)[of]
    bins = (tables.begin[indexes] + np.where(outside, escape, value))[of]
    digit = raw[of] >> DIGIT_BITS * np.maximum(step - 2, 0) & DIGIT_MASK
    is_bin = step == 0
    return Steps(
        start=np.where(is_bin, tables.cdf[bins], np.where(step == 1, digits[of], digit)),
        freq=np.where(is_bin, tables.cdf[bins + 1] - tables.cdf[bins], 1),
        bits=np.where(is_bin, PRECISION, DIGIT_BITS),
    )


@compiled
def push(start: Numbers, freq: Numbers, bits: Numbers, words: Numbers) -> tuple[int, int]:
    """Codes steps, the last one first, into words. Returns the state and the number of words."""
    x = LOWER
    count = 0
    for i in range(len(start) - 1, -1, -1):
        # x >= freq · 2^(UPPER_BITS - bits): the step would leave the state's range
        if x >> (UPPER_BITS - bits[i]) >= freq[i]:
            words[count] = x & WORD_MASK
            count += 1
            x >>= WORD_BITS
        # C(s, x) = floor(x / f_s) · 2^n + x mod f_s + start_s
        x = ((x // freq[i]) << bits[i]) + x % freq[i] + start[i]
    return x, count


def encode(symbols: npt.ArrayLike, indexes: npt.ArrayLike, tables: Tables) -> bytes:
    """Codes a message, of any length from 0 on, into whole little-endian 32-bit words.

    symbols: (S,) int64. indexes: (S,) the table of each.
    Raises ValueError for lengths that differ, and for a symbol whose escape needs more than MAX_DIGITS digits.
    """
    message, of = np.asarray(symbols, np.int64), np.asarray(indexes, np.int64)
    if message.shape != of.shape:
        raise ValueError(f"{message.size} symbols have {of.size} indexes: give the table of each symbol")
    coded = steps(message, of, tables)
    words = numbers(np.zeros(len(coded.start) + FLUSHED // WORD_BYTES, np.int64))
    x, count = push(numbers(coded.start), numbers(coded.freq), numbers(coded.bits), words)
    words[count], words[count + 1] = x >> WORD_BITS, x & WORD_MASK
    return np.array(words[: count + 2], "<u4")[::-1].tobytes()


TRUNCATED, TOO_LONG, TOP_DIGIT_ZERO = -1, -2, -3
"""Faults, in place of an escaped value."""
FAULTS = {
    TRUNCATED: (Kind.TRUNCATED, "the payload ends before its last symbol"),
    TOO_LONG: (Kind.SYMBOL_OUT_OF_RANGE, f"an escape has more than {MAX_DIGITS} digits"),
    TOP_DIGIT_ZERO: (Kind.SYMBOL_OUT_OF_RANGE, "the highest digit of an escape is 0"),
}


@compiled
def refill(x: int, at: int, words: Numbers) -> tuple[int, int]:
    """Makes a state below LOWER whole with the next word. It stays below LOWER if there is none."""
    if x < LOWER and at < len(words):
        return x << WORD_BITS | words[at], at + 1
    return x, at


@compiled
def pop_escaped(x: int, at: int, words: Numbers) -> tuple[int, int, int]:
    """Reads an escaped value. Returns the state, the place of the next word, and the value or a fault."""
    count = x & DIGIT_MASK
    x, at = refill(x >> DIGIT_BITS, at, words)
    if x < LOWER:
        return x, at, TRUNCATED
    if count > MAX_DIGITS:
        return x, at, TOO_LONG
    raw = digit = 0
    for i in range(count):
        digit = x & DIGIT_MASK
        x, at = refill(x >> DIGIT_BITS, at, words)
        if x < LOWER:
            return x, at, TRUNCATED
        raw |= digit << DIGIT_BITS * i
    if count > 0 and digit == 0:
        return x, at, TOP_DIGIT_ZERO
    return x, at, raw


@compiled
def pop(
    x: int, at: int, words: Numbers, indexes: Numbers, tables: tuple[Numbers, ...], symbols: Numbers
) -> tuple[int, int, int]:
    """Reads a symbol for each index. Returns the state, the place of the next word, and a fault or 0."""
    cdf, begin, escape, offset, first = tables
    for i in range(len(indexes)):
        index = indexes[i]
        slot = x & SLOT_MASK
        place = first[(index << PRECISION | slot) >> PART_BITS]
        while cdf[place + 1] <= slot:
            place += 1
        # D(x) = f_s · floor(x / 2^n) + x mod 2^n - start_s
        x = (cdf[place + 1] - cdf[place]) * (x >> PRECISION) + slot - cdf[place]
        if x < LOWER:
            x, at = refill(x, at, words)
            if x < LOWER:
                return x, at, TRUNCATED
        symbols[i] = place - begin[index] + offset[index]
        if place == escape[index]:
            x, at, raw = pop_escaped(x, at, words)
            if raw < 0:
                return x, at, raw
            symbols[i] = offset[index] - (raw + 1) // 2 if raw % 2 else symbols[i] + raw // 2
    return x, at, 0


class Decoder:
    """Reads one rANS stream.

    data: the stream. position: where its first byte lies in the file, for error offsets.
    Raises BitstreamError truncated if data isn't two or more whole words, bad-final-state if the first state
    is out of range.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        if len(data) < FLUSHED or len(data) % WORD_BYTES:
            end = position + len(data)
            raise BitstreamError(Kind.TRUNCATED, end, "the payload isn't two or more whole words")
        self._x = int.from_bytes(data[:FLUSHED], "little")
        if not LOWER <= self._x < 1 << UPPER_BITS:
            raise BitstreamError(Kind.BAD_FINAL_STATE, position, "the first state is out of range")
        self._words = numbers(np.frombuffer(data, "<u4", offset=FLUSHED).astype(np.int64))
        self._begin = position + FLUSHED
        self._at = 0

    @property
    def offset(self) -> int:
        """The byte of the file that is read next."""
        return self._begin + WORD_BYTES * self._at

    def pop(self, indexes: npt.ArrayLike, tables: Tables) -> Array:
        """The next symbols. indexes: (S,) the table of each. Returns (S,) int64.

        Raises BitstreamError truncated or symbol-out-of-range.
        """
        of = np.asarray(indexes, np.int64)
        symbols = numbers(np.zeros_like(of))
        self._x, self._at, fault = pop(self._x, self._at, self._words, numbers(of), tables.for_loops, symbols)
        if fault:
            kind, reason = FAULTS[fault]
            raise BitstreamError(kind, self.offset, reason)
        return np.array(symbols, np.int64)

    def finish(self) -> None:
        """Checks that the message ends here.

        Raises BitstreamError trailing-data if a word is left, bad-final-state if the state isn't LOWER.
        """
        if self._at < len(self._words):
            raise BitstreamError(Kind.TRAILING_DATA, self.offset, "words are left after the last symbol")
        if self._x != LOWER:
            raise BitstreamError(Kind.BAD_FINAL_STATE, self.offset, "the last state isn't 2^31")
