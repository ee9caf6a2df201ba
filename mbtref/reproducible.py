"""g_a, h_a and g_s with the same bits on every machine, on request.

A stream decodes to the same latents anywhere. But float networks decide which stream an encoder writes and which
pixels a decoder shows, and their rounded sums depend on the order. Here no sum of products is rounded:

- A tensor is split into two parts on coarse grids. All sums of products of parts are then integers below 2^53 in
  their unit. float64 adds them exactly in any order (Ozaki, Ogita, Oishi and Rump 2012, Numer. Algor. 59).
- The three sums of a product are added one after the other. Everything else (+, ·, /, √) is one operation of
  IEEE 754 per element, which has one result.

Surprises first:

- A layer's result depends on its tile, since a grid depends on the largest value. Tiles are the same everywhere.
- It differs from real arithmetic by about 2^-40 of its largest value. So plain float64 gives the
  same bytes and pixels, unless a value lies that near to a tie. Machines agree in either case.
- Nothing here may be fused: `torch.addmm` would round a sum and a product in an order of its own.
- y and z are rounded to float32 at the end, like stage tensors; x_hat isn't.
- Tensors are channels-last inside, as in `exact`, for the same reason: every layer is a matrix product.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mbtref.exact import conv_matrix, deconv5x5_matrix, in_strips, interleave, windows
from mbtref.grid import EXACT, round_half_up
from mbtref.networks import BETA_MIN, GDN, MBT2018, Convolution, Transposed, non_negative
from mbtref.transforms import Run, Transforms, apply

EXPONENT_MIN = -900
"""The smallest exponent of a scale: its inverse must be a float64 too. Values below 2^-900 count as nearly 0."""


def split(v: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """v as high + low, up to an error of 2^(-2·bits) of its largest value.

    v: float64, any shape. Returns two tensors of its shape: integers of at most 2^bits in magnitude, times one
    power of two for each part.
    """
    # the largest value is below 2^exponent
    exponent = max(math.frexp(v.abs().max().item())[1], EXPONENT_MIN)
    high = round_half_up(v * 2.0 ** (bits - exponent)) * 2.0 ** (exponent - bits)
    low = round_half_up((v - high) * 2.0 ** (2 * bits - exponent)) * 2.0 ** (exponent - 2 * bits)
    return high, low


class Sums:
    """A linear layer: outputs = Σ weight · input + bias, at every position.

    matrix: (inputs, outputs) float. bias: (channels,) float; the outputs are one or more sets of these channels.
    size, stride: of the windows. The inputs of a position are the (size · size · C) values of its window.
    """

    def __init__(self, matrix: Tensor, bias: Tensor, size: int = 1, stride: int = 1) -> None:
        # inputs · 2^bits · 2^bits <= 2^53
        self.bits = int(math.log2(EXACT) - math.ceil(math.log2(len(matrix)))) // 2
        self.high, self.low = split(matrix.double(), self.bits)
        self.bias = bias.double().repeat(matrix.shape[1] // len(bias))
        self.windows = functools.partial(windows, size=size, stride=stride)

    def __call__(self, a: Tensor) -> Tensor:
        """a: (1, H, W, C) float64. Returns (1, H', W', outputs) float64."""
        return in_strips(self._multiply, *(self.windows(part) for part in split(a, self.bits)))

    def _multiply(self, high: Tensor, low: Tensor) -> Tensor:
        """low · high + high · low + high · high + bias, from left to right. high, low: windows of the parts."""
        sums = low @ self.high
        sums += high @ self.low
        sums += high @ self.high
        return sums.add_(self.bias)


def convolution(layer: Convolution) -> Run:
    assert layer.bias is not None
    return Sums(conv_matrix(layer.weight), layer.bias, layer.kernel_size[0], layer.stride[0])


def transposed(layer: Transposed) -> Run:
    assert layer.bias is not None
    phases = Sums(deconv5x5_matrix(layer.weight), layer.bias, size=3)
    return functools.partial(apply, (phases, interleave))


class Normalisation:
    """x_i / √(beta_i + Σ_j gamma_ij x_j²); the inverse multiplies."""

    def __init__(self, layer: GDN) -> None:
        gamma = non_negative(layer.gamma.double(), 0.0)
        self.norm = Sums(gamma.T, non_negative(layer.beta.double(), BETA_MIN))
        self.inverse = layer.inverse

    def __call__(self, x: Tensor) -> Tensor:
        root = self.norm(x * x).sqrt_()
        return x * root if self.inverse else x / root


def leaky_relu(a: Tensor, slope: float) -> Tensor:
    return torch.where(a < 0, a * slope, a)


LAYERS: dict[type[nn.Module], Callable[..., Run]] = {
    Convolution: convolution,
    Transposed: transposed,
    GDN: Normalisation,
    nn.LeakyReLU: lambda layer: functools.partial(leaky_relu, slope=layer.negative_slope),
}
"""The reproducible form of each kind of layer."""


def channels_last(v: Tensor) -> Tensor:
    """(B, C, H, W) float -> (B, H, W, C) float64."""
    return v.double().permute(0, 2, 3, 1)


def channels_first(a: Tensor) -> Tensor:
    """(B, H, W, C) float64 -> (B, C, H, W) float64."""
    return a.permute(0, 3, 1, 2)


def in_exact_sums(networks: MBT2018) -> Transforms:
    """The reproducible transforms of the float32 networks."""
    parts = (networks.g_a, networks.h_a, networks.g_s)
    return Transforms(
        *([channels_last, *(LAYERS[type(layer)](layer) for layer in part), channels_first] for part in parts)
    )
