"""Other ways to the same answers, to hold mbtref against.

- `compressai`: the library that most users of mbt2018 have.
- `ans_encode`, `ans_decode`: asymmetric numeral systems by their definition, for what that library can't do.
- `IntegerNetworks`: the entropy parameters as loops over int64, the way a port to C would write them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mbtref.conformance.subjects.compressai import compressai as compressai
from mbtref.rans import Table

Integers = npt.NDArray[np.int64]


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


def ans_decode(data: bytes, indexes: Sequence[int], tables: Sequence[Table]) -> list[int]:
    """The symbols of a stream; asserts that it ends as it must."""
    x, rest = int.from_bytes(data[:8], "little"), data[8:]

    def pop(choices: Sequence[Label]) -> int:
        nonlocal x, rest
        (found,) = [i for i, c in enumerate(choices) if c.start <= x % (1 << c.bits) < c.start + c.freq]
        x = choices[found].count_below(x)
        while x < ANS_LOW:
            x, rest = x * ANS_WORD + int.from_bytes(rest[:4], "little"), rest[4:]
        return found

    digits = [digit_label(d) for d in range(16)]
    symbols = []
    for index in indexes:
        bins = bin_labels(tables[index])
        found = pop(bins)
        if found == len(bins) - 1:
            outside = sum(pop(digits) * 16**i for i in range(pop(digits)))
            found = -(outside + 1) // 2 if outside % 2 else found + outside // 2
        symbols.append(found + tables[index].offset)
    assert (x, rest) == (ANS_LOW, b""), f"the stream ends in state {x} with {len(rest)} bytes left"
    return symbols


def to_integers(v: Tensor, bits: int) -> Integers:
    """The nearest multiple of 2^-bits, ties up, in those units; by halving the number of half units."""
    halves: Integers = np.floor(v.numpy().astype(np.float64) * 2.0 ** (bits + 1)).astype(np.int64)
    return (halves + 1) >> 1


def clip(units: Integers) -> Integers:
    """Activations lie in [-2^12, 2^12), in units of 2^-10."""
    return np.clip(units, -(2**22), 2**22 - 1)


def shift_right(sums: Integers, bits: int) -> Integers:
    """sums / 2^bits, rounded to the nearest integer, ties up."""
    return (sums + (1 << (bits - 1))) >> bits


class IntegerNetworks:
    """h_s, context model and entropy_parameters on int64, channels first, tap by tap."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        names = ["h_s.0", "h_s.2", "h_s.4", "context_prediction", *(f"entropy_parameters.{i}" for i in (0, 2, 4))]
        self.weights = {name: to_integers(state[f"{name}.weight"], 14) for name in names}
        self.biases = {name: to_integers(state[f"{name}.bias"], 24) for name in names}
        self.medians = clip(to_integers(state["entropy_bottleneck.quantiles"][:, 0, 1], 10))
        # tap (r, c) of the 5×5 kernel is seen if it comes before the centre
        seen = np.arange(25).reshape(5, 5) < 12
        self.weights["context_prediction"] *= seen

    def z_hat(self, symbols: Integers) -> Integers:
        """(N, h, w) symbols -> (N, h, w) grid units."""
        return clip(symbols * 1024 + self.medians[:, None, None])

    def psi(self, z_hat: Integers) -> Integers:
        """(N, h, w) grid units -> (2M, 4h, 4w)."""
        a = self._activate(self._transposed("h_s.0", z_hat))
        a = self._activate(self._transposed("h_s.2", a))
        return self._convolution("h_s.4", a)

    def phi(self, y_hat: Integers) -> Integers:
        """(M, H, W) grid units -> (2M, H, W)."""
        return self._convolution("context_prediction", y_hat)

    def parameters(self, psi: Integers, phi: Integers) -> tuple[Integers, Integers]:
        """(2M, H, W) grid units twice -> sigma and mu, (M, H, W) each."""
        a = self._activate(self._convolution("entropy_parameters.0", np.concatenate([psi, phi])))
        a = self._activate(self._convolution("entropy_parameters.2", a))
        sigma, mu = np.split(self._convolution("entropy_parameters.4", a), 2)
        return sigma, mu

    def _convolution(self, name: str, a: Integers) -> Integers:
        weight = self.weights[name]
        _, height, width = a.shape
        size = weight.shape[-1]
        border = size // 2
        padded = np.pad(a, ((0, 0), (border, border), (border, border)))
        sums = np.zeros((len(weight), height, width), np.int64) + self.biases[name][:, None, None]
        for row in range(size):
            for column in range(size):
                under = padded[:, row : row + height, column : column + width]
                sums += np.einsum("oi,ihw->ohw", weight[:, :, row, column], under)
        return clip(shift_right(sums, 14))

    def _transposed(self, name: str, a: Integers) -> Integers:
        weight = self.weights[name]
        _, height, width = a.shape
        spread = np.zeros((weight.shape[1], 2 * height + 3, 2 * width + 3), np.int64)
        for row in range(5):
            for column in range(5):
                over = spread[:, row : row + 2 * height : 2, column : column + 2 * width : 2]
                over += np.einsum("io,ihw->ohw", weight[:, :, row, column], a)
        sums = spread[:, 2 : 2 * height + 2, 2 : 2 * width + 2] + self.biases[name][:, None, None]
        return clip(shift_right(sums, 14))

    @staticmethod
    def _activate(a: Integers) -> Integers:
        return np.where(a < 0, shift_right(a * 1311, 17), a)
