"""Two evaluations side by side: model by model, and Bjøntegaard's differences curve by curve.

A curve is what the models of one name but for their quality make: lite-q3 … lite-q6 are the curve "lite".
BD-rate is the mean difference of log rate over the PSNR that both curves have, BD-PSNR the mean difference of PSNR
over the rates that both have (Bjøntegaard, VCEG-M33, 2001), here with piecewise cubic interpolation, as in the
common test conditions of JVET. Negative BD-rate and positive BD-PSNR mean that the second one is better.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbtref.workbench.evaluate import family
from mbtref.workbench.facts import published_curves
from mbtref.workbench.names import MEASURES


class Point(NamedTuple):
    """One model, on one picture or as a mean."""

    rate: float
    """Bits per pixel."""
    psnr: float
    """dB"""


Curve = Mapping[str, Point]
"""Points by what of a name tells them apart, such as "q4"."""


class Evaluation(NamedTuple):
    """What `mbtref eval` wrote, or a published curve."""

    name: str
    means: Mapping[str, Curve]
    """By name of the curve."""
    pictures: Mapping[str, Mapping[str, Curve]]
    """The same of each picture, by its name; nothing for a published curve."""


def read(given: str, measure: str) -> Evaluation:
    """A file of `mbtref eval --json`, or a published curve by its name. measure: one of MEASURES.

    Raises OSError, or ValueError if it is neither.
    """
    published = published_curves()
    if given in published:
        rates, psnrs = published[given]["bpp"], published[given]["psnr-rgb"]
        points = {str(i): Point(*pair) for i, pair in enumerate(zip(rates, psnrs, strict=True))}
        return Evaluation(given, {given: points}, {})
    try:
        content = json.loads(Path(given).read_text(encoding="utf-8"))
        means = curves(content["means"], measure)
        images = dict.fromkeys(record["image"] for record in content["records"])
        pictures = {
            image: curves([r for r in content["records"] if r["image"] == image], measure) for image in images
        }
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ValueError(f"{given}: no such file, nor one of the published {', '.join(published)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{given}: not what 'mbtref eval --json' writes") from error
    return Evaluation(Path(given).name, means, pictures)


def curves(entries: Sequence[Mapping[str, Any]], measure: str) -> dict[str, dict[str, Point]]:
    """Curves of records or of means. What has no PSNR, as a perfect copy, is no point of a curve."""
    found: dict[str, dict[str, Point]] = {}
    rate, psnr = MEASURES[measure]
    for entry in entries:
        name, quality = family(entry["model"])
        if entry[psnr] is not None:
            found.setdefault(name, {})[quality] = Point(float(entry[rate]), float(entry[psnr]))
            if not entry[rate] > 0:
                raise ValueError(f"a rate of {entry[rate]}")
    return found


def pairs(a: Evaluation, b: Evaluation) -> list[tuple[str, str]]:
    """Which curve is compared with which: those of one name, or the only ones. Raises ValueError for none."""
    if both := [(name, name) for name in a.means if name in b.means]:
        return both
    if len(a.means) == len(b.means) == 1:
        return list(zip(a.means, b.means, strict=True))
    raise ValueError(
        f"no curve in common: {a.name} has {', '.join(a.means)}, {b.name} has {', '.join(b.means)}; "
        f"evaluate the same models"
    )


def bjontegaard(a: Curve, b: Curve) -> Point:
    """BD-rate as a fraction and BD-PSNR in dB of b against a.

    NaN where a curve has less than two points or doesn't rise, or where the curves share no range.
    """
    from bjontegaard import bd_psnr, bd_rate

    ordered = [np.array(sorted(curve.values())).reshape(-1, 2) for curve in (a, b)]
    low, high = shared(a, b)
    if any(len(points) < 2 or (np.diff(points, axis=0) <= 0).any() for points in ordered) or low >= high:
        return Point(math.nan, math.nan)
    arguments = [column for points in ordered for column in points.T]
    with warnings.catch_warnings(action="ignore"):  # that curves overlap a little only: the table shows the range
        found = [f(*arguments, method="pchip", require_matching_points=False) for f in (bd_rate, bd_psnr)]
    return Point(found[0] / 100, found[1])


def shared(a: Curve, b: Curve) -> tuple[float, float]:
    """The range of PSNR that two curves share, dB. Its ends are the other way round if they share none."""
    ranges = [[point.psnr for point in curve.values()] or [math.nan] for curve in (a, b)]
    return max(map(min, ranges)), min(map(max, ranges))


def table(a: Evaluation, b: Evaluation) -> Iterator[str]:
    """Lines for a terminal, also valid Markdown. Raises ValueError if there is nothing to compare."""
    chosen = pairs(a, b)
    common = a.pictures.keys() & b.pictures.keys()
    if a.pictures and b.pictures and a.pictures.keys() != b.pictures.keys():
        raise ValueError(f"{a.name} and {b.name} share {len(common)} of their pictures; evaluate the same ones")
    if bool(a.pictures) != bool(b.pictures):
        yield "A published curve is the mean over the 24 Kodak pictures: hold no evaluation of others against it."
        yield ""
    yield from model_lines(a, b)
    yield "| curve | BD-rate | BD-PSNR | over | BD-rate, mean of pictures | BD-PSNR, mean of pictures |"
    yield "|---" + "|---:" * 5 + "|"
    for name, other in chosen:
        yield curve_line(a, b, name, other, sorted(common))


def model_lines(a: Evaluation, b: Evaluation) -> Iterator[str]:
    """A line for each model that both have."""
    models = [(curve, q) for curve in a.means for q in a.means[curve] if q in b.means.get(curve, {})]
    if not models:
        return
    yield f"| model | bpp, {a.name} | {b.name} | change | PSNR, {a.name} | {b.name} | change |"
    yield "|---" + "|---:" * 6 + "|"
    for curve, q in models:
        one, two = a.means[curve][q], b.means[curve][q]
        yield (
            f"| {'-'.join(filter(None, (curve, q)))} | {one.rate:.4f} | {two.rate:.4f} "
            f"| {percent(two.rate / one.rate - 1)} | {one.psnr:.2f} | {two.psnr:.2f} | {db(two.psnr - one.psnr)} |"
        )
    yield ""


def curve_line(a: Evaluation, b: Evaluation, name: str, other: str, images: Sequence[str]) -> str:
    """One curve of b against one of a. images: those of which both have records."""
    whole = bjontegaard(a.means[name], b.means[other])
    low, high = shared(a.means[name], b.means[other])
    each = [bjontegaard(a.pictures[image].get(name, {}), b.pictures[image].get(other, {})) for image in images]
    known = [point for point in each if not math.isnan(point.rate)]
    number = "" if len(known) == len(each) else f" ({len(known)} of {len(each)})"
    return (
        f"| {name if name == other else f'{other} against {name}'} | {percent(whole.rate)} | {db(whole.psnr)} "
        f"| {low:.2f}–{high:.2f} dB | {percent(mean([point.rate for point in known]))}{number} "
        f"| {db(mean([point.psnr for point in known]))}{number} |"
    )


def mean(values: Sequence[float]) -> float:
    """NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan


def percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2%}"


def db(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3f} dB"
