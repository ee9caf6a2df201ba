"""The figures of one picture at one model. Each is a function that draws an `Analysis` and returns a Figure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mbtref.strides import STRIDE_Y
from mbtref.workbench.analysis import Analysis, Array
from mbtref.workbench.look import PHOTOGRAPH, SKY, styled

RESIDUAL_GAIN = 10
SHOWN = 1024
"""Pixels. A picture with a longer side is shown smaller, by a whole factor."""


@styled
def comparison(a: Analysis) -> Figure:
    """Original, forward reconstruction, and absolute residual times RESIDUAL_GAIN."""
    residual = np.abs(a.x - a.open_loop)
    figure, axes = _row_of_pictures(a, 3)
    _photograph(axes[0], a.x, "original")
    _photograph(axes[1], a.open_loop, f"{a.record.model}, PSNR {a.record.psnr:.2f} dB")
    # a residual that is shown smaller is averaged before it is clipped
    _image(axes[2], np.clip(RESIDUAL_GAIN * _reduced(residual), 0, 1), a.x.shape)
    axes[2].set_title(f"absolute residual ×{RESIDUAL_GAIN}")
    return figure


@styled
def channel_rates(a: Analysis) -> Figure:
    """Theoretical rate of every channel of y, sorted."""
    rates = np.sort(a.channel_bpp)[::-1]
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(np.arange(len(rates)), rates, width=1 if len(rates) > 100 else 0.8, color=SKY)
    axes.set_xlim(-1, len(rates))
    axes.set_xlabel(f"channel of y, sorted (M = {len(rates)})")
    axes.set_ylabel("theoretical rate / bpp")
    axes.set_title(f"rate per channel of y, sum {rates.sum():.4f} bpp")
    axes.grid(axis="y")
    return figure


@styled
def mosaic(a: Analysis) -> Figure:
    """All channels of open-loop y_hat, row by row, each from its least value (black) to its greatest (white)."""
    M, height, width = a.y_hat.shape
    columns = int(np.ceil(np.sqrt(M)))
    rows = -(-M // columns)
    low, high = (bound.reshape(M, 1, 1) for bound in (a.y_hat.min((1, 2)), a.y_hat.max((1, 2))))
    tiles = np.zeros((rows * columns, height, width))
    tiles[:M] = (a.y_hat - low) / np.maximum(high - low, 1)
    picture = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, -1)
    figure = Figure(figsize=(8, 8 * picture.shape[0] / picture.shape[1] + 0.35), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(f"y_hat: {M} channels of {height}×{width}, each from its least to its greatest value")
    axes.set_axis_off()
    return figure


@styled
def bit_map(a: Analysis) -> Figure:
    """A map of the bits that the bitstream spends, beside the picture."""
    height, width, _ = a.x.shape
    bpp = a.block_bits / STRIDE_Y**2
    figure, axes = _row_of_pictures(a, 2)
    _photograph(axes[0], a.x, "original")
    rows, columns = bpp.shape
    heat = axes[1].imshow(bpp, cmap="viridis", vmin=0, extent=(0, columns * STRIDE_Y, rows * STRIDE_Y, 0))
    axes[1].set(xlim=(0, width), ylim=(height, 0))
    axes[1].set_title(f"bits of the stream, sum {a.block_bits.sum() / (height * width):.4f} bpp")
    _scale(axes[1], heat, f"bits per pixel of each {STRIDE_Y}×{STRIDE_Y} block")
    return figure


@styled
def loop_difference(a: Analysis) -> Figure:
    """The 8-bit difference between the bitstream's picture (closed-loop) and the forward pass's (open-loop)."""
    levels = np.abs(np.round(255 * a.closed_loop) - np.round(255 * a.open_loop)).max(2)
    figure, axes = _row_of_pictures(a, 2)
    _photograph(axes[0], a.closed_loop, f"decoded bitstream, PSNR {a.record.psnr_bitstream:.2f} dB")
    shown = _reduced(levels)
    heat = _image(axes[1], shown, a.x.shape, cmap="magma", vmin=0, vmax=max(1.0, np.percentile(shown, 99.9)))
    share = 100 * np.mean(levels > 0)
    axes[1].set_title(f"file − forward pass: {share:.1f} % differ, by up to {levels.max():.0f}")
    _scale(axes[1], heat, "8-bit levels, largest of R, G, B", extend="max")
    return figure


def _row_of_pictures(a: Analysis, count: int) -> tuple[Figure, list[Axes]]:
    """A figure with a row of axes for pictures of this shape."""
    height, width, _ = a.x.shape
    figure = Figure(figsize=(4 * count, min(4 * height / width, 6) + 0.4), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for one in axes:
        one.set_axis_off()
    return figure, axes


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


def _image(axes: Axes, values: Array, shape: tuple[int, ...], **look: Any) -> AxesImage:
    """Shows a reduced array on the scale of a picture of this shape."""
    return axes.imshow(values, extent=(0, shape[1], shape[0], 0), **look)


def _scale(axes: Axes, heat: AxesImage, label: str, **look: Any) -> None:
    """A colour bar as high as the picture."""
    axes.figure.colorbar(heat, cax=axes.inset_axes((1.02, 0, 0.03, 1)), label=label, **look)


def _photograph(axes: Axes, picture: Array, title: str) -> None:
    _image(axes, _reduced(picture), picture.shape, gid=PHOTOGRAPH)
    axes.set_title(title)
