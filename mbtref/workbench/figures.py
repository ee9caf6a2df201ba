"""The figures of one picture at one model: panels, which are pictures of pixels, and a chart.

Each is a function that draws an `Analysis`. The original isn't among the panels: it is the same for all models.
"""

import base64
import functools
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib
import numpy as np

from mbtref.bitstream import STRIDE_Y
from mbtref.brief import brief
from mbtref.image import Image
from mbtref.suite.msssim import decibels
from mbtref.suite.reports.markup import xml
from mbtref.workbench.analysis import Analysis, Array
from mbtref.workbench.look import BLUE, WIDE, Chart, styled, webp

RESIDUAL_GAIN = 10
SHOWN = 1024
"""Pixels. A picture with a longer side is shown smaller, by a whole factor."""
OF_COLOURS = "largest of R, G, B"


class Bar(NamedTuple):
    """The colour bar of a panel. It begins at 0."""

    colours: str
    """A name in `matplotlib.colormaps`."""
    greatest: str
    """The value at its end, as text."""
    label: str


@dataclass(frozen=True)
class Panel:
    """A picture in a figure."""

    title: str
    pixels: Image
    """(H, W, 3) or, grey, (H, W) uint8."""
    photograph: bool = False
    """Whether it may be stored with loss."""
    bar: Bar | None = None

    @functools.cached_property
    def source(self) -> str:
        """A data URI of it as WebP."""
        return f"data:image/webp;base64,{base64.b64encode(webp(self.pixels, self.photograph)).decode()}"

    __repr__ = brief

    def _repr_html_(self) -> str:
        return f'<p>{xml(self.title)}</p><img src="{self.source}">'


def original(picture: Image) -> Panel:
    """The picture itself. picture: (H, W, 3) uint8."""
    return _photograph(picture / 255, "original")


def comparison(a: Analysis) -> tuple[Panel, ...]:
    """The forward pass's picture, and the absolute residual of its 8-bit levels times RESIDUAL_GAIN."""
    residual = _reduced(_levels_apart(a.x, a.open_loop))
    return (
        _decoded(a.open_loop, a.record.model, a.record.psnr, a.record.msssim),
        Panel(f"absolute residual ×{RESIDUAL_GAIN}, {OF_COLOURS}", _eight_bit(RESIDUAL_GAIN * residual / 255)),
    )


def bit_map(a: Analysis) -> tuple[Panel, ...]:
    """A map of the bits that the bitstream spends."""
    height, width, _ = a.x.shape
    bpp = a.block_bits / STRIDE_Y**2
    blocks = bpp.repeat(STRIDE_Y, 0).repeat(STRIDE_Y, 1)[:height, :width]
    title = f"bits of the stream, sum {a.block_bits.sum() / (height * width):.4f} bpp"
    bar = Bar("viridis", f"{bpp.max():.2f}", f"bits per pixel of each {STRIDE_Y}×{STRIDE_Y} block")
    return (_heat(title, _reduced(blocks), bpp.max(), bar),)


def loop_difference(a: Analysis) -> tuple[Panel, ...]:
    """The bitstream's picture (closed-loop), and its 8-bit difference from the forward pass's (open-loop)."""
    levels = _levels_apart(a.closed_loop, a.open_loop)
    reduced = _reduced(levels)
    greatest = max(1.0, float(np.percentile(reduced, 99.9)))
    title = f"file − forward pass: {100 * np.mean(levels > 0):.1f} % differ, by up to {levels.max():.0f}"
    bar = Bar("magma", f"{greatest:.0f} and more", f"8-bit levels, {OF_COLOURS}")
    return (
        _decoded(a.closed_loop, "decoded bitstream", a.record.psnr_bitstream, a.record.msssim_bitstream),
        _heat(title, reduced, greatest, bar),
    )


def mosaic(a: Analysis) -> tuple[Panel, ...]:
    """All channels of open-loop y_hat, row by row, each from its least value (black) to its greatest (white)."""
    M, height, width = a.y_hat.shape
    columns = int(np.ceil(np.sqrt(M)))
    rows = -(-M // columns)
    low, high = (bound.reshape(M, 1, 1) for bound in (a.y_hat.min((1, 2)), a.y_hat.max((1, 2))))
    tiles = np.zeros((rows * columns, height, width))
    tiles[:M] = (a.y_hat - low) / np.maximum(high - low, 1)
    picture = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, -1)
    title = f"y_hat: {M} channels of {height}×{width}, each from its least to its greatest value"
    return (Panel(title, _eight_bit(picture)),)


@styled
def channel_rates(a: Analysis, width: float = WIDE) -> Chart:
    """Theoretical rate of every channel of y, sorted. width: of the chart, in inches."""
    rates = np.sort(a.channel_bpp)[::-1]
    figure = Chart(figsize=(width, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(rates, np.arange(len(rates) + 1) - 0.5, fill=True, color=BLUE)
    axes.set_xlim(-1, len(rates))
    axes.set_xlabel(f"channel of y, sorted (M = {len(rates)})")
    axes.set_ylabel("theoretical rate / bpp")
    axes.set_title(f"rate per channel of y, sum {rates.sum():.4f} bpp")
    axes.grid(axis="y")
    return figure


def reduction(height: int, width: int) -> int:
    """The factor by which a picture is shown smaller, so that no side is longer than SHOWN."""
    return -(-max(height, width) // SHOWN)


def _reduced(values: Array) -> Array:
    """Means over squares of pixels, see `reduction`. values: (H, W) or (H, W, 3)."""
    factor = reduction(*values.shape[:2])
    rows, columns = (max(side // factor, 1) for side in values.shape[:2])
    kept = values[: rows * factor, : columns * factor]
    reduced: Array = kept.reshape(rows, -1, columns, kept.shape[1] // columns, *kept.shape[2:]).mean((1, 3))
    return reduced


def _levels_apart(one: Array, other: Array) -> Array:
    """Absolute differences of two pictures in 8-bit levels, the largest of the colours: (H, W)."""
    levels: Array = np.abs(np.round(255 * one) - np.round(255 * other)).max(2)
    return levels


def _eight_bit(values: Array) -> Image:
    """Values as 8-bit levels, clipped to [0, 1]."""
    levels: Image = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return levels


def _photograph(picture: Array, title: str) -> Panel:
    return Panel(title, _eight_bit(_reduced(picture)), photograph=True)


def _decoded(picture: Array, title: str, psnr: float, msssim: float | None) -> Panel:
    """A reconstruction, with its quality in the title."""
    more = "" if msssim is None else f", MS-SSIM {decibels(msssim):.2f} dB"
    return _photograph(picture, f"{title}, PSNR {psnr:.2f} dB{more}")


def _heat(title: str, values: Array, greatest: float, bar: Bar) -> Panel:
    """Values from 0 to `greatest` in the bar's colours. values: (H, W)."""
    pixels: Image = matplotlib.colormaps[bar.colours](values / (greatest or 1), bytes=True)[..., :3]
    return Panel(title, pixels, bar=bar)
