"""g_a, h_a and g_s as the codec runs them: in tiles, so that memory doesn't grow with the picture.

The layers are those of `networks`; only their order in memory and the pieces differ. On a GPU the pieces are tiles
alone: the rest of what is here makes a CPU faster. Surprises first:

- A convolution looks beyond its tile. So a tile sees MARGIN more latents on every side than it keeps.
- Float sums may be added in another order for another size. So a tile differs from the whole by an ulp or so.
- Tiles depend on the picture's size alone, not on the machine: a reproducible result depends on them.
- Channels come last in memory. PyTorch's convolutions are faster then, and one position's channels lie together.
- The last layer of g_s has 3 channels only. As one 3×3 convolution with 4·3 channels (`exact`) it is faster.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mbtref.bitstream import STRIDE_Y
from mbtref.exact import deconv5x5_matrix
from mbtref.networks import GDN, MBT2018
from mbtref.progress import Watch, unwatched
from mbtref.surroundings import convolve

TILE = 768
"""The longest side of a tile, pixels, for the sake of memory. A Kodak picture is one tile."""
MARGIN = 2
"""Latents. Four 5×5 layers of stride 2 join a latent to pixels up to 2 + 4 + 8 + 16 = 30 away, and 30 < 2 · 16."""
FEW_CHANNELS = 8
"""A transposed convolution to fewer channels runs as a 3×3 convolution."""
STRIP_VALUES = 1 << 18
"""A GDN takes rows with at most this many values at a time: 1 MiB stays in a cache."""

Run: TypeAlias = Callable[[Tensor], Tensor]


def channels_last(network: nn.Sequential) -> nn.Sequential:
    """The same network with another order of its weights in memory."""
    other: nn.Sequential = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return other


def in_strips(layer: Run, v: Tensor) -> Tensor:
    """Position by position, some rows at a time. layer: keeps the shape. v: (B, C, H, W)."""
    rows = max(1, STRIP_VALUES // v[:, :, 0].numel())
    result = torch.empty_like(v)
    for part, place in zip(v.split(rows, 2), result.split(rows, 2), strict=True):
        place.copy_(layer(part))
    return result


def apply(layers: Iterable[Run], v: Tensor) -> Tensor:
    """Layer after layer."""
    for layer in layers:
        v = layer(v)
    return v


class Phases:
    """A transposed 5×5 convolution of stride 2 as a 3×3 convolution to four phases, and their shuffle."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        c_in, c_out = layer.in_channels, layer.out_channels
        assert layer.bias is not None
        # (3, 3, C_in, 2, 2, C_out) -> (C_out · 2 · 2, C_in, 3, 3)
        matrix = deconv5x5_matrix(layer.weight).reshape(3, 3, c_in, 2, 2, c_out)
        kernel = matrix.permute(5, 3, 4, 2, 0, 1).reshape(4 * c_out, c_in, 3, 3)
        self.kernel = kernel.contiguous(memory_format=torch.channels_last)
        self.bias = layer.bias.repeat_interleave(4)

    def __call__(self, v: Tensor) -> Tensor:
        return F.pixel_shuffle(convolve(v, self.kernel, self.bias, 1, 1), 2)


def quick(layer: nn.Module) -> Run:
    """A layer in the form that is fastest on a CPU."""
    if isinstance(layer, GDN):
        return functools.partial(in_strips, layer)
    if isinstance(layer, nn.ConvTranspose2d) and layer.out_channels < FEW_CHANNELS:
        return Phases(layer)
    return layer


class Span(NamedTuple):
    """Latents in a row or a column: a tile keeps those from begin to end, and sees those from first to last."""

    first: int
    begin: int
    end: int
    last: int

    def seen(self, stride: int) -> slice:
        """The part of the input. stride: input values in a latent."""
        return slice(self.first * stride, self.last * stride)

    def kept(self, stride: int) -> slice:
        """The part of its own output. stride: output values in a latent."""
        return slice((self.begin - self.first) * stride, (self.end - self.first) * stride)


def spans(size: int) -> list[Span]:
    """Those of all tiles. size: latents in a row or a column."""
    side = TILE // STRIDE_Y
    ends = [(begin, min(begin + side, size)) for begin in range(0, size, side)]
    return [Span(max(0, begin - MARGIN), begin, end, min(size, end + MARGIN)) for begin, end in ends]


class Tiled:
    """g_a or g_s. name: of its loop. before, after: values in a row of a latent, of input and output."""

    def __init__(self, layers: Sequence[Run], name: str, before: int, after: int) -> None:
        self.layers, self.name, self.before, self.after = layers, name, before, after

    def tile(self, v: Tensor, rows: Span, columns: Span) -> Tensor:
        """A tile of the result. v: the whole input."""
        v = apply(self.layers, v[:, :, rows.seen(self.before), columns.seen(self.before)])
        return v[:, :, rows.kept(self.after), columns.kept(self.after)]

    def __call__(self, v: Tensor, watch: Watch) -> Tensor:
        """(1, C, H, W) float -> (1, C', H', W') float, in the order of its last layer."""
        rows, columns = (spans(side // self.before) for side in v.shape[2:])
        tiles = [self.tile(v, *place) for place in watch(list(itertools.product(rows, columns)), self.name)]
        strips = [tiles[i : i + len(columns)] for i in range(0, len(tiles), len(columns))]
        return torch.cat([torch.cat(strip, 3) for strip in strips], 2)


class Transforms:
    """g_a, h_a and g_s as layers that run one after the other. No picture of a batch depends on the others."""

    def __init__(self, g_a: Sequence[Run], h_a: Sequence[Run], g_s: Sequence[Run]) -> None:
        self._g_a, self._g_s = Tiled(g_a, "g_a", STRIDE_Y, 1), Tiled(g_s, "g_s", 1, STRIDE_Y)
        self._h_a = h_a

    def g_a(self, x: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, 3, 64h, 64w) float32 -> y, (B, M, 4h, 4w) float32."""
        return torch.cat([self._g_a(picture, watch) for picture in x.split(1)]).float()

    def h_a(self, y: Tensor) -> Tensor:
        """(B, M, 4h, 4w) float32 -> z, (B, N, h, w) float32."""
        return torch.cat([apply(self._h_a, picture) for picture in y.split(1)]).float()

    def g_s(self, y_hat: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, M, 4h, 4w) float32 -> x_hat, (B, 3, 64h, 64w) float: all its digits decide a pixel."""
        return torch.cat([self._g_s(picture, watch) for picture in y_hat.split(1)])


def in_float32(networks: MBT2018, kind: str = "cpu") -> Transforms:
    """Those of the float32 networks. kind: of their device, one of `devices.DEVICES`."""
    parts = (networks.g_a, networks.h_a, networks.g_s)
    if kind != "cpu":
        return Transforms(*(list(part) for part in parts))
    return Transforms(*([quick(layer) for layer in channels_last(part)] for part in parts))
