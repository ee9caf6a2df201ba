"""g_a, h_a and g_s as the codec runs them: in tiles, so that memory doesn't grow with the picture.

The layers are those of `model`; only their order in memory and the pieces differ. Surprises first:

- A layer looks beyond its tile. So each layer gets what the next one needs, and the zeros that it puts around a
  tile are cut off again, except at the edges of the picture.
- Float sums may be added in another order for another size. So a tile differs from the whole by an ulp or so.
- Tiles depend on the picture's size alone, not on the machine.
- Channels come last in memory. PyTorch's convolutions are faster then, and one position's channels lie together.
- The last layer of g_s has 3 channels only. As one 3×3 convolution with 4·3 channels (`exact`) it is faster.
"""

import copy
import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mbtref.exact import deconv5x5_matrix
from mbtref.networks import GDN, MBT2018
from mbtref.progress import Watch, unwatched

TILE = 768
"""The longest side of a tile, pixels. A Kodak picture is one tile."""
FEW_CHANNELS = 8
"""A transposed convolution to fewer channels runs as a 3×3 convolution."""
STRIP_VALUES = 1 << 18
"""A GDN takes rows with at most this many values at a time: 1 MiB stays in a cache."""


Span: TypeAlias = tuple[int, int]
"""Rows, or columns: the first, and the one after the last."""
Run: TypeAlias = Callable[[Tensor], Tensor]


class Layer(NamedTuple):
    """One step of a transform: (1, C, H, W) -> (1, C', H · up / down, W · up / down)."""

    run: Run
    up: int = 1
    down: int = 1
    reach: int = 0
    """How far an output sees to either side: rows, or columns, of the finer resolution of input and output."""

    def needs(self, output: Span, size: int) -> Span:
        """The input rows that some output rows see, of `size` rows that there are."""
        begin, end = output
        first = -((self.reach - begin * self.down) // self.up)
        last = ((end - 1) * self.down + self.reach) // self.up
        return max(0, first), min(size, last + 1)

    def cut(self, given: Span, wanted: Span) -> slice:
        """Where the wanted output rows are in the output of the given input rows."""
        begin = given[0] * self.up // self.down
        return slice(wanted[0] - begin, wanted[1] - begin)


def channels_last(network: nn.Sequential) -> nn.Sequential:
    """The same network with another order of its weights in memory."""
    other: nn.Sequential = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return other


def in_strips(run: Run, v: Tensor) -> Tensor:
    """Position by position, some rows at a time. run: keeps the shape. v: (B, C, H, W)."""
    rows = max(1, STRIP_VALUES // v[:, :, 0].numel())
    result = torch.empty_like(v)
    for part, place in zip(v.split(rows, 2), result.split(rows, 2), strict=True):
        place.copy_(run(part))
    return result


def as_convolution(layer: nn.ConvTranspose2d) -> Run:
    """A transposed 5×5 convolution of stride 2 as a 3×3 convolution to four phases, and their shuffle."""
    c_in, c_out = layer.in_channels, layer.out_channels
    assert layer.bias is not None
    # (3, 3, C_in, 2, 2, C_out) -> (C_out · 2 · 2, C_in, 3, 3)
    matrix = deconv5x5_matrix(layer.weight).reshape(3, 3, c_in, 2, 2, c_out)
    kernel = matrix.permute(5, 3, 4, 2, 0, 1).reshape(4 * c_out, c_in, 3, 3)
    kernel, bias = kernel.contiguous(memory_format=torch.channels_last), layer.bias.repeat_interleave(4)
    return lambda v: F.pixel_shuffle(F.conv2d(v, kernel, bias, padding=1), 2)


def layer_of(module: nn.Module) -> Layer:
    """A layer of g_a or g_s."""
    if isinstance(module, nn.Conv2d):
        return Layer(module, down=module.stride[0], reach=module.kernel_size[0] // 2)
    if isinstance(module, nn.ConvTranspose2d):
        few = module.out_channels < FEW_CHANNELS
        return Layer(
            as_convolution(module) if few else module, up=module.stride[0], reach=module.kernel_size[0] // 2
        )
    assert isinstance(module, GDN), f"{type(module).__name__} is in neither transform"
    return Layer(functools.partial(in_strips, module))


class Tiled:
    """One transform. network: g_a or g_s. name: of its loop, for who watches."""

    def __init__(self, network: nn.Sequential, name: str) -> None:
        self.name = name
        self.layers = [layer_of(module) for module in network]
        last = network[-1]
        assert isinstance(last, nn.Conv2d | nn.ConvTranspose2d), "a transform ends in a convolution"
        self.channels = last.out_channels

    def sizes(self, size: int) -> list[int]:
        """All rows, or columns, before each layer and after the last. size: of the input."""
        return list(itertools.accumulate(self.layers, lambda n, layer: n * layer.up // layer.down, initial=size))

    def plan(self, output: Span, size: int) -> list[Span]:
        """Those of a tile. output: its rows, or columns. size: of the whole input."""
        spans = [output]
        for layer, n in zip(reversed(self.layers), self.sizes(size)[-2::-1], strict=True):
            spans.insert(0, layer.needs(spans[0], n))
        return spans

    def tile(self, v: Tensor, rows: list[Span], columns: list[Span]) -> Tensor:
        """A tile of the result. v: the whole input. rows, columns: see `plan`."""
        v = v[:, :, slice(*rows[0]), slice(*columns[0])]
        spans = zip(itertools.pairwise(rows), itertools.pairwise(columns), strict=True)
        for layer, (row_spans, column_spans) in zip(self.layers, spans, strict=True):
            v = layer.run(v)[:, :, layer.cut(*row_spans), layer.cut(*column_spans)]
        return v

    def __call__(self, v: Tensor, watch: Watch) -> Tensor:
        """(1, C, H, W) float32 -> (1, C', H', W') float32, channels last."""
        shape = v.shape[2:]
        height, width = (self.sizes(n)[-1] for n in shape)
        side = TILE * height // max(height, shape[0])
        result = v.new_empty(1, height, width, self.channels).permute(0, 3, 1, 2)
        for rows, columns in watch(list(itertools.product(cuts(height, side), cuts(width, side))), self.name):
            tile = self.tile(v, self.plan(rows, shape[0]), self.plan(columns, shape[1]))
            result[:, :, slice(*rows), slice(*columns)] = tile
        return result


def cuts(size: int, side: int) -> list[Span]:
    """Pieces of at most `side` rows, or columns, of `size`."""
    return [(begin, min(begin + side, size)) for begin in range(0, size, side)]


class Transforms(Protocol):
    """What codes a picture: g_a, h_a and g_s. No picture of a batch depends on the others."""

    def g_a(self, x: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, 3, 64h, 64w) float32 -> y, (B, M, 4h, 4w) float32."""

    def h_a(self, y: Tensor) -> Tensor:
        """(B, M, 4h, 4w) float32 -> z, (B, N, h, w) float32."""

    def g_s(self, y_hat: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, M, 4h, 4w) float32 -> x_hat, (B, 3, 64h, 64w) float."""


class InTiles:
    """`Transforms` in float32. networks: the float32 networks."""

    def __init__(self, networks: MBT2018) -> None:
        g_a, h_a, g_s = map(channels_last, (networks.g_a, networks.h_a, networks.g_s))
        self._g_a, self._h_a, self._g_s = Tiled(g_a, "g_a"), h_a, Tiled(g_s, "g_s")

    def g_a(self, x: Tensor, watch: Watch = unwatched) -> Tensor:
        return torch.cat([self._g_a(picture, watch) for picture in x.split(1)])

    def h_a(self, y: Tensor) -> Tensor:
        return torch.cat([self._h_a(picture) for picture in y.split(1)])

    def g_s(self, y_hat: Tensor, watch: Watch = unwatched) -> Tensor:
        return torch.cat([self._g_s(picture, watch) for picture in y_hat.split(1)])
