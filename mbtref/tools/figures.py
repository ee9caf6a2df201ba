"""The figures of the report. Each is one function that draws what it is given and returns a matplotlib Figure.

A colour means one thing in all of them: blues are mbt2018's rates, reds its latent buffers, green is JPEG, purple
WebP. They are told apart by the colour-blind too (after Okabe and Ito 2008), and each has a twin for dark pages,
to which `svg` lets the reader's browser switch.
"""

import base64
import functools
import io
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from mbtref.model import STRIDE_Y
from mbtref.tools.analysis import Analysis, Array
from mbtref.tools.baselines import Point
from mbtref.tools.evaluate import Record

P = ParamSpec("P")

INK, QUIET, RULE = "#1d2329", "#5b6570", "#d5dae0"
BLUE, SKY, RED, ORANGE, GREEN, PURPLE, GREY = (
    "#0072b2", "#3d9bd1", "#c84e00", "#e08a00", "#008a66", "#a8508a", "#7d8790",
)  # fmt: skip
DARK = {
    INK: "#e8ebee", QUIET: "#a3adb8", RULE: "#39424c", BLUE: "#5ab4f0", SKY: "#9ad3f7", RED: "#ff8a4c",
    ORANGE: "#ffc061", GREEN: "#3fcfa4", PURPLE: "#e39ac9", GREY: "#8d98a4",
}  # fmt: skip
"""What each colour is on a dark page."""

STYLE: Any = {
    "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.labelsize": 9, "legend.fontsize": 8.5,
    "text.color": INK, "axes.titlecolor": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET,
    "xtick.color": QUIET, "ytick.color": QUIET, "grid.color": RULE, "grid.linewidth": 0.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "image.interpolation": "none",
    "svg.fonttype": "none", "svg.hashsalt": "mbtref",
}  # fmt: skip

RESIDUAL_GAIN = 10
SHOWN = 1024
"""Pictures with a longer side are shown smaller, by a whole factor."""
PHOTOGRAPH = "photograph"
"""Mark of the images that `svg` may store with loss."""
PHOTOGRAPH_QUALITY = 95
"""Of WebP: about 45 dB, far from the 30 dB of what is to be seen."""

Look = dict[str, Any]
"""Arguments of `Axes.plot`."""


class Form(NamedTuple):
    """A form in which latents can be kept: a step of the staircase."""

    name: str
    rate: str
    """Fields of `Record`."""
    psnr: str
    look: Look


FORMS = (
    Form("bitstream", "bpp_bitstream", "psnr_bitstream", {"color": BLUE, "marker": "o", "linewidth": 1.8}),
    Form(
        "theoretical", "bpp_theoretical", "psnr",
        {"color": SKY, "marker": "s", "linestyle": "--", "fillstyle": "none", "markersize": 9},
    ),
    Form("latent buffer, zlib", "bpp_buffer_zlib", "psnr", {"color": RED, "marker": "D"}),
    Form("latent buffer, raw int16", "bpp_buffer_raw", "psnr", {"color": ORANGE, "marker": "^"}),
)  # fmt: skip
BASELINES: dict[str, Look] = {"JPEG": {"color": GREEN, "marker": "."}, "WebP": {"color": PURPLE, "marker": "."}}
PUBLISHED: dict[str, tuple[str, Look]] = {
    "mbt2018-compressai-cpu": ("mbt2018, CompressAI", {"color": BLUE, "linestyle": ":"}),
    "mbt2018-compressai-cuda": ("mbt2018, CompressAI on CUDA", {"color": BLUE, "linestyle": (0, (1, 3))}),
    "mbt2018-paper": ("mbt2018, paper", {"color": BLUE, "linestyle": (0, (6, 2, 1, 2))}),
    "mbt2018-compressai-msssim-cpu": ("mbt2018 for MS-SSIM", {"color": SKY, "linestyle": ":"}),
    "bmshj2018-factorized-paper": ("bmshj2018-factorized", {"color": SKY, "linestyle": "-."}),
    "vtm": ("VTM", {"color": INK, "linestyle": ":"}),
    "bpg444": ("BPG 4:4:4", {"color": GREY, "linestyle": "--"}),
    "webp": ("WebP", {"color": PURPLE, "linestyle": ":"}),
    "jpeg": ("JPEG", {"color": GREEN, "linestyle": ":"}),
}
"""Names in `facts.published_curves`, what they are called here, and how they are drawn."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws with STYLE, and leaves matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def comparison(a: Analysis) -> Figure:
    """Original, forward reconstruction and absolute residual, RESIDUAL_GAIN times."""
    residual = np.abs(a.x - a.open_loop)
    figure, axes = _row_of_pictures(a, 3)
    _photograph(axes[0], a.x, "original")
    _photograph(axes[1], a.open_loop, f"{a.record.model}, PSNR {a.record.psnr:.2f} dB")
    # shown smaller, a residual is averaged before it is clipped
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
    """Where the bitstream spends its bits, beside the picture."""
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
    """Where the bitstream's picture (closed-loop) differs from the forward pass's (open-loop), both of 8 bits."""
    levels = np.abs(np.round(255 * a.closed_loop) - np.round(255 * a.open_loop)).max(2)
    figure, axes = _row_of_pictures(a, 2)
    _photograph(axes[0], a.closed_loop, f"decoded bitstream, PSNR {a.record.psnr_bitstream:.2f} dB")
    shown = _reduced(levels)
    heat = _image(axes[1], shown, a.x.shape, cmap="magma", vmin=0, vmax=max(1.0, np.percentile(shown, 99.9)))
    share = 100 * np.mean(levels > 0)
    axes[1].set_title(f"closed − open loop: {share:.1f} % of pixels, up to {levels.max():.0f}")
    _scale(axes[1], heat, "8-bit levels, largest of R, G, B", extend="max")
    return figure


@styled
def staircase(
    records: Sequence[Record],
    measured: Mapping[str, Sequence[Point]],
    published: Mapping[str, Mapping[str, Any]],
) -> Figure:
    """Rate and PSNR, means over the records' pictures: what one quality costs in each form, beside other codecs.

    measured: curves on the same pictures by codec, names of BASELINES. published: curves of
    `facts.published_curves`, those that shall be drawn. Raw buffers have a panel of their own, on its own scale.
    """
    mean = _means(records)
    figure = Figure(figsize=(8, 6.6), layout="constrained")
    panels = figure.subplot_mosaic(
        [["near", "far"], ["legend", "legend"]], width_ratios=(8, 1), height_ratios=(4.2, 1)
    )
    near, far, below = panels.values()
    far.sharey(near)
    own: list[Line2D] = []
    for form in FORMS:
        axes = far if form.rate == "bpp_buffer_raw" else near
        for family in families(mean):
            points = [(mean[model][form.rate], mean[model][form.psnr]) for model in family]
            line = _curve(axes, points, form.name, {"markersize": 6, **form.look})
        own.append(line)
    several = len(families(mean)) > 1
    for model, m in mean.items():
        for axes in (near, far):
            axes.hlines(m["psnr"], m["bpp_theoretical"], m["bpp_buffer_raw"], color=RULE, zorder=0)
        name = model if several else quality(model)[1] or model
        at = m["bpp_buffer_zlib"], m["psnr"]
        near.annotate(name, at, (0, 6), textcoords="offset points", ha="center", fontweight="bold")
    here = [_curve(near, points, codec, BASELINES[codec]) for codec, points in measured.items()]
    known = [
        _curve(near, list(zip(curve["bpp"], curve["psnr-rgb"], strict=True)), *PUBLISHED[name])
        for name, curve in published.items()
    ]
    _frame_staircase(near, far, mean)
    below.set_axis_off()
    titles = ("these models", "same pictures, Pillow", "published, mean of 24 Kodak")
    for place, (title, lines) in enumerate(zip(titles, (own, here, known), strict=True)):
        if lines:
            names = [str(line.get_label()) for line in lines]
            at = place / len(titles), 1
            legend = Legend(
                below, lines, names, title=title, alignment="left", loc="upper left", bbox_to_anchor=at
            )
            legend.get_title().set_fontweight("bold")
            below.add_artist(legend)
    return figure


def quality(model: str) -> tuple[str, str]:
    """Family and quality of a model's name: ("lite", "q4") of lite-q4, ("", "") of a name without quality."""
    found = re.fullmatch(r"(.+)-(q\d+)", model)
    return (found[1], found[2]) if found else ("", "")


def families(models: Iterable[str]) -> list[list[str]]:
    """Models that lie on one curve: those of one family; one whose name has no quality is alone."""
    result: dict[str, list[str]] = {}
    for model in models:
        result.setdefault(quality(model)[0] or model, []).append(model)
    return list(result.values())


def _means(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean rates and PSNRs by model. An infinite PSNR becomes NaN, which isn't drawn."""
    result = {}
    for model in dict.fromkeys(r.model for r in records):
        own = [r for r in records if r.model == model]
        fields = {name for form in FORMS for name in (form.rate, form.psnr)}
        means = {field: statistics.fmean(getattr(r, field) for r in own) for field in fields}
        result[model] = {field: value if math.isfinite(value) else math.nan for field, value in means.items()}
    return result


def _curve(axes: Axes, points: Sequence[tuple[float, float]], label: str, look: Mapping[str, Any]) -> Line2D:
    line: Line2D
    (line,) = axes.plot(*zip(*points, strict=True), label=label, **{"linewidth": 1.4, **look})
    return line


def _frame_staircase(near: Axes, far: Axes, mean: Mapping[str, Mapping[str, float]]) -> None:
    """The scales: all of our points, and what other codecs have near them; the break between the panels."""
    right = 1.12 * max(m["bpp_buffer_zlib"] for m in mean.values())
    heights = [m[psnr] for m in mean.values() for psnr in ("psnr", "psnr_bitstream")]
    bottom = np.nanmin([*heights, 60]) - 2.5
    top = np.nanmax([*heights, bottom]) + 4.5
    near.set(xlim=(0, right), ylim=(bottom, top), xlabel="rate / bpp", ylabel="PSNR, RGB / dB")
    raw = [m["bpp_buffer_raw"] for m in mean.values()]
    far.set(xlim=(0.9 * min(raw), 1.1 * max(raw)), xticks=sorted({round(rate, 2) for rate in raw}))
    far.tick_params(axis="y", left=False, labelleft=False)
    far.spines["left"].set_visible(False)
    for axes, side in ((near, 1), (far, 0)):
        axes.grid(axis="both" if axes is near else "y")
        # the axis is broken: a slanted stroke at both ends of the gap
        axes.plot([side], [0], transform=axes.transAxes, marker=[(-0.5, -1), (0.5, 1)], markersize=9, color=QUIET,
                  linestyle="none", clip_on=False)  # fmt: skip


def _row_of_pictures(a: Analysis, count: int) -> tuple[Figure, list[Axes]]:
    """Axes in a row for pictures of this shape."""
    height, width, _ = a.x.shape
    figure = Figure(figsize=(4 * count, min(4 * height / width, 6) + 0.4), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for one in axes:
        one.set_axis_off()
    return figure, axes


def reduction(height: int, width: int) -> int:
    """How many times smaller a picture is shown, so that no side is longer than SHOWN."""
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


def svg(figure: Figure) -> str:
    """A figure as one SVG file that follows the reader's light or dark scheme, and the reader's font.

    Images in it are WebP: photographs at PHOTOGRAPH_QUALITY, all else without loss.
    """
    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=unsaid, bbox_inches="tight", pad_inches=0.03)
    text = file.getvalue()
    text = text[text.index("<svg") :]  # what stands before it names outside addresses
    text = re.sub(r'<image xlink:href="data:image/png;base64,([^"]*)" id="([^"]*)"([^>]*)/>', _as_webp, text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    for colour in DARK:
        text = text.replace(colour, f"var(--c{colour[1:]})")
    light = "".join(f"--c{colour[1:]}:{colour};" for colour in DARK)
    dark = "".join(f"--c{colour[1:]}:{twin};" for colour, twin in DARK.items())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return text.replace(">", f">{style}", 1)


def _as_webp(image: re.Match[str]) -> str:
    """An image of an SVG file in its smaller form."""
    data, name, rest = image.groups()
    file = io.BytesIO()
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        if name.startswith(PHOTOGRAPH):
            picture.convert("RGB").save(file, "WEBP", quality=PHOTOGRAPH_QUALITY)
        else:
            picture.save(file, "WEBP", lossless=True)
        scale = re.search(r"matrix\(([^ ]*)", rest)
    if scale and float(scale[1]) < 1:
        rest = re.sub(r' style="image-rendering:[^"]*"', "", rest)  # made for pixels that are enlarged
    return f'<image xlink:href="data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"{rest}/>'
