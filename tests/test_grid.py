"""The grids: one rounding, one range, and float64 that never rounds on its own."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mbtref import grid
from mbtref.exact import leaky_relu
from mbtref.grid import LIMIT

SUMS = st.integers(-(2**53) + 2**13, 2**53 - 2**13 - 1)
"""What an exact sum may be."""


def f64(*values: float) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def test_ties_go_up() -> None:
    """Halves round toward plus infinity, negative ones too; what is next to a half doesn't."""
    values = f64(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -0.5000001, -0.4999999, 0.4999999)
    found = grid.round_half_up(values).tolist()
    assert found == [-2, -1, 0, 1, 2, 3, -1, 0, 0], f"{values.tolist()} became {found}"


def test_activations_saturate() -> None:
    """Activations stop at -2^12 and one unit below 2^12."""
    units = grid.saturate(f64(-(2**22) - 1, -(2**22), 2**22 - 1, 2**22)).tolist()
    assert units == [-(2**22), -(2**22), 2**22 - 1, 2**22 - 1], f"limits are {units}"
    values = grid.to_activation(torch.tensor([-5000.0, 5000.0])).tolist()
    assert values == [-LIMIT, LIMIT - 1], f"±5000 became {values} units"


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


@given(st.lists(st.integers(-LIMIT, LIMIT - 1), min_size=1))
def test_leaky_relu_is_a_product_and_a_shift(units: list[int]) -> None:
    """LeakyReLU keeps v >= 0 and makes others (1311 v + 2^16) >> 17."""
    found = leaky_relu(f64(*units)).tolist()
    expected = [v if v >= 0 else (1311 * v + (1 << 16)) >> 17 for v in units]
    assert found == expected, f"{units} became {found}"
