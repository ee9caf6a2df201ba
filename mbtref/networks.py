"""The float networks of mbt2018: six transforms and the parameters of the density of z.

Minnen, Ballé and Toderici 2018 (arXiv:1809.02736), figure 1 and table 1. Layout and names of the weights are
CompressAI's. Surprises first:

- `entropy_parameters` gives the scale first: (sigma, mu).
- Everything here is float32 and differs by an ulp from machine to machine. `exact` computes the values that a
  decoder must repeat bit for bit, from the same weights.
- There is no forward pass here: a codec runs its networks one by one. `openloop.forward` is that of training.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from mbtref.surroundings import convolve

SIGMA_MIN = 0.11
"""The smallest scale of the Gaussian model, the first of the scale table."""
PEDESTAL = 2.0**-36
"""GDN stores sqrt(v + PEDESTAL) in place of v >= 0, so that a gradient step can't make v negative."""
BETA_MIN = 1e-6
"""The smallest beta of a GDN. It keeps the square root away from zero."""


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound), the same shape and dtype. x: float, any shape."""
    return x.clamp(min=bound)


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
        norm = convolve(x**2, gamma[:, :, None, None], beta, 1, 0)
        return x * torch.sqrt(norm) if self.inverse else x * torch.rsqrt(norm)


class Convolution(nn.Conv2d):
    """A convolution with the same stride and padding on all sides: (B, C, H, W) float -> (B, C', H', W')."""

    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride[0], int(self.padding[0]))


class Transposed(nn.ConvTranspose2d):
    """A transposed convolution, its output padding one less than its stride: (B, C, H, W) -> (B, C', H', W')."""

    bias: Tensor

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride[0], int(self.padding[0]), up=True)


class MaskedConv2d(Convolution):
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
        return convolve(x, self.weight * self.mask, self.bias, 1, 2)


def down(c_in: int, c_out: int) -> Convolution:
    """A 5×5 convolution of stride 2: (B, c_in, 2H, 2W) -> (B, c_out, H, W)."""
    return Convolution(c_in, c_out, kernel_size=5, stride=2, padding=2)


def up(c_in: int, c_out: int) -> Transposed:
    """A transposed 5×5 convolution of stride 2: (B, c_in, H, W) -> (B, c_out, 2H, 2W)."""
    return Transposed(c_in, c_out, kernel_size=5, stride=2, padding=2, output_padding=1)


class FactorizedPrior(nn.Module):
    """The learned density of z: one monotone network per channel (Ballé et al. 2018, appendix 6.1).

    Four hidden layers of width 3 map a value to the logit of its cumulative probability: `openloop.likelihoods`.
    """

    WIDTHS = (1, 3, 3, 3, 3, 1)
    INIT_SCALE = 10.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        scale = self.INIT_SCALE ** (1 / (len(self.WIDTHS) - 1))
        self.matrices, self.biases, self.factors = (nn.ParameterList() for _ in range(3))
        for fan_in, fan_out in pairwise(self.WIDTHS):
            # softplus(init) = 1 / (scale · fan_out)
            init = math.log(math.expm1(1 / scale / fan_out))
            self.matrices.append(nn.Parameter(torch.full((channels, fan_out, fan_in), init)))
            self.biases.append(nn.Parameter(torch.empty(channels, fan_out, 1).uniform_(-0.5, 0.5)))
        for width in self.WIDTHS[1:-1]:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))
        start = torch.tensor([-self.INIT_SCALE, 0.0, self.INIT_SCALE])
        self.quantiles = nn.Parameter(start.expand(channels, 1, 3).clone())

    @property
    def medians(self) -> Tensor:
        """(N, 1, 1) float: the middle quantile of each channel, the centre of its quantiser."""
        return self.quantiles[:, :, 1:2]


class MBT2018(nn.Module):
    """Joint autoregressive and hierarchical priors, with N and M channels.

    N: channels of the transforms and of z. M: channels of y. It takes the weights of CompressAI's
    `JointAutoregressiveHierarchicalPriors(N, M)`; see `weights`.
    """

    def __init__(self, N: int, M: int) -> None:
        super().__init__()
        self.N, self.M = N, M
        self.g_a = nn.Sequential(
            down(3, N), GDN(N), down(N, N), GDN(N), down(N, N), GDN(N), down(N, M)
        )  # fmt: skip
        self.g_s = nn.Sequential(
            up(M, N), GDN(N, inverse=True), up(N, N), GDN(N, inverse=True),
            up(N, N), GDN(N, inverse=True), up(N, 3),
        )  # fmt: skip
        self.h_a = nn.Sequential(
            Convolution(M, N, 3, padding=1), nn.LeakyReLU(), down(N, N), nn.LeakyReLU(), down(N, N)
        )
        self.h_s = nn.Sequential(
            up(N, M), nn.LeakyReLU(), up(M, M * 3 // 2), nn.LeakyReLU(),
            Convolution(M * 3 // 2, M * 2, 3, padding=1),
        )  # fmt: skip
        self.context_prediction = MaskedConv2d(M, 2 * M)
        self.entropy_parameters = nn.Sequential(
            Convolution(M * 4, M * 10 // 3, 1), nn.LeakyReLU(),
            Convolution(M * 10 // 3, M * 8 // 3, 1), nn.LeakyReLU(),
            Convolution(M * 8 // 3, M * 2, 1),
        )  # fmt: skip
        self.entropy_bottleneck = FactorizedPrior(N)
