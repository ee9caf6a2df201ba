"""One self-contained page of all measurements: figures, staircase, tables. It names nothing outside itself.

The figures of a Kodak picture take more than half a megabyte for each model, mostly for the residuals, which are
kept without loss. So a page above a limit gets no more figures, and says so. The tables always hold every picture.
"""

import contextlib
import functools
import os
import platform
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path
from typing import NamedTuple

import jinja2
import torch
from matplotlib.figure import Figure

from mbtref.bitstream import STRIDE_Y
from mbtref.model import Model
from mbtref.suite.reports.markup import plain
from mbtref.workbench import baselines, figures, look, picturefiles, tables
from mbtref.workbench.analysis import Analysis, analyse
from mbtref.workbench.baselines import Point
from mbtref.workbench.evaluate import evaluate
from mbtref.workbench.facts import published_curves
from mbtref.workbench.figures import Panel
from mbtref.workbench.machine import processor
from mbtref.workbench.quiet import quiet
from mbtref.workbench.records import Record, means, of_kodak
from mbtref.workbench.staircase import MS_SSIM, PSNR, PUBLISHED, staircase

CURVES = ("mbt2018-compressai-cpu", "mbt2018-compressai-msssim-cpu", "vtm", "bpg444", "webp", "jpeg")
"""The published curves that are drawn by default."""


class Chart(NamedTuple):
    """A chart on the page, drawn twice."""

    wide: str
    narrow: str
    """Data URIs: for wide screens and for phones."""
    text: str
    """A description, for readers who can't see the chart."""
    caption: str


class Panels(NamedTuple):
    """Panels side by side on the page, or one below the other on a phone."""

    panels: Sequence[Panel]
    caption: str
    with_original: bool = True
    """Whether the original comes first. The page holds it once for all rows."""


class Picture(NamedTuple):
    """The results of one picture on the page."""

    records: list[Record]
    """One for each model."""
    original: Panel | None
    """None without figures."""
    figures: list[list[Panels | Chart]]
    """One list for each model, or empty."""
    curves: dict[str, list[Point]]
    """By codec of `baselines`."""

    @property
    def size(self) -> int:
        """Bytes of the figures."""
        drawn = [each for by_model in self.figures for each in by_model]
        charts = sum(len(each.wide) + len(each.narrow) for each in drawn if isinstance(each, Chart))
        panels = [panel for each in drawn if isinstance(each, Panels) for panel in each.panels]
        return charts + sum(len(panel.source) for panel in (self.original, *panels) if panel)


def measure(path: Path, models: Sequence[Model], with_figures: bool, step: Callable[[str], object]) -> Picture:
    """Measures a picture file at all models. step: called after each model, with the file's name.

    Raises ValueError, OSError or BitstreamError if it can't be read or coded.
    """
    with quiet():
        pixels = picturefiles.read(path)
    original = figures.original(pixels) if with_figures else None
    picture = Picture([], original, [], baselines.curves(pixels))
    for model in models:
        if with_figures:
            analysis = analyse(model, pixels, plain(path.name))
            picture.records.append(analysis.record)
            picture.figures.append(draw(analysis))
        else:
            picture.records.append(evaluate(model, pixels, plain(path.name)))
        step(plain(path.name))
    return picture


def draw(a: Analysis) -> list[Panels | Chart]:
    """All figures of one picture at one model."""
    r = a.record
    return [
        Panels(
            figures.comparison(a),
            "The forward pass: open-loop latents, x_hat clamped to [0, 1]; the residual is of 8-bit levels.",
        ),
        Panels(
            figures.bit_map(a),
            f"The cost of every coding step of the closed-loop stream: all channels of y, and z spread over "
            f"the blocks that it serves. With header and coder state the file has {r.bpp_bitstream:.4f} bpp.",
        ),
        Panels(
            figures.loop_difference(a),
            "A stream carries round(y − mu) + mu, the forward pass decodes round(y): two pictures, both right.",
            with_original=False,
        ),
        chart(
            functools.partial(figures.channel_rates, a),
            f"Bar chart of the rate of every channel of y for {r.image} at {r.model}",
            f"Estimated from the likelihoods of the forward pass. z costs {r.bpp_z:.4f} bpp more.",
        ),
        Panels(
            figures.mosaic(a),
            f"Open-loop latents; one of them stands for {STRIDE_Y}×{STRIDE_Y} pixels.",
            with_original=False,
        ),
    ]


def chart(figure: Callable[[float], Figure], text: str, caption: str = "") -> Chart:
    """A chart, ready for the page. figure: draws it, for a width in inches."""
    wide, narrow = ("data:image/svg+xml," + urllib.parse.quote(look.svg(figure(width)), safe="=:/+,;()")
                    for width in (look.WIDE, look.NARROW))  # fmt: skip
    return Chart(wide, narrow, text, caption)


def page(
    pictures: Sequence[Picture],
    left_out: Sequence[str],
    models: Sequence[Model],
    curves: Sequence[str],
    command: str,
) -> str:
    """The page.

    pictures: one or more. left_out: a line for each picture that couldn't be measured. curves: names of the
    published curves to draw if the pictures are Kodak's, see `facts.published_curves`. command: the command line
    that made the page.
    """
    records = [record for picture in pictures for record in picture.records]
    measured = {
        codec: baselines.mean_curve([picture.curves[codec] for picture in pictures])
        for codec in baselines.QUALITIES
        if all(codec in picture.curves for picture in pictures)
    }
    published = {name: published_curves()[name] for name in curves} if of_kodak(records) else {}
    with_msssim = all(record.msssim is not None for record in records)
    template = resources.files("mbtref") / "workbench" / "data" / "report.html"
    environment = jinja2.Environment(
        autoescape=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(template.read_text("utf-8")).render(
        title=f"mbt2018: {records[0].image if len(pictures) == 1 else f'{len(pictures)} pictures'}",
        columns=tables.COLUMNS,
        groups=tables.groups(tables.COLUMNS),
        means=[(row, list(tables.cells(row))) for row in means(records)],
        records=[(record, list(tables.cells(asdict(record)))) for record in records],
        staircases=[
            chart(
                functools.partial(staircase, records, measured, published, one),
                f"{one.label} over the rate, of the models and of other codecs; the summary holds the numbers",
            )
            for one in ((PSNR, MS_SSIM) if with_msssim else (PSNR,))
        ],
        with_msssim=with_msssim,
        sources=[(PUBLISHED[name][0], curve["source"]) for name, curve in published.items()],
        pictures=pictures,
        reduction=figures.reduction,
        gradient=look.gradient,
        left_out=left_out,
        models=models,
        times=tables.machines(records),
        machine=machine(),
        command=command,
    )


def machine() -> dict[str, str]:
    """The machine on which times were measured, and the versions of the software."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("mbtref", "torch", "numpy", "pillow", "matplotlib"):
        with contextlib.suppress(metadata.PackageNotFoundError):  # mbtref may be run from its folder
            versions.append(f"{name} {metadata.version(name)}")
    cores = f"{os.cpu_count()} cores, torch on {torch.get_num_threads()} of them"
    machine = f"{platform.system()} on {platform.machine()}, {processor()}, {cores}"
    return {"machine": machine, "versions": ", ".join(versions)}
