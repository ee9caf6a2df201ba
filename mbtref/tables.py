"""Integer probability tables, and the way from a scale to its table.

Tables are data. They come from erfc and the like, whose last digit differs between machines, so they are
made once by an explicit command, shipped, and never rebuilt at load: those of z with each model, those of the
Gaussian with the package.

One thing differs from CompressAI, on purpose: an index is the scale *nearest* in ratio, where CompressAI takes
the next larger one and pays up to 1.7 % more rate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from torch import Tensor

from mbtref.grid import ACTIVATION_BITS
from mbtref.rans import PRECISION, Table

SCALES = 64
"""Scales of the Gaussian model, log-spaced from SCALE_MIN to SCALE_MAX as in CompressAI."""
SCALE_MIN, SCALE_MAX = 0.11, 256.0

TAIL_MASS = 1e-9
"""Probability left to the escape, both tails together: as in CompressAI. Bins out there get one count, more than
they deserve, but models err most about the symbols they hold impossible, and an escape costs 20 bits or more."""

PARTS = ("_quantized_cdf", "_cdf_length", "_offset")
"""CompressAI's names of the arrays that hold T tables: (T, L), rows padded with zeros; how much of a row is used;
(T,) the symbol of the first bin. All int32."""
Arrays = Mapping[str, npt.NDArray[np.int32]]
"""Tables as a file holds them, under the names of PARTS."""


def quantize_pmf(pmf: npt.NDArray[np.float64], first: int) -> Table:
    """The integer CDF of a distribution.

    pmf: (K,) float64, probabilities of the symbols first, first + 1, ...; what they leave of 1 is the escape's.
    Both ends lose what sums to less than TAIL_MASS / 2; every bin that is left gets a count or more.
    """
    total = 1 << PRECISION
    low = int(np.argmax(np.cumsum(pmf) > TAIL_MASS / 2))
    high = len(pmf) - int(np.argmax(np.cumsum(pmf[::-1]) > TAIL_MASS / 2))
    p = np.append(pmf[low:high], 0.0)
    p[-1] = max(0.0, 1.0 - p.sum())
    # every bin gets one count; the rest is shared by what each deserves beyond it, max(0, p_i · 2^16 - 1)
    deserved = np.maximum(0.0, p * total - 1)
    share = deserved * ((total - len(p)) / deserved.sum())
    freq = 1 + np.floor(share).astype(np.int64)
    left = total - int(freq.sum())
    freq[np.argsort(np.floor(share) - share, kind="stable")[:left]] += 1
    return Table((0, *np.cumsum(freq).tolist()), first + low)


def to_arrays(tables: Sequence[Table]) -> dict[str, npt.NDArray[np.int32]]:
    """Tables in the form of a file, see `Arrays`."""
    lengths = [len(table.cdf) for table in tables]
    cdf = np.zeros((len(tables), max(lengths)), np.int32)
    for row, table in zip(cdf, tables, strict=True):
        row[: len(table.cdf)] = table.cdf
    offsets = [table.offset for table in tables]
    return dict(zip(PARTS, (cdf, np.array(lengths, np.int32), np.array(offsets, np.int32)), strict=True))


def from_arrays(arrays: Arrays) -> tuple[Table, ...]:
    """The inverse of `to_arrays`. Raises ValueError if the arrays don't fit together or a table isn't a CDF."""
    parts = [arrays[name] for name in PARTS]
    shapes = [part.shape for part in parts]
    if any(part.dtype != np.int32 for part in parts) or len(shapes[0]) != 2 or shapes[1:] != [shapes[0][:1]] * 2:
        raise ValueError(f"tables are int32 arrays (T, L), (T,) and (T,), not {shapes}")
    tables = []
    for i, (row, length, offset) in enumerate(zip(*parts, strict=True)):
        cdf = row[:length].astype(np.int64)
        if not (
            2 <= length <= len(row) and cdf[0] == 0 and cdf[-1] == 1 << PRECISION and (np.diff(cdf) > 0).all()
        ):
            raise ValueError(f"table {i} isn't a CDF that rises from 0 to 2^{PRECISION}; make the tables again")
        tables.append(Table(tuple(cdf.tolist()), int(offset)))
    return tuple(tables)


@dataclass(frozen=True)
class GaussianTables:
    """The tables of y, shared by all models."""

    tables: tuple[Table, ...]
    """One for each of the SCALES scales, centred on symbol 0."""
    thresholds: Tensor
    """(SCALES - 1,) float64 integers, rising: between which sigma a table serves, in grid units."""

    def index(self, sigma: Tensor) -> Tensor:
        """The table of every scale: how many thresholds lie below it.

        sigma: float64 integers in grid units, any shape. Returns int64 in [0, SCALES), the same shape.
        """
        return torch.bucketize(sigma.contiguous(), self.thresholds)


def load_gaussian() -> GaussianTables:
    """The Gaussian tables shipped with the package."""
    file = resources.files("mbtref") / "data" / "gaussian.safetensors"
    arrays = safetensors.numpy.load(file.read_bytes())
    return GaussianTables(from_arrays(arrays), torch.from_numpy(arrays["thresholds"]).double())


def gaussian_arrays() -> dict[str, npt.NDArray[np.int32]]:
    """Makes the file of `load_gaussian`. Its last counts may depend on this machine's erfc."""
    ratio = (SCALE_MAX / SCALE_MIN) ** (1 / (SCALES - 1))
    scales = [SCALE_MIN * ratio**i for i in range(SCALES)]
    # an index changes at the geometric mean of two neighbours
    thresholds = [math.floor(scale * math.sqrt(ratio) * 2**ACTIVATION_BITS) for scale in scales[:-1]]
    arrays = to_arrays([quantize_pmf(*gaussian_pmf(scale)) for scale in scales])
    return {**arrays, "thresholds": np.array(thresholds, np.int32)}


def gaussian_pmf(scale: float) -> tuple[npt.NDArray[np.float64], int]:
    """P(k) of a rounded zero-mean Gaussian for |k| <= 7 scale + 1. Returns (pmf, the first k)."""
    last = math.ceil(7 * scale) + 1

    def above(v: float) -> float:
        return 0.5 * math.erfc(v / (scale * math.sqrt(2)))

    half = [above(k - 0.5) - above(k + 0.5) for k in range(last + 1)]
    return np.array(half[:0:-1] + half), -last
