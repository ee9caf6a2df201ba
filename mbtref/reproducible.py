"""g_a, h_a and g_s with the same bits on every machine, on request.

A stream decodes to the same latents anywhere. But float networks decide which stream an encoder writes and which
pixels a decoder shows, and their rounded sums depend on the order. Here no sum of products is rounded:

- A tensor is split into two parts on coarse grids. All sums of products of parts are then integers below 2^53 in
  their unit. float64 adds them exactly in any order (Ozaki, Ogita, Oishi and Rump 2012, Numer. Algor. 59).
- The three sums of a product are added one after the other. Everything else (+, ·, /, √) is one operation of
  IEEE 754 per element, which has one result.

Surprises first:

- A layer's result differs from real arithmetic by about 2^-40 of its largest value. So plain float64 gives the
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
from mbtref.networks import BETA_MIN, GDN, MBT2018, non_negative
from mbtref.progress import Watch, unwatched

Layer = Callable[[Tensor], Tensor]
"""(1, H, W, C) float64 -> (1, H', W', C') float64."""

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


def convolution(layer: nn.Conv2d) -> Layer:
    """A convolution whose padding is half its kernel."""
    assert layer.bias is not None
    return Sums(conv_matrix(layer.weight), layer.bias, layer.kernel_size[0], layer.stride[0])


def transposed_convolution(layer: nn.ConvTranspose2d) -> Layer:
    """A transposed 5×5 convolution of stride 2."""
    assert layer.bias is not None
    phases = Sums(deconv5x5_matrix(layer.weight), layer.bias, size=3)
    return lambda a: interleave(phases(a))


def gdn(layer: GDN) -> Layer:
    """x_i / √(beta_i + Σ_j gamma_ij x_j²); the inverse multiplies."""
    gamma = non_negative(layer.gamma.double(), 0.0)
    norm = Sums(gamma.T, non_negative(layer.beta.double(), BETA_MIN))
    if layer.inverse:
        return lambda x: x * torch.sqrt(norm(x * x))
    return lambda x: x / torch.sqrt(norm(x * x))


def leaky_relu(layer: nn.LeakyReLU) -> Layer:
    return lambda a: torch.where(a < 0, a * layer.negative_slope, a)


LAYERS: dict[type[nn.Module], Callable[..., Layer]] = {
    nn.Conv2d: convolution,
    nn.ConvTranspose2d: transposed_convolution,
    GDN: gdn,
    nn.LeakyReLU: leaky_relu,
}
"""The reproducible form of each kind of layer."""


class Network:
    """A whole transform. name: of its loop."""

    def __init__(self, layers: nn.Sequential, name: str) -> None:
        self.name = name
        self.layers = [LAYERS[type(layer)](layer) for layer in layers]

    def __call__(self, v: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, C, H, W) float -> (B, C', H', W') float64. No picture depends on the others."""
        results = []
        for a in v.double().permute(0, 2, 3, 1).split(1):
            for layer in watch(self.layers, self.name):
                a = layer(a)
            results.append(a)
        return torch.cat(results).permute(0, 3, 1, 2)


class Reproducible:
    """The reproducible transforms of a model. networks: the float32 networks."""

    def __init__(self, networks: MBT2018) -> None:
        self._g_a, self._g_s = Network(networks.g_a, "g_a"), Network(networks.g_s, "g_s")
        self._h_a = Network(networks.h_a, "h_a")

    def g_a(self, x: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, 3, 64h, 64w) float -> y, (B, M, 4h, 4w) float32."""
        return self._g_a(x, watch).float()

    def h_a(self, y: Tensor) -> Tensor:
        """(B, M, 4h, 4w) float -> z, (B, N, h, w) float32."""
        return self._h_a(y).float()

    def g_s(self, y_hat: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, M, 4h, 4w) float -> x_hat, (B, 3, 64h, 64w) float64: all its digits decide a pixel."""
        return self._g_s(y_hat, watch)
