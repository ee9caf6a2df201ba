"""The staircase: a quality's rate as estimate, file, deflated and raw latent buffer, beside other codecs."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from mbtref.suite.msssim import decibels
from mbtref.suite.reports.markup import plain
from mbtref.workbench.baselines import Point
from mbtref.workbench.look import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, QUIET, RED, RULE, SKY, WIDE, styled
from mbtref.workbench.records import Record, family, means

Look = dict[str, Any]
"""Arguments of `Axes.plot`."""

CLOSED, OPEN = "_bitstream", ""
"""What the fields of `Record` for a distortion end in, closed-loop and open-loop."""


class Form(NamedTuple):
    """A form in which latents are kept: a step of the staircase."""

    name: str
    rate: str
    """A field of `Record`."""
    loop: str
    """Of its distortion: CLOSED or OPEN."""
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
    """Of `Point`; of `Record`, with CLOSED or OPEN after it."""
    published: str
    """Of a curve of `facts.published_curves`."""
    decibels: Callable[[float], float]

    def height(self, value: float | None) -> float:
        """In dB. What is infinite or None becomes NaN, which isn't drawn."""
        height = math.nan if value is None else self.decibels(value)
        return height if math.isfinite(height) else math.nan


PSNR = Measure("PSNR, RGB / dB", "psnr", "psnr-rgb", float)
MS_SSIM = Measure("MS-SSIM, RGB / dB of the mean", "msssim", "ms-ssim-rgb", decibels)

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
    rows = {row["model"]: _in_db(row, measure) for row in means(records)}
    drawn = {name: curve for name, curve in published.items() if measure.published in curve}
    wide = width >= WIDE
    below = LINE * (2 + max(len(FORMS), len(drawn)) if wide else 5 + len(FORMS) + len(measured))
    figure = Figure(figsize=(width, 5.2 + below), layout="constrained")
    panels = figure.subplot_mosaic(
        [["near", "far"], ["legend", "legend"]], width_ratios=(width, 1), height_ratios=(5.2, below)
    )
    near, far, legends = panels.values()
    far.sharey(near)
    own = _draw_models(near, far, rows)
    here = [
        _curve(near, [(p.bpp, measure.height(getattr(p, measure.field))) for p in points], codec, BASELINES[codec])
        for codec, points in measured.items()
    ]
    known = []
    for name, curve in drawn.items():
        heights = map(measure.height, curve[measure.published])
        known.append(_curve(near, zip(curve["bpp"], heights, strict=True), *PUBLISHED[name]))
    _frame(near, far, rows.values(), measure.label)
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


def _in_db(row: Mapping[str, Any], measure: Measure) -> dict[str, float]:
    """The mean rates of a model in bits per pixel, by the fields of `Record`, and the distortion of each loop."""
    rates = {form.rate: row[form.rate] for form in FORMS}
    return rates | {loop: measure.height(row[measure.field + loop]) for loop in (CLOSED, OPEN)}


def _draw_models(near: Axes, far: Axes, rows: Mapping[str, Mapping[str, float]]) -> list[Line2D]:
    """Draws each form's curves, one for each family, and a grey line for each model. Returns one curve a form.

    A model is named by its quality, and the first of several families wholly, below or above its point in turn.
    """
    families: dict[str, list[str]] = {}
    for model in rows:
        families.setdefault(family(model)[0], []).append(model)
    lines = []
    for form in FORMS:
        axes = far if form.rate == "bpp_buffer_raw" else near
        for members in families.values():
            points = [(rows[model][form.rate], rows[model][form.loop]) for model in members]
            line = _curve(axes, points, form.name, {"markersize": 6, **form.look})
        lines.append(line)
    for n, members in enumerate(families.values()):
        whole = len(families) > 1
        for model in members:
            row, quality = rows[model], family(model)[1]
            for axes in (near, far):
                axes.hlines(row[OPEN], row["bpp_theoretical"], row["bpp_buffer_raw"], color=RULE, zorder=0)
            name = plain(model if whole or not quality else quality)
            at, beside = (row["bpp_buffer_zlib"], row[OPEN]), (0, 6 if n % 2 else -14)
            near.annotate(name, at, beside, textcoords="offset points", ha="center", fontweight="bold")
            whole = False
    return lines


def _curve(axes: Axes, points: Iterable[tuple[float, float]], label: str, look: Look) -> Line2D:
    (line,) = axes.plot(*zip(*points, strict=True), label=label, **{"linewidth": 1.4, **look})
    return line


def _frame(near: Axes, far: Axes, rows: Collection[Mapping[str, float]], label: str) -> None:
    """Draws the scales and the break between the panels. All our points fit, with other codecs' points nearby."""
    heights = [row[loop] for row in rows for loop in (CLOSED, OPEN)]
    bottom = np.nanmin([*heights, 60]) - 2.5
    top = np.nanmax([*heights, bottom]) + 4.5
    right = 1.12 * max(row["bpp_buffer_zlib"] for row in rows)
    near.set(xlim=(0, right), ylim=(bottom, top), xlabel="rate / bpp", ylabel=label)
    raw = [row["bpp_buffer_raw"] for row in rows]
    far.set(xlim=(0.9 * min(raw), 1.1 * max(raw)), xticks=sorted({round(min(raw), 1), round(max(raw), 1)}))
    far.tick_params(axis="y", left=False, labelleft=False)
    far.spines["left"].set_visible(False)
    near.grid()
    far.grid(axis="y")
    for axes, side in ((near, 1), (far, 0)):
        # the axis is broken: a slanted stroke at both ends of the gap
        axes.plot([side], [0], transform=axes.transAxes, marker=[(-0.5, -1), (0.5, 1)], markersize=9, color=QUIET,
                  linestyle="none", clip_on=False)  # fmt: skip
