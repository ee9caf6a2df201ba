"""The staircase: a quality's rate as estimate, file, deflated and raw latent buffer, beside other codecs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from mbtref.suite.msssim import decibels
from mbtref.workbench.baselines import Point
from mbtref.workbench.look import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, QUIET, RED, RULE, SKY, WIDE, styled
from mbtref.workbench.records import Record, family, means

Look = dict[str, Any]
"""Arguments of `Axes.plot`."""


CLOSED, OPEN = "_bitstream", ""


class Form(NamedTuple):
    """A form in which latents are kept: a step of the staircase."""

    name: str
    rate: str
    """A field of `Record`."""
    loop: str
    """What the fields of `Record` for its distortion end in: CLOSED or OPEN."""
    look: Look


FORMS = (
    Form("bitstream", "bpp_bitstream", CLOSED, {"color": BLUE, "marker": "o", "linewidth": 1.8}),
    Form(
        "theoretical", "bpp_theoretical", OPEN,
        {"color": SKY, "marker": "s", "linestyle": "--", "fillstyle": "none", "markersize": 9},
    ),
    Form("latent buffer, zlib", "bpp_buffer_zlib", OPEN, {"color": RED, "marker": "D"}),
    Form("latent buffer, raw int16", "bpp_buffer_raw", OPEN, {"color": ORANGE, "marker": "^"}),
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
"""Names in `facts.published_curves`, with their labels and looks in the figure."""


class Measure(NamedTuple):
    """A measure of distortion: how high a point lies."""

    label: str
    field: str
    """Of `Point`; of `Record`, with a form's `loop` after it."""
    published: str
    """Of a curve of `facts.published_curves`."""
    height: Callable[[float], float]
    """dB of a value."""


PSNR = Measure("PSNR, RGB / dB", "psnr", "psnr-rgb", float)
MS_SSIM = Measure("MS-SSIM, RGB / dB", "msssim", "ms-ssim-rgb", decibels)


LINE = 0.19
"""Height of a line of a legend, in inches."""


@styled
def staircase(
    records: Sequence[Record],
    measured: Mapping[str, Sequence[Point]],
    published: Mapping[str, Mapping[str, Any]],
    measure: Measure = PSNR,
    width: float = WIDE,
) -> Figure:
    """Draws rate and distortion, means over the records' pictures: each quality in each form, beside other codecs.

    measured: curves on the same pictures, by codec in BASELINES. published: the curves of
    `facts.published_curves` to draw; one without the measure is left out. Raw buffers have their own panel, with
    its own scale. width: of the figure, in inches; one narrower than WIDE has its legends below each other.
    """
    mean = _means(records, measure)
    wide = width >= WIDE
    drawn = {name: curve for name, curve in published.items() if measure.published in curve}
    below = LINE * (2 + max(len(FORMS), len(drawn))) if wide else LINE * (5 + len(FORMS) + len(measured))
    figure = Figure(figsize=(width, 5.2 + below), layout="constrained")
    panels = figure.subplot_mosaic(
        [["near", "far"], ["legend", "legend"]],
        width_ratios=(width, 1),
        height_ratios=(5.2, below),
    )
    near, far, legends = panels.values()
    far.sharey(near)
    own: list[Line2D] = []
    for form in FORMS:
        axes = far if form.rate == "bpp_buffer_raw" else near
        for members in families(mean):
            points = [(mean[model][form.rate], mean[model][form.loop]) for model in members]
            line = _curve(axes, points, form.name, {"markersize": 6, **form.look})
        own.append(line)
    several = len(families(mean)) > 1
    for model, m in mean.items():
        for axes in (near, far):
            axes.hlines(m[OPEN], m["bpp_theoretical"], m["bpp_buffer_raw"], color=RULE, zorder=0)
        name = model if several else family(model)[1] or model
        at = m["bpp_buffer_zlib"], m[OPEN]
        near.annotate(name, at, (0, 6), textcoords="offset points", ha="center", fontweight="bold")
    here = [
        _curve(near, [(point.bpp, _height(getattr(point, measure.field), measure)) for point in points], codec,
               BASELINES[codec])
        for codec, points in measured.items()
    ]  # fmt: skip
    known = [
        _curve(near, list(zip(curve["bpp"], map(measure.height, curve[measure.published]), strict=True)),
               *PUBLISHED[name])
        for name, curve in drawn.items()
    ]  # fmt: skip
    _frame_staircase(near, far, mean, measure.label)
    legends.set_axis_off()
    titles = ("these models", "same pictures, Pillow", "published, Kodak mean")
    places = ((0, 1), (1 / 3, 1), (2 / 3, 1)) if wide else ((-0.15, 1), (-0.15, 0.4), (0.45, 1))
    for at, title, lines in zip(places, titles, (own, here, known), strict=True):
        if lines:
            names = [str(line.get_label()) for line in lines]
            legend = Legend(
                legends, lines, names, title=title, alignment="left", loc="upper left", bbox_to_anchor=at
            )
            legend.get_title().set_fontweight("bold")
            legends.add_artist(legend)
    return figure


def families(models: Iterable[str]) -> list[list[str]]:
    """Groups of models, one for each curve: a family, or a single model whose name has no quality."""
    result: dict[str, list[str]] = {}
    for model in models:
        result.setdefault(family(model)[0], []).append(model)
    return list(result.values())


def _means(records: Sequence[Record], measure: Measure) -> dict[str, dict[str, float]]:
    """By model the mean rates in bits per pixel, and the distortion in dB of each loop."""
    result = {}
    for row in means(records):
        values: dict[str, Any] = {form.rate: row[form.rate] for form in FORMS}
        values |= {loop: _height(row[measure.field + loop], measure) for loop in (CLOSED, OPEN)}
        result[str(row["model"])] = values
    return result


def _height(value: Any, measure: Measure) -> float:
    """In dB. What is infinite or None becomes NaN, which isn't drawn."""
    height = math.nan if value is None else measure.height(value)
    return height if math.isfinite(height) else math.nan


def _curve(axes: Axes, points: Sequence[tuple[float, float]], label: str, look: Mapping[str, Any]) -> Line2D:
    line: Line2D
    (line,) = axes.plot(*zip(*points, strict=True), label=label, **{"linewidth": 1.4, **look})
    return line


def _frame_staircase(near: Axes, far: Axes, mean: Mapping[str, Mapping[str, float]], label: str) -> None:
    """Draws the scales and the break between the panels. All our points fit, with other codecs' points nearby."""
    right = 1.12 * max(m["bpp_buffer_zlib"] for m in mean.values())
    heights = [m[loop] for m in mean.values() for loop in (CLOSED, OPEN)]
    bottom = np.nanmin([*heights, 60]) - 2.5
    top = np.nanmax([*heights, bottom]) + 4.5
    near.set(xlim=(0, right), ylim=(bottom, top), xlabel="rate / bpp", ylabel=label)
    raw = [m["bpp_buffer_raw"] for m in mean.values()]
    far.set(xlim=(0.9 * min(raw), 1.1 * max(raw)), xticks=sorted({round(min(raw), 2), round(max(raw), 2)}))
    far.tick_params(axis="y", left=False, labelleft=False)
    far.spines["left"].set_visible(False)
    for axes, side in ((near, 1), (far, 0)):
        axes.grid(axis="both" if axes is near else "y")
        # the axis is broken: a slanted stroke at both ends of the gap
        axes.plot([side], [0], transform=axes.transAxes, marker=[(-0.5, -1), (0.5, 1)], markersize=9, color=QUIET,
                  linestyle="none", clip_on=False)  # fmt: skip
