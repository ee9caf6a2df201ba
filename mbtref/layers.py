"""The three pieces of the float model that torch.nn lacks.

`lower_bound` is a clamp that gradients can still pass. `GDN` is the non-linearity of g_a and g_s (Ballé, Laparra
and Simoncelli 2016, arXiv:1511.06281). `MaskedConv2d` is the causal convolution of the context model (van den Oord
et al. 2016, arXiv:1606.05328). Parameters have the names of CompressAI's state dict.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PEDESTAL = 2.0**-36
"""GDN stores sqrt(v + PEDESTAL) in place of v >= 0, so that a gradient step can't make v negative."""

BETA_MIN = 1e-6
"""The smallest beta of a GDN. It keeps the square root away from zero."""


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,), (grad,) = ctx.saved_tensors, grads
        return grad * ((x >= ctx.bound) | (grad < 0)), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound). Below the bound, a gradient still passes if it would raise x.

    x: float, any shape. Returns the same shape and dtype.
    """
    result: Tensor = _LowerBound.apply(x, bound)  # type: ignore[no-untyped-call]
    return result


def non_negative(stored: Tensor, minimum: float) -> Tensor:
    """The value v >= minimum that a stored GDN parameter means.

    stored: float, any shape, sqrt(v + PEDESTAL). Returns v, the same shape and dtype.
    """
    return lower_bound(stored, math.sqrt(minimum + PEDESTAL)) ** 2 - PEDESTAL


class GDN(nn.Module):
    """Generalised divisive normalisation, x_i / sqrt(beta_i + sum_j gamma_ij x_j²); IGDN multiplies.

    beta: (C,), gamma: (C, C), both stored as `non_negative` explains.
    forward: (B, C, H, W) float -> (B, C, H, W) float.
    """

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        beta, gamma, zero = (math.sqrt(v + PEDESTAL) for v in (1.0, 0.1, 0.0))
        self.beta = nn.Parameter(torch.full((channels,), beta))
        self.gamma = nn.Parameter(torch.full((channels, channels), zero).fill_diagonal_(gamma))

    def forward(self, x: Tensor) -> Tensor:
        beta = non_negative(self.beta, BETA_MIN)
        gamma = non_negative(self.gamma, 0.0)
        # norm_i = beta_i + sum_j gamma_ij x_j²
        norm = F.conv2d(x**2, gamma[:, :, None, None], beta)
        return x * torch.sqrt(norm) if self.inverse else x * torch.rsqrt(norm)


class MaskedConv2d(nn.Conv2d):
    """A 5×5 convolution that sees only earlier positions in raster order: 12 of its 25 taps.

    forward: (B, C_in, H, W) float -> (B, C_out, H, W) float.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, padding=2)

    @property
    def mask(self) -> Tensor:
        """(5, 5) float: 1 at the taps that are used, 0 elsewhere."""
        mask = self.weight.new_zeros(5, 5)
        mask[:2, :] = 1  # the two rows above
        mask[2, :2] = 1  # the two columns to the left
        return mask

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=2)
