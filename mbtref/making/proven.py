"""Making integer tables with proven counts: they are the same on every machine, whatever its float functions.

A count is a function of real numbers: of the weights, which float32 states exactly, or of the scales. Each
probability is a pair of integers here, low <= p · 2^bits <= high. A floor or a comparison counts only if both ends
agree about it. Surprises first:

- Float64 is tried first, but trusted little: its functions are assumed to be off by up to 2^-39, about 2·10^-12,
  a thousand times the error of any library. It decides nearly all channels.
- Ball arithmetic (python-flint) computes the undecided channels again, with more and more bits. Loading a model
  needs none of this: tables are data.
- The Gaussian is symmetric: its bins k and -k are equal, and that decides their tie. Any other tie is refused.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor
from tqdm import tqdm

from mbtref.grid import ACTIVATION_BITS
from mbtref.making.modelfile import to_arrays
from mbtref.networks import SIGMA_MIN, FactorizedPrior
from mbtref.rans import PRECISION, Table
from mbtref.tables import SCALES

T = TypeVar("T")
F64 = npt.NDArray[np.float64]
Ball = Any
"""A real number between two ends: flint.arb, which has no types."""

SCALE_MIN, SCALE_MAX = Fraction(str(SIGMA_MIN)), 256
"""The smallest and the largest scale of the Gaussian model, as in CompressAI."""
TAILS = 10**9
"""The escape takes a probability of 1 / TAILS, both tails together, as in CompressAI. The outermost bins get one
count each, more than they deserve. But models err most about symbols that they hold impossible, and an escape
costs 20 bits or more."""
Z_REACH = 1024
"""A table of z covers at most this many symbols on either side of its median."""
UNSURE = 2.0**-39
"""The assumed error of a float64 function (exp, log1p, tanh), relative to its value, and of a sum of a few terms,
relative to the sum of their magnitudes. Libraries stay below 2^-50."""
FLOAT_BITS = 120
"""`Bounds.bits` of float64 probabilities. Probabilities below 2^-120 decide nothing."""
PRECISIONS = (128, 256, 512, 1024)
"""Bits of ball arithmetic, in the order in which they are tried."""
FRACTION_BITS = 64
"""Bits of a share after the point."""


class Undecided(ValueError):
    """The bounds leave a count open."""


class Bounds(NamedTuple):
    """The bounds of K probabilities: low <= p · 2^bits <= high."""

    low: list[int]
    high: list[int]
    bits: int


def decide(p: Bounds, first: int, symmetric: bool = False) -> Table:
    """The integer CDF of a distribution. The definition, over the real numbers:

    1. Each end loses the bins that sum to 1 / (2 TAILS) or less. n bins are left, with the escape, whose
       probability is 1 minus the sum of the others.
    2. Each bin gets one count, and deserves d_i = max(0, p_i · 2^16 - 1) more.
    3. Its share of the other 2^16 - n counts is s_i = (2^16 - n) · d_i / Σ d. It gets floor(s_i).
    4. The counts that are then left go to the largest remainders s_i - floor(s_i), one count each.

    p: the probabilities of the symbols first, first + 1, ... symmetric: whether p_i = p_(K-1-i) is known; the
    lower symbol of such a pair comes first. Raises Undecided if the bounds leave a step open.
    """
    begin, end = cut(p), len(p.low) - cut(Bounds(p.low[::-1], p.high[::-1], p.bits))
    low, high, one = p.low[begin:end], p.high[begin:end], 1 << p.bits
    low, high = [*low, max(0, one - sum(high))], [*high, max(0, one - sum(low))]
    shares = list(shared(Bounds(low, high, p.bits)))
    freq = [1 + (share >> FRACTION_BITS) for share, _ in shares]
    if any(count != 1 + (share >> FRACTION_BITS) for count, (_, share) in zip(freq, shares, strict=True)):
        raise Undecided("a share may lie on either side of a whole number")
    pairs = [min(i, end - begin - 1 - i) if symmetric else i for i in range(end - begin)]
    for i in largest_remainders(shares, [*pairs, end], (1 << PRECISION) - sum(freq)):
        freq[i] += 1
    return Table((0, *itertools.accumulate(freq)), first + begin)


def cut(p: Bounds) -> int:
    """The number of bins that the beginning loses."""
    ends = [
        next((i for i, mass in enumerate(itertools.accumulate(side)) if 2 * TAILS * mass > 1 << p.bits), None)
        for side in (p.low, p.high)
    ]
    if ends[0] is None:
        raise Undecided("hardly a symbol has a probability")
    if ends[0] != ends[1]:
        raise Undecided("a table may end before or after a bin")
    return ends[0]


def shared(p: Bounds) -> Iterator[tuple[int, int]]:
    """The lower and upper bound of each share s_i, in units of 2^-FRACTION_BITS."""
    deserved = [[max(0, (v << PRECISION) - (1 << p.bits)) for v in side] for side in (p.low, p.high)]
    least, most = map(sum, deserved)
    counts = (1 << PRECISION) - len(p.low) << FRACTION_BITS
    for a, b in zip(*deserved, strict=True):
        # s_i grows with d_i and falls with the d of the others
        yield counts * a // max(1, a + most - b), -(-counts * b // max(1, b + least - a))


def largest_remainders(shares: Sequence[tuple[int, int]], pairs: Sequence[int], count: int) -> list[int]:
    """The bins of the `count` largest remainders. pairs: bins with the same number are known to be equal."""
    below, above = ([share % (1 << FRACTION_BITS) for share in side] for side in zip(*shares, strict=True))
    order = sorted(range(len(shares)), key=lambda i: (-below[i], i))
    winners, losers = order[:count], order[count:]
    split = {pairs[i] for i in winners} & {pairs[i] for i in losers}
    others = [i for i in losers if pairs[i] not in split]
    surer = [i for i in winners if pairs[i] not in split]
    for a, b in ((winners, others), (surer, losers)):
        if a and b and min(below[i] for i in a) <= max(above[i] for i in b):
            raise Undecided("two remainders are equal, or nearly")
    return winners


def risen(attempt: Callable[[int], T]) -> T:
    """The first result of ball arithmetic with PRECISIONS bits. Raises Undecided if there is none."""
    try:
        import flint
    except ModuleNotFoundError as error:
        raise Undecided("this needs python-flint: pip install 'mbtref[import]'") from error
    for bits in PRECISIONS:
        with flint.ctx.workprec(bits):
            try:
                return attempt(bits)
            except Undecided as error:
                reason = f"{error}, with {bits} bits"
    raise Undecided(reason)


def in_integers(p: Sequence[Ball], bits: int) -> Bounds:
    """The integers on either side of each ball. Raises Undecided for a ball without ends."""
    if not all(ball.is_finite() for ball in p):
        raise Undecided("a probability isn't known at all")
    low, high = [scaled(b.lower(), bits) for b in p], [-scaled(-b.upper(), bits) for b in p]
    return Bounds([max(0, v) for v in low], high, bits)


def scaled(end: Ball, bits: int) -> int:
    """floor(end · 2^bits) of a ball without a width."""
    mantissa, exponent = map(int, end.man_exp())
    return mantissa << exponent + bits if exponent + bits >= 0 else mantissa >> -exponent - bits


# z: the learned density, channel by channel


class Channel(NamedTuple):
    """The density of one channel: its float32 weights, exactly, as float64."""

    matrices: list[F64]
    """(outputs, inputs) of each layer, before the softplus."""
    biases: list[F64]
    """(outputs, 1)."""
    factors: list[F64]
    """(outputs, 1) of each layer but the last, before the tanh."""
    edges: F64
    """(1, 2 Z_REACH + 2): the ends of the symbols, symbol ± 1/2 + median. Exact."""


def z_tables(prior: FactorizedPrior, medians: Tensor) -> list[Table]:
    """The tables of z, with a progress bar. medians: (N, 1, 1) float, on the activation grid.

    Raises ValueError, naming the channel, if a count can't be decided.
    """
    return [z_table(prior, medians, c) for c in tqdm(range(len(medians)), "tables", leave=False, disable=None)]


def z_table(prior: FactorizedPrior, medians: Tensor, c: int) -> Table:
    """The table of channel c. Arguments and errors as for `z_tables`."""
    matrices, biases, factors = (
        [parameter[c].detach().cpu().double().numpy() for parameter in parameters]
        for parameters in (prior.matrices, prior.biases, prior.factors)
    )
    edges = np.arange(-Z_REACH, Z_REACH + 2, dtype=np.float64) - 0.5 + float(medians[c])
    channel = Channel(matrices, biases, factors, edges[None])
    try:
        try:
            return decide(in_float64(channel), -Z_REACH)
        except Undecided:
            return risen(lambda bits: decide(in_integers(in_balls(channel), bits), -Z_REACH))
    except Undecided as error:
        raise ValueError(f"entropy_bottleneck, channel {c}: its table can't be made: {error}") from error


def in_balls(channel: Channel) -> list[Ball]:
    """P(symbol - 1/2 < z < symbol + 1/2), at flint's precision (Ballé et al. 2018, appendix 6.1)."""
    from flint import arb

    exact = np.vectorize(arb, otypes=[object])
    v = exact(channel.edges)
    for i, (matrix, bias) in enumerate(zip(channel.matrices, channel.biases, strict=True)):
        # v <- softplus(matrix) v + bias, then v <- v + tanh(factor) tanh(v)
        v = np.log1p(np.exp(exact(matrix))) @ v + exact(bias)
        if i < len(channel.factors):
            v = v + np.tanh(exact(channel.factors[i])) * np.tanh(v)
    below = 1 / (1 + np.exp(-v[0]))
    return list(below[1:] - below[:-1])


def in_float64(channel: Channel) -> Bounds:
    """The probabilities of `in_balls`. e carries a bound of the error along: |v - true v| <= e."""
    v, e = channel.edges, np.zeros_like(channel.edges)
    for i, (matrix, bias) in enumerate(zip(channel.matrices, channel.biases, strict=True)):
        a = np.logaddexp(0, matrix)
        # errors of the softplus and of the sum, relative to the magnitudes in the sum
        v, e = a @ v + bias, a @ e * (1 + UNSURE) + 2 * UNSURE * (a @ np.abs(v) + np.abs(bias))
        if i < len(channel.factors):
            # tanh and its slope are at most 1
            v, e = v + np.tanh(channel.factors[i]) * np.tanh(v), 2 * e + UNSURE * (np.abs(v) + 4)
    # each bin takes the side where the sigmoid and its error are small: slope s (1 - s), two functions
    side = np.where(v[0, 1:] + v[0, :-1] > 0, -1, 1)
    with np.errstate(over="ignore"):
        s = [1 / (1 + np.exp(-side * edge)) for edge in (v[0, 1:], v[0, :-1])]
    p, far = np.abs(s[0] - s[1]), np.maximum(e[0, 1:], e[0, :-1])
    margin = np.where(far < 1, (s[0] + s[1]) * (np.expm1(2 * np.minimum(far, 1)) + 4 * UNSURE), 1.0)
    ends = np.ldexp([np.maximum(p - margin, 0), np.minimum(p + margin, 1)], FLOAT_BITS).tolist()
    return Bounds([int(v) for v in ends[0]], [int(v) + 1 for v in ends[1]], FLOAT_BITS)


# y: the Gaussian


def gaussian_arrays() -> dict[str, npt.NDArray[np.int32]]:
    """Makes the file of `tables.load_gaussian`. Raises ValueError without python-flint."""
    y_tables = [risen(functools.partial(gaussian_table, i)) for i in range(SCALES)]
    thresholds = [risen(functools.partial(threshold, i)) for i in range(SCALES - 1)]
    return {**to_arrays(y_tables), "thresholds": np.array(thresholds, np.int32)}


def threshold(i: int, bits: int) -> int:
    """Where index i changes to i + 1, in grid units: at the geometric mean of their scales."""
    return floor(scale(i + Fraction(1, 2)) * 2**ACTIVATION_BITS)


def gaussian_table(i: int, bits: int) -> Table:
    """The table of scale i: P(k) of a rounded zero-mean Gaussian for |k| <= ceil(7 scale) + 1."""
    from flint import arb

    width, last = scale(Fraction(i)), 1 - floor(-7 * scale(Fraction(i)))
    above = [(arb(2 * k - 1) / 2 / (width * arb(2).sqrt())).erfc() / 2 for k in range(last + 2)]
    half = [a - b for a, b in itertools.pairwise(above)]
    return decide(in_integers(half[:0:-1] + half, bits), -last, symmetric=True)


def scale(i: Fraction) -> Ball:
    """The log-spaced scale of (fractional) index i, at flint's precision."""
    from flint import arb, fmpq

    # SCALE_MIN · (SCALE_MAX / SCALE_MIN)^t, t = i / (SCALES - 1)
    t, least = fmpq(i.numerator, i.denominator * (SCALES - 1)), fmpq(SCALE_MIN.numerator, SCALE_MIN.denominator)
    return arb(least) ** (1 - t) * arb(SCALE_MAX) ** t


def floor(v: Ball) -> int:
    """floor(v). Raises Undecided if the ball leaves it open."""
    whole = v.floor().unique_fmpz()
    if whole is None:
        raise Undecided("a bound may lie on either side of a whole number")
    return int(whole)
