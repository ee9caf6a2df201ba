"""The fixed grids on which the entropy path computes: plain integers, held in float64.

A number v on a grid of b bits is stored as the integer v·2^b, "in grid units". float64 holds every integer
below 2^53. So sums and products that stay below it are exact, in any order, with or without FMA, on any
machine. An implementer in C uses int64 for the same numbers.
"""

import torch
from torch import Tensor

WEIGHT_BITS = 14
"""Weights are multiples of 2^-14."""
ACTIVATION_BITS = 10
"""Activations, psi, phi, sigma, mu, medians and y_hat are multiples of 2^-10."""
ONE = 1 << ACTIVATION_BITS
"""The value 1 in grid units of activations."""
BIAS_BITS = WEIGHT_BITS + ACTIVATION_BITS
"""Biases, and sums of weight times activation, are multiples of 2^-24."""
RANGE_BITS = 12
"""Activations saturate to [-2^12, 2^12)."""
LIMIT = 1 << RANGE_BITS + ACTIVATION_BITS
"""The limit in grid units: activations are in [-LIMIT, LIMIT - 1]."""
EXACT = 1 << 53
"""float64 holds every integer up to this one."""


def round_half_up(v: Tensor) -> Tensor:
    """floor(v + 1/2), the only rounding of the entropy path. v: float64, any shape."""
    return torch.floor(v + 0.5)


def saturate(units: Tensor) -> Tensor:
    """Clamps activations to their range. units: float64 integers in grid units, any shape."""
    return units.clamp(-LIMIT, LIMIT - 1)


def to_grid(v: Tensor, bits: int) -> Tensor:
    """The nearest grid point. v: float, any shape, finite. Returns float64 integers, round_half_up(v · 2^bits)."""
    return round_half_up(v.double() * 2.0**bits)


def to_activation(v: Tensor) -> Tensor:
    """`to_grid` and `saturate` for an activation. v: float, any shape, finite. Returns grid units."""
    return saturate(to_grid(v, ACTIVATION_BITS))


def from_activation(units: Tensor) -> Tensor:
    """Float32 values of activations. units: grid units below 2^23, so that the conversion is exact."""
    return (units / ONE).float()


def requantize(sums: Tensor) -> Tensor:
    """Brings sums of weight times activation back to the activation grid. Returns grid units, saturated."""
    return saturate(round_half_up(sums * 2.0**-WEIGHT_BITS))
