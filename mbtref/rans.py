"""The entropy coder: range asymmetric numeral systems, on integers alone.

Duda 2013 (arXiv:1311.2540) in the 64-bit form of Giesen's ryg_rans: a state x in [2^31, 2^63), 32-bit words,
probabilities in units of 2^-16. Surprises first:

- rANS is a stack. The encoder pushes the *last* symbol first; the decoder pops in reading order. So an encoder
  takes a whole message at once, but a decoder may choose each table after it has seen the symbols before.
- The last bin of every table is the escape. A symbol outside the table is the escape bin and then base-16 digits
  of uniform bits: their count, then the digits, lowest first.
- A decoder ends in the state in which the encoder began, and with no word left. Both are free checks.

`compressai.ans` gives the same bytes for the same symbols and tables. But it goes wrong on streams of fewer than
three coding steps, on a bin of frequency 2^16 and on escaped values from 2^28 on.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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

DIGIT_BITS = 4
"""Bits of one digit of an escaped value."""
MAX_DIGITS = 7
"""An escaped value has at most this many digits: it is below 2^28. More digits make a stream invalid."""


class Table(NamedTuple):
    """One integer CDF.

    cdf: 0 = cdf[0] < cdf[1] < ... < cdf[n] = 2^PRECISION, n >= 1 bins. Bin i < n - 1 is the symbol
    offset + i; bin n - 1 is the escape.
    offset: the symbol of the first bin.
    """

    cdf: tuple[int, ...]
    offset: int


class Interval(NamedTuple):
    """A coding step: the part [start, start + freq) of 2^bits equal slots."""

    start: int
    freq: int
    bits: int


def intervals(symbols: Sequence[int], indexes: Sequence[int], tables: Sequence[Table]) -> Iterator[Interval]:
    """The coding steps of a message, in reading order.

    symbols: integers. indexes: the table of each symbol, of the same length.
    Raises ValueError for a symbol whose escape needs more than MAX_DIGITS digits.
    """
    for symbol, index in zip(symbols, indexes, strict=True):
        cdf, offset = tables[index]
        escape = len(cdf) - 2
        value = symbol - offset
        if 0 <= value < escape:
            yield Interval(cdf[value], cdf[value + 1] - cdf[value], PRECISION)
            continue
        yield Interval(cdf[escape], cdf[escape + 1] - cdf[escape], PRECISION)
        # Symbols below the table get odd numbers, symbols from its end on get even numbers.
        raw = -2 * value - 1 if value < 0 else 2 * (value - escape)
        count = -(-raw.bit_length() // DIGIT_BITS)
        if count > MAX_DIGITS:
            raise ValueError(f"symbol {symbol} is too far outside table {index} to be coded; clamp it first")
        yield Interval(count, 1, DIGIT_BITS)
        for i in range(count):
            yield Interval(raw >> DIGIT_BITS * i & (1 << DIGIT_BITS) - 1, 1, DIGIT_BITS)


def encode(symbols: Sequence[int], indexes: Sequence[int], tables: Sequence[Table]) -> bytes:
    """Codes a message, of any length from 0 on, into whole little-endian 32-bit words.

    symbols, indexes: as for `intervals`. Raises ValueError as it does.
    """
    x = LOWER
    words = []
    for start, freq, bits in reversed(list(intervals(symbols, indexes, tables))):
        if x >= freq << (UPPER_BITS - bits):
            words.append(x & WORD_MASK)
            x >>= WORD_BITS
        # C(s, x) = floor(x / f_s) · 2^n + x mod f_s + start_s
        x = ((x // freq) << bits) + x % freq + start
    words += [x >> WORD_BITS, x & WORD_MASK]
    return struct.pack(f"<{len(words)}I", *reversed(words))


class Decoder:
    """Reads one rANS stream, symbol by symbol.

    data: the stream. position: where its first byte lies in the file, for error offsets.
    Raises BitstreamError truncated if data isn't two or more whole words, bad-final-state if the first state
    is out of range.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._position = position
        if len(data) < FLUSHED or len(data) % WORD_BYTES:
            end = position + len(data)
            raise BitstreamError(Kind.TRUNCATED, end, "the payload isn't two or more whole words")
        self._data = data
        self._x = int.from_bytes(data[:FLUSHED], "little")
        self._next = FLUSHED
        if not LOWER <= self._x < 1 << UPPER_BITS:
            raise BitstreamError(Kind.BAD_FINAL_STATE, position, "the first state is out of range")

    @property
    def offset(self) -> int:
        """The byte of the file that is read next."""
        return self._position + self._next

    def _advance(self, x: int) -> int:
        """Refills a state that has fallen below LOWER."""
        if x >= LOWER:
            return x
        word = self._data[self._next : self._next + WORD_BYTES]
        if not word:
            raise BitstreamError(Kind.TRUNCATED, self.offset, "the payload ends before its last symbol")
        self._next += WORD_BYTES
        return x << WORD_BITS | int.from_bytes(word, "little")

    def _digit(self) -> int:
        digit = self._x & (1 << DIGIT_BITS) - 1
        self._x = self._advance(self._x >> DIGIT_BITS)
        return digit

    def _escaped(self, escape: int) -> int:
        """A value outside a table whose escape bin is `escape`."""
        count = self._digit()
        if count > MAX_DIGITS:
            reason = f"an escape has {count} digits; at most {MAX_DIGITS} are allowed"
            raise BitstreamError(Kind.SYMBOL_OUT_OF_RANGE, self.offset, reason)
        raw = sum(self._digit() << DIGIT_BITS * i for i in range(count))
        if count and raw >> DIGIT_BITS * (count - 1) == 0:
            raise BitstreamError(Kind.SYMBOL_OUT_OF_RANGE, self.offset, "the highest digit of an escape is 0")
        return -(raw + 1) // 2 if raw % 2 else raw // 2 + escape

    def pop(self, indexes: Sequence[int], tables: Sequence[Table]) -> list[int]:
        """The next symbols. indexes: the table of each.

        Raises BitstreamError truncated or symbol-out-of-range.
        """
        symbols = []
        for index in indexes:
            cdf, offset = tables[index]
            slot = self._x & (1 << PRECISION) - 1
            value = bisect_right(cdf, slot) - 1
            start = cdf[value]
            # D(x) = f_s · floor(x / 2^n) + x mod 2^n - start_s
            self._x = self._advance((cdf[value + 1] - start) * (self._x >> PRECISION) + slot - start)
            if value == len(cdf) - 2:
                value = self._escaped(value)
            symbols.append(value + offset)
        return symbols

    def finish(self) -> None:
        """Checks that the message ends here.

        Raises BitstreamError trailing-data if a word is left, bad-final-state if the state isn't LOWER.
        """
        if self._next < len(self._data):
            raise BitstreamError(Kind.TRAILING_DATA, self.offset, "words are left after the last symbol")
        if self._x != LOWER:
            raise BitstreamError(Kind.BAD_FINAL_STATE, self.offset, "the last state isn't 2^31")
