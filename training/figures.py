"""The figures of the model card: losses over the steps of training, and the ladders among published codecs."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mbtref.workbench.look import BLUE, GREEN, GREY, ORANGE, PURPLE, styled
from mbtref.workbench.records import family
from mbtref.workbench.staircase import PUBLISHED as LOOKS
from training.entries import PUBLISHED, Curves, Entry, ladders, points, published

QUALITIES = {"q3": ORANGE, "q4": GREEN, "q5": PURPLE, "q6": BLUE}
"""The colour of each quality over the steps."""
LINES = ("--", "-")
"""The line of each ladder, in their order, and again from the first."""
HIGHEST = 1.05
"""The highest rate that is drawn, in bpp."""
SMOOTHING = 40
"""A point over the steps is the mean of this many lines of the log: crops differ more than training gains."""


def smooth(values: Sequence[float]) -> list[float]:
    """Mean of each value and up to SMOOTHING - 1 before it."""
    return [float(np.mean(values[max(0, i + 1 - SMOOTHING) : i + 1])) for i in range(len(values))]


@styled
def training_figure(entries: Sequence[Entry]) -> Figure:
    """PSNR and rate of the noisy pass over the steps of training, one line for each model."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for dashes, ladder in zip(cycle(LINES), ladders(entries).values(), strict=False):
        for entry in ladder:
            style = {"color": QUALITIES.get(family(entry.name)[1], GREY), "linestyle": dashes, "linewidth": 1.4}
            steps = [line["step"] for line in entry.log]
            left.plot(steps, smooth([line["psnr"] for line in entry.log]), label=entry.name, **style)
            right.plot(steps, smooth([line["bpp_y"] + line["bpp_z"] for line in entry.log]), **style)
    left.set(xlabel="step", ylabel="PSNR of the training crops, dB")
    right.set(xlabel="step", ylabel="rate of the training crops, bpp")
    for axes in (left, right):
        axes.grid()
    left.legend(ncols=2)
    return figure


@styled
def kodak_figure(entries: Sequence[Entry], curves: Curves) -> Figure:
    """PSNR over rate of the ladders' bitstreams and of published codecs, Kodak means."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    lowest = min(entry.means["psnr_bitstream"] for entry in entries)
    for key, name in PUBLISHED.items():
        bpp, psnr = published(curves[key])
        shown = (bpp <= HIGHEST) & (psnr >= lowest - 3)
        axes.plot(bpp[shown], psnr[shown], marker=".", label=name, **LOOKS[key][1])
    for dashes, (name, ladder) in zip(cycle(LINES), ladders(entries).items(), strict=False):
        bpp, psnr = points(ladder)
        axes.plot(bpp, psnr, color=BLUE, linestyle=dashes, marker="o", linewidth=2, label=f"mbtref, {name}")
        for entry in ladder:
            place = (entry.means["bpp_bitstream"], entry.means["psnr_bitstream"])
            axes.annotate(
                family(entry.name)[1], place, (-4, 7), textcoords="offset points", color=BLUE, ha="right"
            )
    axes.set(xlabel="rate of the stream, bpp", ylabel="PSNR, dB")
    axes.grid()
    axes.legend(loc="upper left", handlelength=4)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG on white, the same bytes each time."""
    figure.savefig(path, dpi=120, facecolor="white", metadata={"Software": None})
