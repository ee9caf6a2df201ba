"""The figures of the model card: training over its steps, and the shipped models among published codecs."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from mbtref.workbench.look import BLUE, GREEN, GREY, ORANGE, PURPLE, styled
from mbtref.workbench.records import family
from mbtref.workbench.staircase import PUBLISHED as LOOKS
from training.entries import PUBLISHED, Curve, Entry, curve, series

QUALITIES = {"q3": ORANGE, "q4": GREEN, "q5": PURPLE, "q6": BLUE}
"""The colour of each quality over the steps."""
LINES = ("--", "-")
"""The line of each series, in their order, and again from the first."""
HIGHEST = 1.05
"""The highest rate that is drawn, in bpp."""


@styled
def training_figure(entries: Sequence[Entry]) -> Figure:
    """PSNR and rate of the noisy pass over the steps of training, one line for each model."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for dashes, models in zip(cycle(LINES), series(entries).values(), strict=False):
        for entry in models:
            style = {"color": QUALITIES.get(family(entry.name)[1], GREY), "linestyle": dashes, "linewidth": 1.4}
            steps = [row["step"] for row in entry.log]
            left.plot(steps, [row["psnr"] for row in entry.log], label=entry.name, **style)
            right.plot(steps, [row["bpp"] for row in entry.log], **style)
    left.set(xlabel="step", ylabel="PSNR of the training crops, dB")
    right.set(xlabel="step", ylabel="rate of the training crops, bpp")
    for axes in (left, right):
        axes.grid()
    left.legend(ncols=2)
    return figure


@styled
def kodak_figure(entries: Sequence[Entry], curves: Mapping[str, Curve]) -> Figure:
    """PSNR over rate of each series' bitstreams and of published codecs, Kodak means."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    lowest = min(psnr for _, psnr in (entry.point for entry in entries))
    for key, name in PUBLISHED.items():
        bpp, psnr = curves[name]
        shown = (bpp <= HIGHEST) & (psnr >= lowest - 3)
        axes.plot(bpp[shown], psnr[shown], marker=".", label=name, **LOOKS[key][1])
    for dashes, (name, models) in zip(cycle(LINES), series(entries).items(), strict=False):
        own = curve(entry.point for entry in models)
        axes.plot(*own, color=BLUE, linestyle=dashes, marker="o", linewidth=2, label=f"mbtref, {name}")
        for entry in models:
            quality = family(entry.name)[1]
            axes.annotate(quality, entry.point, (-4, 7), textcoords="offset points", color=BLUE, ha="right")
    axes.set(xlabel="rate of the stream, bpp", ylabel="PSNR, dB")
    axes.grid()
    axes.legend(loc="upper left", handlelength=4)
    return figure
