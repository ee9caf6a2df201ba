"""Models and pictures that are made from a seed.

The speed of a codec depends on its symbols: how many are 0, how many tables they use. PyTorch's own initial
weights give nothing but zeros. So every layer is scaled here, on a made picture, until the symbols are as sparse
as a trained model's:

- The outputs of all inner layers have spread 1. No value becomes tiny, huge or denormal.
- The spread of each channel of y is the same share of the one before. A few channels carry most of the rate, and
  many are always 0. The spreads fall so fast that the made picture takes BPP bits per pixel.
- The means of sigma are a little above the spreads of y. Both sigma and mu vary with the context.

The weights follow from the seed up to float noise: the file may differ from machine to machine. For comparison: a
trained model of M = 128 has 43 % zeros and 0.004 % escapes at 1.2 bpp; with more channels, more are 0.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor, nn

from mbtref import planes
from mbtref.bitstream import STRIDE_Y
from mbtref.image import Image
from mbtref.making.complete import export
from mbtref.model import Model
from mbtref.networks import MBT2018, SIGMA_MIN
from mbtref.openloop.forward import quantized
from mbtref.openloop.likelihoods import gaussian_likelihoods

OCTAVES = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Distances between the random values of each octave, in pixels."""
CONTRAST = 16.0  # standard deviation of each octave, in levels: the same for all, as in photographs
COLOUR = 0.2  # contrast of the difference between colour channels, as a share of their common contrast

BPP = 0.9
"""Bits per pixel of y on the made picture, if sigma is right. With z, and sigma as it is, the rate is about 1."""
SIDE = 256  # the made picture is a square of this side, in pixels
LARGEST = 12.0  # the spread of the first channel of y
MARGIN = 1.2  # the mean of sigma, as a multiple of the spread of y: with less, many symbols would be escapes
VARIED = 0.2  # how much sigma and mu vary with the context, as a share of the spread of y
Z_SPREAD = 0.25  # the spread of z, and the scale of its density
Convolution = nn.Conv2d | nn.ConvTranspose2d


def clouds(height: int, width: int, seed: int = 0) -> Image:
    """A made picture (height, width, 3) whose spectrum falls like a photograph's."""
    random = np.random.default_rng(seed)

    def field() -> npt.NDArray[np.float64]:
        total = np.zeros((height, width))
        for step in OCTAVES:
            coarse = random.standard_normal((-(-height // step) + 1, -(-width // step) + 1)).astype(np.float32)
            size = (step * coarse.shape[1], step * coarse.shape[0])
            fine = np.asarray(PIL.Image.fromarray(coarse).resize(size))
            total += CONTRAST * fine[:height, :width] / fine.std()
        return total

    grey = field()
    channels = [128 + grey + COLOUR * field() for _ in range(3)]
    return np.stack(channels, -1).round().clip(0, 255).astype(np.uint8)


def sized(picture: Image, height: int, width: int) -> Image:
    """A picture (height, width, 3): the top left of the given one, repeatedly mirrored at its edges.

    A larger size has more of the same content, not larger content. So times per pixel can be compared.
    """
    more = [(0, max(0, side - have)) for side, have in zip((height, width), picture.shape, strict=False)]
    return np.ascontiguousarray(np.pad(picture, (*more, (0, 0)), mode="symmetric")[:height, :width])


@torch.no_grad()
def make(N: int, M: int, path: Path, seed: int = 0) -> Model:
    """Writes the model file of seeded weights, and returns its model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = MBT2018(N, M).eval()
    calibrate(networks, planes.to_tensor(clouds(SIDE, SIDE)))
    return export(networks, path, {})


def calibrate(networks: MBT2018, x: Tensor) -> None:
    """Scales all layers as explained above. x: (1, 3, H, W) float, sides multiples of 64."""
    M = networks.M
    y = settle(networks.g_a, x, torch.ones(M))
    spreads = falling(y)
    scale(last(networks.g_a), spreads)
    y = y * spreads[:, None, None]
    y_hat = torch.round(y)

    z = settle(networks.h_a, y, torch.full((networks.N,), Z_SPREAD))
    # narrows the density of z, which begins as wide as INIT_SCALE, to Z_SPREAD
    bottleneck = networks.entropy_bottleneck
    factor = bottleneck.INIT_SCALE / Z_SPREAD
    first = bottleneck.matrices[0]
    first.copy_(torch.log(torch.expm1(factor * nn.functional.softplus(first))))  # softplus is multiplied
    bottleneck.quantiles.div_(factor)
    z_hat = quantized(networks, z)
    psi = settle(networks.h_s, z_hat, torch.ones(2 * M))
    phi = networks.context_prediction(y_hat)
    networks.context_prediction.weight /= phi.std()
    both = torch.cat((psi, networks.context_prediction(y_hat)), dim=1)
    settle(networks.entropy_parameters, both, VARIED * torch.cat((spreads, spreads)))
    bias(last(networks.entropy_parameters))[:M] += (MARGIN * spreads).clamp(min=SIGMA_MIN)

    settle(networks.g_s, y_hat, torch.full((3,), 0.2))
    bias(last(networks.g_s)).add_(0.5)


def settle(layers: nn.Sequential, inputs: Tensor, spreads: Tensor) -> Tensor:
    """Scales each convolution to spread 1, and the last to these spreads about 0. Returns the last's outputs.

    inputs: (1, C, H, W) float. spreads: (channels of the last,) float.
    """
    outputs = inputs
    for layer in layers:
        if isinstance(layer, Convolution):
            scale(layer, (1 / layer(outputs).std()).expand(layer.out_channels))
        outputs = layer(outputs)
    factors = spreads / outputs.std((0, 2, 3))
    scale(last(layers), factors)
    outputs = outputs * factors[:, None, None]
    means = outputs.mean((0, 2, 3))
    bias(last(layers)).sub_(means)
    return outputs - means[:, None, None]


def last(layers: nn.Sequential) -> Convolution:
    """The convolution at the end."""
    layer = layers[-1]
    assert isinstance(layer, Convolution)
    return layer


def bias(layer: Convolution) -> Tensor:
    """(C_out,) float, to be changed in place."""
    assert layer.bias is not None
    return layer.bias


def scale(layer: Convolution, factors: Tensor) -> None:
    """Multiplies the outputs of a convolution. factors: (C_out,) float."""
    outputs_first = isinstance(layer, nn.Conv2d)
    layer.weight *= factors[:, None, None, None] if outputs_first else factors[:, None, None]
    bias(layer).mul_(factors)


def falling(y: Tensor) -> Tensor:
    """The spreads of the channels of y: they begin at LARGEST and fall by one ratio, so that y takes BPP.

    y: (1, M, H, W) float of spread 1. Returns (M,) float.
    """
    steps = torch.arange(y.shape[1], dtype=torch.float32)
    pixels = y[0, 0].numel() * STRIDE_Y**2
    low, high = 0.5, 1.0
    for _ in range(20):
        ratio = (low + high) / 2
        sigma = (LARGEST * ratio**steps)[:, None, None]
        bits = -gaussian_likelihoods(torch.round(y * sigma), sigma).log2().sum().item()
        low, high = (ratio, high) if bits / pixels < BPP else (low, ratio)
    spreads: Tensor = LARGEST * low**steps
    return spreads
