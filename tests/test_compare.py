"""Comparing evaluations: Bjøntegaard's differences, and what can be compared with what."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbtref.suite.kodak import PIXELS
from mbtref.workbench.compare import Curve, Mean, bjontegaard, read, table
from mbtref.workbench.facts import published_curves
from mbtref.workbench.records import COMPARED, as_json
from tests.support import RECORD, Terminal

RATES, PSNRS = (0.2, 0.4, 0.7, 1.1), (28.0, 30.5, 32.6, 34.1)


def curve(rates: object, psnrs: object) -> Curve:
    """Points of these rates and PSNRs."""
    return {f"q{i}": Mean(*pair) for i, pair in enumerate(zip(rates, psnrs, strict=True))}  # type: ignore[call-overload]


def test_a_shift_of_a_curve_is_found() -> None:
    """A curve of 10 % more rate has a BD-rate of 10 %, one half a dB higher a BD-PSNR of 0.5 dB."""
    a = curve(RATES, PSNRS)
    dearer = bjontegaard(a, curve(np.multiply(RATES, 1.1), PSNRS))
    higher = bjontegaard(a, curve(RATES, np.add(PSNRS, 0.5)))
    assert dearer.rate == pytest.approx(0.1), f"10 % more rate is a BD-rate of {dearer.rate:.3%}"
    assert higher.psnr == pytest.approx(0.5), f"0.5 dB more is a BD-PSNR of {higher.psnr:.4f} dB"


def test_the_sample_of_bjontegaards_definition() -> None:
    """On the sample that many implementations try, BD-rate is that of VCEG-M33's cubic polynomials."""
    a = curve((85.95, 157.11, 309.58, 686.76), (31.42, 34.24, 37.18, 40.28))
    b = curve((112.75, 204.93, 407.8, 893.34), (31.24, 34.17, 37.21, 40.39))

    def area(points: Curve, low: float, high: float) -> float:
        rates, psnrs = zip(*points.values(), strict=True)
        integral = np.polyint(np.polyfit(psnrs, np.log(rates), 3))
        return float(np.polyval(integral, high) - np.polyval(integral, low))

    low, high = 31.42, 40.28
    expected = math.exp((area(b, low, high) - area(a, low, high)) / (high - low)) - 1
    found = bjontegaard(a, b).rate
    # the definition has one cubic polynomial, the library piecewise ones
    assert found == pytest.approx(expected, abs=0.001), f"BD-rate is {found:.3%}, by the definition {expected:.3%}"


@pytest.mark.parametrize(
    "other",
    [{}, curve((0.5,), (31.0,)), curve((0.2, 0.4), (40.0, 41.0)), curve((0.2, 0.4), (31.0, 30.0))],
    ids=["nothing", "one point", "no common range", "falling"],
)
def test_curves_that_cannot_be_compared(other: Curve) -> None:
    """Where there is no difference to speak of, there is none, rather than a wrong one."""
    found = bjontegaard(curve(RATES, PSNRS), other)
    assert math.isnan(found.rate), f"BD-rate is {found.rate}"
    assert math.isnan(found.psnr), f"BD-PSNR is {found.psnr}"


def evaluation(
    path: Path, factor: float, series: str = "lite", pixels: Mapping[str, str] = PIXELS, more: float = 0
) -> Path:
    """Writes what `mbtref eval --json` would, with rates times a factor.

    series: names, separated by commas. pixels: of the pictures, by name. more: dB.
    """
    records = []
    for n, (image, digest) in enumerate(pixels.items()):
        # what a picture costs depends on it, and by how much the two evaluations differ too
        scale = factor * (1 + factor / 2 * (-1) ** n)
        for model, i in ((name, i) for name in series.split(",") for i in range(4)):
            own: dict[str, Any] = {"image": image, "pixels": digest, "model": f"{model}-q{i + 3}"}
            own |= {rate: scale * k * RATES[i] for k, (rate, _) in enumerate(COMPARED.values(), 1)}
            own |= {"psnr": PSNRS[i] + more - 0.25, "psnr_bitstream": PSNRS[i] + more}
            records.append(replace(RECORD, **own))
    path.write_text(json.dumps(as_json(records)))
    return path


TWO = {"a": "pixels of a", "b": "pixels of b"}


def test_two_evaluations(tmp_path: Path, terminal: Terminal) -> None:
    """Every model has its change, every curve its BD-rate, of the means and of the pictures."""
    a, b = (evaluation(tmp_path / f"{factor}.json", factor, pixels=TWO) for factor in (1, 0.9))
    lines = terminal.prints("compare", a, b).splitlines()
    assert lines[2] == "| lite-q3 | 0.2000 | 0.1800 | -10.00% | 28.00 | 28.00 | +0.000 dB |", lines[2]
    assert len(lines) == 10, f"4 models and a curve make 10 lines, not {len(lines)}"
    assert lines[-1].startswith("| lite | -10.00% | +0."), lines[-1]
    # picture a: 0.9 · 1.45 against 1.5; picture b: 0.9 · 0.55 against 0.5
    mean = 0.9 * (1.45 / 1.5 + 0.55 / 0.5) / 2 - 1
    assert f"| {mean:+.2%} |" in lines[-1], f"the mean of the pictures' BD-rates is {mean:.2%}: {lines[-1]}"


@pytest.mark.parametrize(
    ("rate", "scale", "below"), [("bitstream", 1, 0), ("theoretical", 2, 0.25), ("zlib", 3, 0.25)]
)
def test_each_rate_has_its_psnr(rate: str, scale: int, below: float, tmp_path: Path) -> None:
    """Rate and PSNR of a comparison are those of the form that is asked for."""
    found = read(str(evaluation(tmp_path / "a.json", 1)), rate).means["lite"]["q3"]
    assert found == pytest.approx((scale * RATES[0], PSNRS[0] - below)), f"{rate}: {found}"


def test_a_published_curve(tmp_path: Path) -> None:
    """A published curve stands for a file, and every series of the other is compared with it, on either side."""
    a = read(str(evaluation(tmp_path / "a.json", 1, "lite,wide")), "bitstream")
    jpeg = read("jpeg", "bitstream")
    known = published_curves()["jpeg"]
    assert jpeg.means["jpeg"]["3"] == Mean(known["bpp"][3], known["psnr-rgb"][3]), "the points are others"
    for sides, names in (
        ((jpeg, a), ("lite against jpeg | -", "wide against jpeg | -")),
        ((a, jpeg), ("jpeg against lite | +", "jpeg against wide | +")),
    ):
        for found, name in zip(list(table(*sides))[2:], names, strict=True):
            assert found.startswith(f"| {name}"), f"not {name}: {found}"


def test_a_range_that_is_not_shared(tmp_path: Path) -> None:
    """Curves without a common range of PSNR have no difference, and no range: not one from 48 to 34 dB."""
    a, b = (read(str(evaluation(tmp_path / f"{more}.json", 1, pixels=TWO, more=more)), "zlib") for more in (0, 20))
    for other, due in ((a, "+0.00% | +0.000 dB | 27.75–33.85 dB | +0.00% | +0.000 dB |"),
                       (b, "– | – | – | – (0 of 2) | – (0 of 2) |")):  # fmt: skip
        found = list(table(a, other))[-1]
        assert found == f"| lite | {due}", f"another line: {found}"


def test_a_published_curve_of_other_pictures(tmp_path: Path, terminal: Terminal) -> None:
    """A published curve isn't compared with other pictures than Kodak's, one less or one more, on either side."""
    some = dict(list(PIXELS.items())[1:])
    for pixels in (TWO, some, some | {"kodim01.png": "other"}, {**PIXELS, **TWO}):
        a = evaluation(tmp_path / "a.json", 1, pixels=pixels)
        for sides in (("jpeg", a), (a, "jpeg")):
            terminal.fails(1, "the mean over the 24 Kodak pictures", "compare", *sides)


def test_mistakes_are_one_line(tmp_path: Path, terminal: Terminal) -> None:
    """What can't be compared is said in one line."""
    a = evaluation(tmp_path / "a.json", 1, pixels=TWO)
    pictures = evaluation(tmp_path / "pictures.json", 1, pixels={"a": TWO["a"], "c": "pixels of c"})
    two = evaluation(tmp_path / "two.json", 1, "zoo,mine", TWO)
    names = evaluation(tmp_path / "names.json", 1, pixels=TWO)
    (tmp_path / "empty.json").write_text('{"records": [], "means": []}')
    names.write_text(names.read_text().replace('"0f"', '"1e"', 1))
    for other, words in (
        ("nothing.json", "no such file, nor one of the published"),
        (tmp_path, "Is a directory"),
        (tmp_path / "empty.json", "no picture in it"),
        (pictures, "share 1 of their pictures"),
        (two, "no curve in common"),
        (names, "two models are called lite-q3"),
    ):
        terminal.fails(1, words, "compare", a, other)
