"""Integer tables: that they are CDFs, that they cost little, and which one serves a scale."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mbtref import tables
from mbtref.making.modelfile import to_arrays
from mbtref.rans import PRECISION, Table, Tables
from mbtref.workbench.analysis import symbol_bits
from tests import oracle

TOTAL = 1 << PRECISION
GAUSSIAN = tables.load_gaussian()
SCALES = np.exp(np.linspace(np.log(0.11), np.log(256), 64))
"""The scales of the Gaussian tables: 64 from 0.11 to 256, evenly spaced in their logarithm."""


def gaussian(scale: float) -> dict[int, float]:
    """P(k) of a rounded Gaussian, for all k that have a probability in float64."""
    reach = math.ceil(9 * scale) + 1
    edges = [0.5 * math.erfc((k - 0.5) / (scale * math.sqrt(2))) for k in range(reach + 2)]
    half = {k: edges[k] - edges[k + 1] for k in range(reach + 1)}
    return half | {-k: p for k, p in half.items()}


def code_length(table: Table, pmf: dict[int, float]) -> float:
    """Expected bits for a symbol of this distribution, escapes with all their digits included."""
    symbols = np.array(list(pmf))
    cost = symbol_bits(symbols, np.zeros_like(symbols), Tables([table]))
    return float(cost @ np.array(list(pmf.values())))


@pytest.fixture(scope="module")
def theirs() -> tuple[Table, ...]:
    """The tables that CompressAI builds for the same scales."""
    model = oracle.compressai("entropy_models").GaussianConditional(None)
    model.update_scale_table(oracle.compressai("models.base").get_scale_table())
    state = model.state_dict()
    return tables.from_arrays({part: state[part].numpy() for part in to_arrays(GAUSSIAN.tables)})


@pytest.mark.parametrize("i", range(64))
def test_gaussian_tables_cost_little(i: int, theirs: tuple[Table, ...]) -> None:
    """A table codes its own Gaussian in no more bits than CompressAI's does, and near its entropy.

    Each of the n bins takes at most one count from the others: log2(2^16 / (2^16 - n)) bits.
    """
    pmf, table = gaussian(SCALES[i]), GAUSSIAN.tables[i]
    bits, their_bits = code_length(table, pmf), code_length(theirs[i], pmf)
    entropy = -sum(p * math.log2(p) for p in pmf.values() if p > 0)
    limit = entropy + math.log2(TOTAL / (TOTAL - len(table.cdf)))
    assert entropy <= bits <= limit, (
        f"{bits:.6f} bits at scale {SCALES[i]:.4g}, {entropy:.6f} to {limit:.6f} are due"
    )
    assert bits <= their_bits + 1e-6, (
        f"{bits:.6f} bits at scale {SCALES[i]:.4g}, CompressAI takes {their_bits:.6f}"
    )


def test_thresholds_are_geometric_midpoints() -> None:
    """Threshold i is the last multiple of 2^-10 not above sqrt(scale i · scale i+1)."""
    midpoints = np.sqrt(SCALES[:-1] * SCALES[1:]) * 1024
    assert np.abs(midpoints - np.round(midpoints)).min() > 1e-9, (
        "a midpoint is too near a grid point to tell its side"
    )
    assert GAUSSIAN.thresholds.tolist() == np.floor(midpoints).tolist(), "a threshold isn't where ratios are equal"


SOME = [Table((0, 1, TOTAL), -5), Table((0, TOTAL), 7), Table((0, 10, 20, 30, TOTAL), 0)]


@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("_quantized_cdf", (2, 0), 1),
        ("_quantized_cdf", (2, 2), 10),
        ("_quantized_cdf", (2, 3), TOTAL + 1),
        *(("_cdf_length", (2,), length) for length in (-1, 0, 1, 4, 6)),
    ],
)
def test_broken_arrays_are_refused(part: str, place: tuple[int, ...], value: int) -> None:
    """Arrays whose third table isn't a CDF from 0 to 2^16 are a ValueError that names it."""
    arrays = to_arrays(SOME)
    arrays[part][place] = value
    with pytest.raises(ValueError, match="table 2 isn't a CDF"):
        tables.from_arrays(arrays)


def test_arrays_of_different_lengths_are_refused() -> None:
    """Arrays for different numbers of tables are a ValueError."""
    arrays: dict[str, npt.NDArray[Any]] = to_arrays(SOME)
    with pytest.raises(ValueError, match="int32 arrays"):
        tables.from_arrays(arrays | {"_offset": arrays["_offset"][:2]})
