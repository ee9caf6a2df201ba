"""The figures of the model card: training over its steps, and the shipped models among published codecs."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from mbtref.workbench import labels
from mbtref.workbench.labels import Label
from mbtref.workbench.look import BLUE, Chart, styled
from mbtref.workbench.records import family
from mbtref.workbench.staircase import PUBLISHED as LOOKS
from training.entries import PUBLISHED, Curve, Entry, curve, series

LINES = ("--", "-")
"""The line of each series, in their order, and again from the first."""
HIGHEST = 1.05
"""The highest rate that is drawn, in bpp."""


@styled
def training_figure(entries: Sequence[Entry]) -> Chart:
    """PSNR and rate of the noisy pass over the steps of training, one line for each model."""
    by_series = series(entries)
    figure = Chart(figsize=(8, 3.2 * len(by_series)), layout="constrained")
    for (left, right), models in zip(
        figure.subplots(len(by_series), 2, squeeze=False), by_series.values(), strict=True
    ):
        for entry in models:
            steps = [row["step"] for row in entry.log]
            for axes, measure in ((left, "psnr"), (right, "bpp")):
                axes.plot(steps, [row[measure] for row in entry.log], color=BLUE, linewidth=1.4, label=entry.name)
        left.set(xlabel="step", ylabel="PSNR of the training crops, dB")
        right.set(xlabel="step", ylabel="rate of the training crops, bpp")
    labels.laid_out(figure)
    for axes in figure.axes:
        axes.grid()
        labels.place(axes, [labels.of_line(axes, line) for line in axes.lines])
    return figure


@styled
def kodak_figure(entries: Sequence[Entry], curves: Mapping[str, Curve]) -> Chart:
    """PSNR over rate of each series' bitstreams and of published codecs, Kodak means."""
    figure = Chart(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    lowest = min(psnr for _, psnr in (entry.point for entry in entries))
    for key, name in PUBLISHED.items():
        bpp, psnr = curves[name]
        shown = (bpp <= HIGHEST) & (psnr >= lowest - 3)
        axes.plot(bpp[shown], psnr[shown], marker=".", label=name, **LOOKS[key][1])
    for dashes, (name, models) in zip(cycle(LINES), series(entries).items(), strict=False):
        own = curve(entry.point for entry in models)
        axes.plot(*own, color=BLUE, linestyle=dashes, marker="o", linewidth=2, label=f"mbtref, {name}")
    axes.set(xlabel="rate of the stream, bpp", ylabel="PSNR, dB")
    axes.grid()
    labels.laid_out(figure)
    points = [
        Label(family(entry.name)[1], axes.transData.transform([entry.point]), {"color": BLUE}) for entry in entries
    ]
    labels.place(axes, [*points, *(labels.of_line(axes, line) for line in axes.lines)])
    return figure
