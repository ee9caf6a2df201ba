"""One self-contained page of everything that is measured: figures, staircase, tables. Nothing outside it is named.

A picture with all its figures weighs one to two megabytes a model, mostly the residuals, which are kept without
loss. So the figures stop when a limit is passed, and the page says so; the tables always hold every picture.
"""

import contextlib
import math
import os
import platform
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import torch
from matplotlib.figure import Figure

from mbtref import image
from mbtref.errors import BitstreamError
from mbtref.model import STRIDE_Y
from mbtref.tools import baselines, figures
from mbtref.tools.analysis import Analysis, analyse
from mbtref.tools.baselines import Point
from mbtref.tools.evaluate import Record, evaluate, means
from mbtref.tools.facts import published_curves
from mbtref.weights import Model

Row = Mapping[str, Any]
"""A record, or a mean of them, by the names of `Record`."""

CURVES = ("mbt2018-compressai-cpu", "vtm", "bpg444", "webp", "jpeg")
"""The published curves that are drawn if none are chosen."""


class Column(NamedTuple):
    """A column of the tables. value gives None for what is infinite."""

    head: str
    unit: str
    form: str
    value: Callable[[Row], float | None]


def over_theoretical(row: Row) -> float:
    """How much more the bitstream takes than the forward pass estimates, in percent."""
    over: float = 100 * (row["bpp_bitstream"] / row["bpp_theoretical"] - 1)
    return over


COLUMNS = (
    Column("bitstream", "bpp", "{:.4f}", lambda row: row["bpp_bitstream"]),
    Column("bitstream", "PSNR / dB", "{:.2f}", lambda row: row["psnr_bitstream"]),
    Column("theoretical", "bpp", "{:.4f}", lambda row: row["bpp_theoretical"]),
    Column("theoretical", "PSNR / dB", "{:.2f}", lambda row: row["psnr"]),
    Column("over theoretical", "%", "{:+.2f}", over_theoretical),
    Column("zlib buffer", "bpp", "{:.4f}", lambda row: row["bpp_buffer_zlib"]),
    Column("raw buffer", "bpp", "{:.4f}", lambda row: row["bpp_buffer_raw"]),
    Column("encode", "s", "{:.2f}", lambda row: row["encode_seconds"]),
    Column("decode", "s", "{:.2f}", lambda row: row["decode_seconds"]),
)


class Shown(NamedTuple):
    """A figure on the page."""

    source: str
    """A data URI."""
    text: str
    """What it shows, for those who don't see it."""
    caption: str
    across: int = 1
    """How many pictures stand side by side in it."""


@dataclass
class Report:
    """What the page is made of."""

    records: list[Record] = field(default_factory=list)
    figures: dict[str, dict[str, list[Shown]]] = field(default_factory=dict)
    """By picture and model, as far as the limit goes."""
    curves: dict[str, list[list[Point]]] = field(default_factory=dict)
    """By codec of `baselines`, one for each picture."""
    left_out: list[str] = field(default_factory=list)
    """One line for each picture that couldn't be measured."""


def add_picture(
    report: Report, path: Path, models: Sequence[Model], limit: int, step: Callable[[], object]
) -> None:
    """Measures one picture at all models, or leaves it out with a line.

    limit: bytes of figures after which no more are made. step: called after each model.
    """
    drawn: dict[str, list[Shown]] = {}
    full = limit <= sum(len(s.source) for p in report.figures.values() for shown in p.values() for s in shown)
    try:
        picture = image.read(path)
        records = []
        for model in models:
            if full:
                records.append(evaluate(model, picture, path.name))
            else:
                analysis = analyse(model, picture, path.name)
                records.append(analysis.record)
                drawn[model.name] = draw(analysis)
            step()
        curves = {codec: baselines.curve(picture, codec) for codec in baselines.QUALITIES}
    except (ValueError, OSError, BitstreamError) as error:
        report.left_out.append(f"{path.name}: {error}")
        return
    report.records += records
    if drawn:
        report.figures[path.name] = drawn
    for codec, curve in curves.items():
        report.curves.setdefault(codec, []).append(curve)


def draw(a: Analysis) -> list[Shown]:
    """All figures of one picture at one model."""
    r = a.record
    name = f"{r.image} at {r.model}"
    return [
        shown(
            figures.comparison(a),
            f"Original, reconstruction and residual of {name}",
            "The forward pass: open-loop latents, float x_hat clamped to [0, 1].",
            across=3,
        ),
        shown(
            figures.bit_map(a),
            f"Map of the bits that the stream of {name} spends",
            f"The cost of every coding step of the closed-loop stream: all channels of y, and z spread over "
            f"the blocks that it serves. With header and coder state the file has {r.bpp_bitstream:.4f} bpp.",
            across=2,
        ),
        shown(
            figures.loop_difference(a),
            f"Decoded bitstream of {name} and where it differs from the forward pass",
            "A stream carries round(y − mu) + mu, the forward pass decodes round(y): two pictures, both right.",
            across=2,
        ),
        shown(
            figures.channel_rates(a),
            f"Bar chart of the rate of every channel of y for {name}",
            f"Estimated from the likelihoods of the forward pass. z costs {r.bpp_z:.4f} bpp more.",
        ),
        shown(
            figures.mosaic(a),
            f"Mosaic of the latents of {name}",
            f"Open-loop latents; one of them stands for {STRIDE_Y}×{STRIDE_Y} pixels.",
        ),
    ]


def shown(figure: Figure, text: str, caption: str, across: int = 1) -> Shown:
    """A figure, ready for the page."""
    source = "data:image/svg+xml," + urllib.parse.quote(figures.svg(figure), safe=" =:/+,;()")
    return Shown(source, text, caption, across)


def page(report: Report, models: Sequence[Model], curves: Sequence[str], command: str) -> str:
    """The page. curves: the published ones to be drawn, names in `facts.published_curves`. command: what made it.

    Raises ValueError if there are no records.
    """
    if not report.records:
        raise ValueError("no picture could be measured: " + "; ".join(report.left_out))
    measured = {codec: baselines.mean_curve(each) for codec, each in report.curves.items()}
    published = {name: published_curves()[name] for name in curves}
    rows = [asdict(record) for record in report.records]
    pictures = list(dict.fromkeys(record.image for record in report.records))
    template = resources.files("mbtref") / "data" / "report.html"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    return environment.from_string(template.read_text("utf-8")).render(
        title=f"mbt2018: {pictures[0] if len(pictures) == 1 else f'{len(pictures)} pictures'}",
        columns=COLUMNS,
        means=[(row, cells(row)) for row in means(report.records)],
        records=[(row, cells(row)) for row in rows],
        staircase=shown(
            figures.staircase(report.records, measured, published),
            "Rate and PSNR of the models and of other codecs; the summary holds the numbers",
            "",
        ),
        sources=[(figures.PUBLISHED[name][0], curve["source"]) for name, curve in published.items()],
        pictures=report.figures,
        without_figures=len(pictures) - len(report.figures),
        reduction=figures.reduction,
        by_name={(row["image"], row["model"]): row for row in rows},
        left_out=report.left_out,
        models=models,
        machine=machine(),
        command=command,
    )


def cells(row: Row) -> list[tuple[str, float]]:
    """A row of a table: what is shown and by what it is sorted."""
    values = [(column.form, column.value(row)) for column in COLUMNS]
    return [
        ("∞", math.inf) if value is None else (form.format(value).replace("-", "−"), value)
        for form, value in values
    ]


def machine() -> dict[str, str]:
    """What the times were measured on, and with which versions."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("mbtref", "torch", "numpy", "pillow", "matplotlib"):
        with contextlib.suppress(metadata.PackageNotFoundError):  # mbtref may be run from its folder
            versions.append(f"{name} {metadata.version(name)}")
    cores = f"{os.cpu_count()} cores, torch on {torch.get_num_threads()} of them"
    return {
        "machine": f"{platform.system()} on {platform.machine()}, {cores}",
        "versions": ", ".join(versions),
    }
