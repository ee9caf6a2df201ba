"""The grids: one rounding, one range, and float64 that never rounds on its own."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mbtref import grid
from mbtref.grid import LIMIT

SUMS = st.integers(-(2**53) + 2**13, 2**53 - 2**13 - 1)
"""What an exact sum may be."""


def f64(*values: float) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(st.floats(-4096, 4096, width=32), min_size=1), st.sampled_from([10, 14, 24]))
def test_a_grid_holds_the_nearest_point(values: list[float], bits: int) -> None:
    """A grid point is within half a unit of its value, the upper one of two that are."""
    units = grid.to_grid(torch.tensor(values), bits)
    error = units - torch.tensor(values, dtype=torch.float64) * 2.0**bits
    assert torch.equal(units, units.floor()), "grid units aren't whole"
    assert ((error > -0.5) & (error <= 0.5)).all(), f"errors of {error.tolist()} units"


@given(st.lists(SUMS, min_size=1))
def test_requantising_is_a_shift(sums: list[int]) -> None:
    """Requantising is (s + 2^13) >> 14 on integers, saturated, for every sum that can occur."""
    found = grid.requantize(f64(*sums)).tolist()
    expected = [min(max((s + (1 << 13)) >> 14, -LIMIT), LIMIT - 1) for s in sums]
    assert found == expected, f"sums {sums} became {found}"
