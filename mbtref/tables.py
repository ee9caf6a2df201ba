"""Integer probability tables, and the thresholds from a scale to its table.

Tables are data. An explicit command makes them once (`proven`); loading never rebuilds them. The tables of z come
with each model, the Gaussian tables with the package.

One thing differs from CompressAI, on purpose: an index names the scale *nearest* in ratio. CompressAI takes the
next larger scale and pays up to 1.7 % more rate.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref.modelfile import embedded, integers
from mbtref.rans import PRECISION, Table

SCALES = 64
"""Scales of the Gaussian model, log-spaced as in CompressAI."""

PARTS = ("_quantized_cdf", "_cdf_length", "_offset")
"""CompressAI's names of the arrays that hold T tables: (T, L), the CDFs, padded with zeros; (T,), the used length
of each row; (T,), the symbol of the first bin. All int32."""
Arrays = Mapping[str, npt.NDArray[np.int32]]
"""The arrays of a file, under the names of PARTS."""


def from_arrays(arrays: Arrays) -> tuple[Table, ...]:
    """The tables in the arrays of a file. Raises ValueError if the arrays don't fit together or aren't CDFs."""
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


def z_indexes(shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """The table of each hyper-latent is its channel. The order is channel, row, column. shape: (h, w, N)."""
    h, w, n = shape
    return np.repeat(np.arange(n), h * w)


class GaussianTables(NamedTuple):
    """The tables of y, shared by all models."""

    tables: tuple[Table, ...]
    """One for each of the SCALES scales, centred on symbol 0."""
    thresholds: npt.NDArray[np.int32]
    """(SCALES - 1,) rising: the sigmas at which the table changes, in grid units."""


def load_gaussian() -> GaussianTables:
    """The Gaussian tables that the package ships."""
    *parts, thresholds = integers(embedded("gaussian"), (*PARTS, "thresholds"))
    return GaussianTables(from_arrays(dict(zip(PARTS, parts, strict=True))), thresholds)
