"""Other ways to the same answers, to hold mbtref against.

- `compressai`: the library that most users of mbt2018 have.
- `ans_encode`: asymmetric numeral systems by their definition, for what that library can't do.

The integer networks have an oracle too: `decoder.py`, which shares nothing with the reference.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import pytest

from mbtref.rans import Table
from mbtref.suite.subjects import compressai as subject

MISSING = "" if find_spec("compressai") else "not run: no compressai, which has no wheels for Python 3.13"
needs_compressai = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def compressai(name: str) -> ModuleType:
    """A module of CompressAI, as the subject imports it. Without CompressAI the test isn't run."""
    if MISSING:
        pytest.skip(MISSING)
    return subject.compressai(name)


# Asymmetric numeral systems by definition (Duda 2013, sections 2 and 3). Every natural number n carries a label:
# that of the bin in which n mod 2^bits lies. D(n) is how many numbers below n carry n's label; C(s, x) is the
# x-th number, counted from 0, that carries s. Neither is computed by the formulas of `rans`: D counts, C searches.
# A state is kept in [2^31, 2^63) by moving 32-bit words out before a step whose result would be too large.

ANS_LOW, ANS_WORD = 1 << 31, 1 << 32


class Label(NamedTuple):
    """Numbers n with start <= n mod 2^bits < start + freq."""

    start: int
    freq: int
    bits: int

    def count_below(self, n: int) -> int:
        """How many numbers below n carry this label."""
        periods, rest = divmod(n, 1 << self.bits)
        return periods * self.freq + min(max(rest - self.start, 0), self.freq)

    def find(self, x: int) -> int:
        """The x-th number that carries this label, by bisection."""
        low, high = 0, (x // self.freq + 1) << self.bits
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.count_below(middle + 1) <= x else (low, middle)
        return low


def digit_label(digit: int) -> Label:
    """A base-16 digit, all equally likely."""
    return Label(digit, 1, 4)


def bin_labels(table: Table) -> list[Label]:
    """The bins of a table, the escape last."""
    return [Label(a, b - a, 16) for a, b in pairwise(table.cdf)]


def labels(symbol: int, table: Table) -> list[Label]:
    """What is coded for a symbol, in reading order."""
    bins = bin_labels(table)
    end = table.offset + len(bins) - 1
    if table.offset <= symbol < end:
        return [bins[symbol - table.offset]]
    # outside, nearest first: 0, 2, 4, ... behind the table, 1, 3, 5, ... before it
    outside = 2 * (symbol - end) if symbol >= end else 2 * (table.offset - 1 - symbol) + 1
    digits = []
    while outside:
        outside, digit = divmod(outside, 16)
        digits.append(digit)
    return [bins[-1], digit_label(len(digits)), *map(digit_label, digits)]


def ans_encode(message: Sequence[Label], first: int = ANS_LOW) -> bytes:
    """The stream of a message in reading order. first: the state that the encoder begins with."""
    x, words = first, b""
    for label in reversed(message):
        while label.find(x) >= ANS_LOW * ANS_WORD:
            x, word = divmod(x, ANS_WORD)
            words = word.to_bytes(4, "little") + words
        x = label.find(x)
    return x.to_bytes(8, "little") + words
