"""Two evaluations side by side: model by model, and Bjøntegaard's differences curve by curve.

Models whose names differ only in the quality form a curve: lite-q3 … lite-q6 are the curve "lite". BD-rate is the
mean difference of log rate over the PSNR that both curves share. BD-PSNR is the mean difference of PSNR over the
rates that they share (Bjøntegaard, VCEG-M33, 2001). The interpolation is piecewise cubic, as in the common test
conditions of JVET. Negative BD-rate and positive BD-PSNR mean that the second evaluation is better.
"""

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from mbtref.suite.reports.markup import markdown
from mbtref.workbench import results
from mbtref.workbench.facts import published_curves
from mbtref.workbench.records import COMPARED, Record, family, means, of_kodak


class Mean(NamedTuple):
    """One model, on one picture or as a mean."""

    rate: float
    """Bits per pixel."""
    psnr: float
    """dB"""


NOTHING = Mean(math.nan, math.nan)
"""No difference can be computed."""
Curve = Mapping[str, Mean]
"""Points by quality, such as "q4"; those of a published curve by number."""


class Evaluation(NamedTuple):
    """A result of `mbtref eval`, or a published curve."""

    name: str
    means: Mapping[str, Curve]
    """Curves of the means, by name."""
    pictures: Mapping[str, Mapping[str, Curve]]
    """The curves of each picture, by the SHA-256 of its pixels; empty for a published curve."""
    of_kodak: bool
    """Whether every mean is over the 24 Kodak pictures, known by their pixels."""


def read(source: str, measure: str) -> Evaluation:
    """Reads a file of `mbtref eval --json`, or a published curve by its name. measure: one of COMPARED.

    Raises OSError, or ValueError if the source is neither, or if two of its models have one name.
    """
    published = published_curves()
    if source in published:
        rates, psnrs = published[source]["bpp"], published[source]["psnr-rgb"]
        points = {str(i): Mean(*pair) for i, pair in enumerate(zip(rates, psnrs, strict=True))}
        return Evaluation(source, {source: points}, {}, of_kodak=True)
    path = Path(source)
    if not (records := results.read(path)):
        absent = f"no such file, nor one of the published {', '.join(published)}"
        raise ValueError(f"{source}: {'no picture in it' if path.exists() else absent}")
    by_picture: dict[str, list[Record]] = {}
    models: dict[str, str] = {}
    for record in records:
        by_picture.setdefault(record.pixels, []).append(record)
        if models.setdefault(record.model, record.fingerprint) != record.fingerprint:
            raise ValueError(f"{source}: two models are called {record.model}; evaluate one of them anew")
    pictures = {pixels: curves(own, measure) for pixels, own in by_picture.items()}
    return Evaluation(path.name, curves(records, measure), pictures, of_kodak(records))


def curves(records: Sequence[Record], measure: str) -> dict[str, dict[str, Mean]]:
    """The curves of the records' means. A mean without PSNR, such as of a perfect copy, gives no point."""
    points: dict[str, dict[str, Mean]] = {}
    rate, psnr = COMPARED[measure]
    for entry in means(records):
        name, quality = family(entry["model"])
        if entry[psnr] is not None and entry[rate]:
            points.setdefault(name, {})[quality] = Mean(entry[rate], entry[psnr])
    return points


def pairs(a: Evaluation, b: Evaluation) -> list[tuple[str, str]]:
    """The pairs of curves to compare: those of one name, a published one and each other, or the only two.

    Raises ValueError if there are none.
    """
    if both := [(name, name) for name in a.means if name in b.means]:
        return both
    if not (a.pictures and b.pictures) or len(a.means) == len(b.means) == 1:
        return list(itertools.product(a.means, b.means))
    names = ", ".join(f"{one.name} has {', '.join(one.means) or 'none'}" for one in (a, b))
    raise ValueError(f"no curve in common: {names}; evaluate the same models")


def bjontegaard(a: Curve, b: Curve) -> Mean:
    """BD-rate as a fraction and BD-PSNR in dB of b against a.

    NaN if a curve has fewer than two points or doesn't rise, or if the curves share no range of PSNR. BD-PSNR is
    also NaN if they share none of rates.
    """
    from bjontegaard import bd_psnr, bd_rate

    ordered = [np.array(sorted(curve.values())).reshape(-1, 2) for curve in (a, b)]
    if any(len(points) < 2 or (np.diff(points, axis=0) <= 0).any() for points in ordered):
        return NOTHING
    arguments = [column for points in ordered for column in points.T]
    with warnings.catch_warnings(action="ignore"):  # warnings of little overlap: the table shows the range
        deltas = [f(*arguments, method="pchip", require_matching_points=False) for f in (bd_rate, bd_psnr)]
    return NOTHING if math.isnan(deltas[0]) else Mean(deltas[0] / 100, deltas[1])


def shared(a: Curve, b: Curve) -> str:
    """The range of PSNR that two curves share, as text; a dash if they share none."""
    ranges = [[point.psnr for point in curve.values()] for curve in (a, b)]
    low, high = max(map(min, ranges)), min(map(max, ranges))
    return f"{low:.2f}–{high:.2f} dB" if low < high else "–"


def table(a: Evaluation, b: Evaluation) -> Iterator[str]:
    """The lines for a terminal; also valid Markdown. Raises ValueError if they can't be compared."""
    chosen = pairs(a, b)
    common = a.pictures.keys() & b.pictures.keys()
    if a.pictures and b.pictures and a.pictures.keys() != b.pictures.keys():
        raise ValueError(f"{a.name} and {b.name} share {len(common)} of their pictures; evaluate the same ones")
    for one, published in ((a, b), (b, a)):
        if one.pictures and not published.pictures and not one.of_kodak:
            raise ValueError(
                f"{published.name} is the mean over the 24 Kodak pictures, and {one.name} isn't of them alone: "
                "evaluate them with 'mbtref eval' and no other picture"
            )
    yield from model_lines(a, b)
    yield "| curve | BD-rate | BD-PSNR | over | BD-rate, mean of pictures | BD-PSNR, mean of pictures |"
    yield "|---" + "|---:" * 5 + "|"
    for name, other in chosen:
        yield curve_line(a, b, name, other, sorted(common))


def model_lines(a: Evaluation, b: Evaluation) -> Iterator[str]:
    """A line for each model that both evaluations have."""
    models = [(curve, q) for curve in a.means for q in a.means[curve] if q in b.means.get(curve, {})]
    if not models:
        return
    one, two = markdown(a.name), markdown(b.name)
    yield f"| model | bpp, {one} | {two} | change | PSNR, {one} | {two} | change |"
    yield "|---" + "|---:" * 6 + "|"
    for curve, q in models:
        (rate, psnr), (rate_b, psnr_b) = a.means[curve][q], b.means[curve][q]
        yield (
            f"| {markdown('-'.join(filter(None, (curve, q))))} | {rate:.4f} | {rate_b:.4f} "
            f"| {percent(rate_b / rate - 1)} | {psnr:.2f} | {psnr_b:.2f} | {db(psnr_b - psnr)} |"
        )
    yield ""


def curve_line(a: Evaluation, b: Evaluation, name: str, other: str, images: Sequence[str]) -> str:
    """One curve of b against one of a. images: the pictures that both have."""
    whole = bjontegaard(a.means[name], b.means[other])
    each = [bjontegaard(a.pictures[image].get(name, {}), b.pictures[image].get(other, {})) for image in images]
    known = [point for point in each if not math.isnan(sum(point))]
    rate, psnr = map(fmean, zip(*known, strict=True)) if known else NOTHING
    number = "" if len(known) == len(each) else f" ({len(known)} of {len(each)})"
    title = markdown(name if name == other else f"{other} against {name}")
    return (
        f"| {title} | {percent(whole.rate)} | {db(whole.psnr)} "
        f"| {shared(a.means[name], b.means[other])} | {percent(rate)}{number} | {db(psnr)}{number} |"
    )


def percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2%}"


def db(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3f} dB"
