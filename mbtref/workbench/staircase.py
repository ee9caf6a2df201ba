"""The staircase: a quality's rate as estimate, file, deflated and raw latent buffer, beside other codecs."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mbtref.suite.msssim import decibels
from mbtref.suite.reports.markup import plain
from mbtref.workbench import labels
from mbtref.workbench.baselines import Point
from mbtref.workbench.labels import Label
from mbtref.workbench.look import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, QUIET, RED, RULE, WIDE, Chart, styled
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
        {"color": BLUE, "marker": "s", "linestyle": "--", "fillstyle": "none", "markersize": 9},
    ),
    Form("zlib buffer", "bpp_buffer_zlib", OPEN, {"color": RED, "marker": "D"}),
    Form("raw buffer", "bpp_buffer_raw", OPEN, {"color": RED, "marker": "^"}),
)  # fmt: skip
BASELINES: dict[str, Look] = {"JPEG": {"color": GREEN, "marker": "."}, "WebP": {"color": PURPLE, "marker": "."}}
PUBLISHED: dict[str, tuple[str, Look]] = {
    "mbt2018-compressai-cpu": ("mbt2018, CompressAI", {"color": BLUE, "linestyle": ":"}),
    "mbt2018-compressai-cuda": ("mbt2018, CompressAI on CUDA", {"color": BLUE, "linestyle": (0, (1, 3))}),
    "mbt2018-paper": ("mbt2018, paper", {"color": BLUE, "linestyle": (0, (6, 2, 1, 2))}),
    "mbt2018-compressai-msssim-cpu": ("mbt2018 for MS-SSIM", {"color": BLUE, "linestyle": ":"}),
    "bmshj2018-factorized-paper": ("bmshj2018-factorized", {"color": ORANGE, "linestyle": ":"}),
    "vtm": ("VTM", {"color": INK, "linestyle": ":"}),
    "bpg444": ("BPG 4:4:4", {"color": GREY, "linestyle": ":"}),
    "webp": ("WebP, published", {"color": PURPLE, "linestyle": ":"}),
    "jpeg": ("JPEG, published", {"color": GREEN, "linestyle": ":"}),
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


@styled
def staircase(
    records: Sequence[Record],
    measured: Mapping[str, Sequence[Point]],
    published: Mapping[str, Mapping[str, Any]],
    measure: Measure = PSNR,
    width: float = WIDE,
) -> Chart:
    """Draws rate and distortion, means over the records' pictures: each quality in each form, beside other codecs.

    measured: curves on the same pictures, by codec in BASELINES. published: the curves of
    `facts.published_curves` to draw; one without the measure is left out. Raw buffers have their own panel, with
    its own scale. width: of the figure, in inches.
    """
    rows = {row["model"]: _in_db(row, measure) for row in means(records)}
    figure = Chart(figsize=(width, 5.2 if width >= WIDE else 6.5), layout="constrained")
    near, far = figure.subplots(1, 2, sharey=True, width_ratios=(width, 1))
    lines = _draw_models(near, far, rows)
    for codec, points in measured.items():
        heights = [(p.bpp, measure.height(getattr(p, measure.field))) for p in points]
        lines.append(_curve(near, heights, codec, BASELINES[codec]))
    for name, curve in published.items():
        if measure.published in curve:
            known = zip(curve["bpp"], map(measure.height, curve[measure.published]), strict=True)
            lines.append(_curve(near, known, *PUBLISHED[name]))
    _frame(near, far, rows.values(), measure.label)
    labels.laid_out(figure)
    labels.place(near, [*_names(near, rows), *(labels.of_line(near, line) for line in lines)])
    return figure


def _in_db(row: Mapping[str, Any], measure: Measure) -> dict[str, float]:
    """The mean rates of a model in bits per pixel, by the fields of `Record`, and the distortion of each loop."""
    rates = {form.rate: row[form.rate] for form in FORMS}
    return rates | {loop: measure.height(row[measure.field + loop]) for loop in (CLOSED, OPEN)}


def _draw_models(near: Axes, far: Axes, rows: Mapping[str, Mapping[str, float]]) -> list[Line2D]:
    """Draws each form's curves, one for each family, and a grey line for each model.

    Returns one curve of each form on the left; the form on the right is the title there.
    """
    families: dict[str, list[str]] = {}
    for model in rows:
        families.setdefault(family(model)[0], []).append(model)
    named = []
    for form in FORMS:
        axes = far if form.rate == "bpp_buffer_raw" else near
        for members in families.values():
            points = [(rows[model][form.rate], rows[model][form.loop]) for model in members]
            line = _curve(axes, points, form.name, {"markersize": 6, **form.look})
        if axes is near:
            named.append(line)
        else:
            axes.set_title(form.name, color=form.look["color"], fontsize=9, fontweight="normal")
    for row in rows.values():
        for axes in (near, far):
            axes.plot((row["bpp_theoretical"], row["bpp_buffer_raw"]), [row[OPEN]] * 2, color=RULE, zorder=0)
    return named


def _names(near: Axes, rows: Mapping[str, Mapping[str, float]]) -> Iterator[Label]:
    """The models' names at the points of their deflated buffers: the first of several families wholly."""
    seen = set()
    several = len({family(model)[0] for model in rows}) > 1
    for model, row in rows.items():
        name, quality = family(model)
        whole = not quality or (several and name not in seen)
        seen.add(name)
        at = near.transData.transform([(row["bpp_buffer_zlib"], row[OPEN])])
        if np.isfinite(at).all():
            yield Label(plain(model if whole else quality), at, {"fontweight": "bold"})


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
