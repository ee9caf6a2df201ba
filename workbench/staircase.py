"""The staircase: a quality's rate as estimate, file, deflated and raw latent buffer, beside other codecs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from mbtref.workbench.baselines import Point
from mbtref.workbench.look import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, QUIET, RED, RULE, SKY, styled
from mbtref.workbench.records import Record, family, means

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
"""Names in `facts.published_curves`, with their labels and looks in the figure."""


@styled
def staircase(
    records: Sequence[Record],
    measured: Mapping[str, Sequence[Point]],
    published: Mapping[str, Mapping[str, Any]],
) -> Figure:
    """Draws rate and PSNR, means over the records' pictures: each quality in each form, beside other codecs.

    measured: curves on the same pictures, by codec in BASELINES. published: the curves of
    `facts.published_curves` to draw. Raw buffers have their own panel, with its own scale.
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
        for members in families(mean):
            points = [(mean[model][form.rate], mean[model][form.psnr]) for model in members]
            line = _curve(axes, points, form.name, {"markersize": 6, **form.look})
        own.append(line)
    several = len(families(mean)) > 1
    for model, m in mean.items():
        for axes in (near, far):
            axes.hlines(m["psnr"], m["bpp_theoretical"], m["bpp_buffer_raw"], color=RULE, zorder=0)
        name = model if several else family(model)[1] or model
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


def families(models: Iterable[str]) -> list[list[str]]:
    """Groups of models, one for each curve: a family, or a single model whose name has no quality."""
    result: dict[str, list[str]] = {}
    for model in models:
        result.setdefault(family(model)[0], []).append(model)
    return list(result.values())


def _means(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean rates and PSNRs by model. An infinite PSNR becomes NaN, which isn't drawn."""
    fields = {name for form in FORMS for name in (form.rate, form.psnr)}
    return {
        str(row["model"]): {name: math.nan if (value := row[name]) is None else float(value) for name in fields}
        for row in means(records)
    }


def _curve(axes: Axes, points: Sequence[tuple[float, float]], label: str, look: Mapping[str, Any]) -> Line2D:
    line: Line2D
    (line,) = axes.plot(*zip(*points, strict=True), label=label, **{"linewidth": 1.4, **look})
    return line


def _frame_staircase(near: Axes, far: Axes, mean: Mapping[str, Mapping[str, float]]) -> None:
    """Draws the scales and the break between the panels. All our points fit, with other codecs' points nearby."""
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
