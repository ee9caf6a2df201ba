"""The entropy parameters in exact arithmetic: h_s, the context model and entropy_parameters.

The float networks of Minnen et al. 2018, section 3, run on the integers of `grid`. Their result depends on weights
and symbols alone, not on the machine. Surprises first:

- Tensors are channels-last here, (B, H, W, C): every layer is one matrix product. Convolutions unfold their
  windows and call no library: a library may choose Winograd or FFT, which add other numbers.
- A transposed convolution of stride 2 is a 3×3 convolution with four times the channels, one set for each
  phase of the output. A shuffle follows.
- When a model is loaded, every output channel proves that none of its sums can reach 2^53.
- Requantisation comes before the activation.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref.grid import (
    BIAS_BITS,
    EXACT,
    LIMIT,
    ONE,
    WEIGHT_BITS,
    requantize,
    round_half_up,
    saturate,
    to_activation,
    to_grid,
)

SLOPE, SLOPE_BITS = 1311, 17
"""LeakyReLU's slope, 0.01 to four digits, is SLOPE / 2^SLOPE_BITS."""

REACH = 2
"""The context of a latent covers this many rows above it, and columns on either side: a 5×5 kernel."""
CONTEXT_TAPS = [
    (row, column) for row in range(REACH + 1) for column in range(2 * REACH + 1) if (row, column) < (REACH, REACH)
]
"""The 12 taps (row, column) of the kernel that precede its centre (REACH, REACH) in raster order."""


def leaky_relu(units: Tensor) -> Tensor:
    """max(v, 0) + slope · min(v, 0), rounded. units: activations in grid units, any shape."""
    return torch.where(units < 0, round_half_up(units * (SLOPE * 2.0**-SLOPE_BITS)), units)


class Linear:
    """One matrix product on the grids: sums of weight times activation plus bias, in units of 2^-BIAS_BITS.

    name: for messages. weight: (inputs, outputs) float. bias: (channels,) float. The outputs are one or more sets
    of these channels (the phases of a transposed convolution).
    Raises ValueError, naming layer and channel, if a weight isn't finite or a sum could leave float64's integers.
    """

    def __init__(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.weight = to_grid(weight, WEIGHT_BITS).T.contiguous()
        """(outputs, inputs): the order in memory that is fastest for few positions."""
        self.bias = to_grid(bias, BIAS_BITS).repeat(weight.shape[1] // len(bias))
        # |sum| <= Σ|w| · LIMIT + |b|, and rounding adds half a unit of the activation grid
        bound = self.weight.abs().sum(1) * LIMIT + self.bias.abs() + 2.0 ** (WEIGHT_BITS - 1)
        if unsafe := torch.nonzero(~(bound < EXACT)).flatten().tolist():
            channel = unsafe[0]
            raise ValueError(
                f"{name}, output channel {channel % len(bias)}: sums may reach {bound[channel]:.3g} grid "
                f"units, but exact arithmetic ends at 2^53; the weights are too large or not finite"
            )

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs: (..., inputs) grid units. Returns (..., outputs) sums, to be requantised."""
        return F.linear(inputs, self.weight, self.bias)


def windows(a: Tensor, size: int = 3, stride: int = 1) -> Tensor:
    """The neighbourhood of every stride-th position, zero outside, as a view.

    (B, H, W, C) -> (B, H/stride, W/stride, size, size, C).
    """
    b, h, w, c = a.shape
    margin = size // 2
    padded = a.new_zeros(b, h + 2 * margin, w + 2 * margin, c)
    padded[:, margin : margin + h, margin : margin + w] = a
    # unfold appends the window's axes: (B, H, W, C, row, column) -> (B, H, W, row, column, C)
    return padded.unfold(1, size, stride).unfold(2, size, stride).permute(0, 1, 2, 4, 5, 3)


STRIP_VALUES = {"cpu": 1 << 19, "cuda": 1 << 26}
"""A strip of gathered windows has at most this many values on a kind of device, or is one row. On a CPU, 4 MiB
stay in a cache. On a GPU memory alone sets the limit: two strips at a time are 1 GiB, of 8 GiB or more."""


def in_strips(product: Callable[..., Tensor], *views: Tensor) -> Tensor:
    """A product of windows, some rows at a time: those of a whole picture would fill the memory.

    product: of (B, H, W, size · size · C) -> (B, H, W, C'). views: one or more results of `windows`, of one shape.
    """
    rows = max(1, STRIP_VALUES[views[0].device.type] // views[0][:, 0].numel())
    strips = zip(*(view.split(rows, 1) for view in views), strict=True)
    return torch.cat([product(*(part.flatten(3) for part in strip)) for strip in strips], 1)


def conv_matrix(weight: Tensor) -> Tensor:
    """A convolution's kernel (C_out, C_in, K, K) as the matrix (K·K·C_in, C_out) that `windows` multiplies."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def deconv5x5_matrix(weight: Tensor) -> Tensor:
    """A stride-2 transposed kernel (C_in, C_out, 5, 5) as the matrix (9·C_in, 4·C_out) of its four phases.

    Output 2m + p takes input m + d through tap k = p + 2 - 2d, for d in -1, 0, 1. With a zero tap 5 added,
    k = 2q + p where q = 1 - d: the kernel splits into (q, p), and q runs against d.
    """
    c_in, c_out = weight.shape[:2]
    taps = weight.new_zeros(c_in, c_out, 6, 6)
    taps[:, :, :5, :5] = weight
    split = taps.reshape(c_in, c_out, 3, 2, 3, 2).flip(2, 4)
    return split.permute(2, 4, 0, 3, 5, 1).reshape(9 * c_in, 4 * c_out)


def interleave(phases: Tensor) -> Tensor:
    """Puts the four phases in their places. (B, H, W, 4·C) -> (B, 2H, 2W, C)."""
    b, h, w, c4 = phases.shape
    split = phases.reshape(b, h, w, 2, 2, c4 // 4)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c4 // 4)


class Parameters(NamedTuple):
    """Scale and mean of latents: (..., M) grid units each."""

    sigma: Tensor
    mu: Tensor


class EntropyNetworks:
    """h_s, context_prediction and entropy_parameters of one model, and the medians of z.

    state: the float32 weights under CompressAI's names. Raises ValueError as `Linear` does.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        def linear(name: str, matrix: Tensor) -> Linear:
            return Linear(name, matrix, state[f"{name}.bias"])

        self.medians = to_activation(state["entropy_bottleneck.quantiles"][:, 0, 1])
        self.h_s_0 = linear("h_s.0", deconv5x5_matrix(state["h_s.0.weight"]))
        self.h_s_2 = linear("h_s.2", deconv5x5_matrix(state["h_s.2.weight"]))
        self.h_s_4 = linear("h_s.4", conv_matrix(state["h_s.4.weight"]))

        kernel = state["context_prediction.weight"]
        taps = torch.cat([kernel[:, :, row, column].T for row, column in CONTEXT_TAPS])
        self.context = linear("context_prediction", taps)
        self.head_0, self.head_2, self.head_4 = (
            linear(f"entropy_parameters.{i}", state[f"entropy_parameters.{i}.weight"][:, :, 0, 0].T)
            for i in (0, 2, 4)
        )
        self.M = kernel.shape[1]

    def z_hat(self, symbols: Tensor) -> Tensor:
        """symbol + median. symbols: (B, h, w, N) float64 integers. Returns grid units, the same shape."""
        return saturate(symbols * ONE + self.medians)

    def psi(self, z_hat: Tensor) -> Tensor:
        """Hyper-synthesis h_s. z_hat: (B, h, w, N) grid units. Returns (B, 4h, 4w, 2M) grid units."""
        a = leaky_relu(requantize(interleave(in_strips(self.h_s_0, windows(z_hat)))))
        a = leaky_relu(requantize(interleave(in_strips(self.h_s_2, windows(a)))))
        return requantize(in_strips(self.h_s_4, windows(a)))

    def phi(self, context: Tensor) -> Tensor:
        """The masked convolution at P positions.

        context: (B, P, 12·M) grid units, y_hat at the CONTEXT_TAPS, zero outside the picture.
        Returns (B, P, 2M) grid units.
        """
        return requantize(self.context(context))

    def psi_sums(self, psi: Tensor) -> Tensor:
        """The share of psi in the first layer of entropy_parameters, with the bias, not yet requantised.

        Sums are exact, so this half can be computed for the whole picture before the first latent is known.
        psi: (B, H, W, 2M) grid units. Returns (B, H, W, 10M/3) sums.
        """
        return F.linear(psi, self.head_0.weight[:, : 2 * self.M], self.head_0.bias)

    def parameters(self, psi_sums: Tensor, phi: Tensor) -> Parameters:
        """entropy_parameters at P positions. psi_sums: (B, P, 10M/3), see `psi_sums`; phi: (B, P, 2M) units."""
        a = leaky_relu(requantize(psi_sums + F.linear(phi, self.head_0.weight[:, 2 * self.M :])))
        a = leaky_relu(requantize(self.head_2(a)))
        sigma, mu = requantize(self.head_4(a)).chunk(2, dim=-1)
        return Parameters(sigma, mu)
