"""Comparing evaluations: Bjøntegaard's differences, and what can be compared with what."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mbtref.suite.kodak import PIXELS
from mbtref.workbench.compare import Curve, Mean, bjontegaard, read, table
from mbtref.workbench.facts import published_curves
from mbtref.workbench.records import COMPARED
from tests.support import Terminal

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


def evaluation(path: Path, factor: float, models: str = "lite", pixels: Mapping[str, str] = PIXELS) -> Path:
    """Writes what `mbtref eval --json` would, with rates times a factor. pixels: of the pictures, by name."""

    def entry(i: int, scale: float = 1) -> dict[str, object]:
        """A record, in which every measure is another."""
        rates = {rate: factor * scale * n * RATES[i] for n, (rate, _) in enumerate(COMPARED.values(), 1)}
        return {"model": f"{models}-q{i + 3}", **rates, "psnr": PSNRS[i] - 0.25, "psnr_bitstream": PSNRS[i]}

    # what a picture costs depends on it, and by how much the two evaluations differ too
    records = [
        {"image": image, "pixels": digest, **entry(i, 1 + n * factor)}
        for n, (image, digest) in enumerate(pixels.items())
        for i in range(4)
    ]
    path.write_text(json.dumps({"means": [entry(i) for i in range(4)], "records": records}))
    return path


TWO = {"a": "pixels of a", "b": "pixels of b"}


def test_two_evaluations(tmp_path: Path, terminal: Terminal) -> None:
    """Every model has its change, every curve its BD-rate, of the means and of the pictures."""
    a, b = (evaluation(tmp_path / f"{factor}.json", factor, pixels=TWO) for factor in (1, 0.9))
    lines = terminal.prints("compare", a, b).splitlines()
    assert lines[2] == "| lite-q3 | 0.2000 | 0.1800 | -10.00% | 28.00 | 28.00 | +0.000 dB |", lines[2]
    assert len(lines) == 10, f"4 models and a curve make 10 lines, not {len(lines)}"
    assert lines[-1].startswith("| lite | -10.00% | +0."), lines[-1]
    # picture a: 0.9; picture b: 0.9 · 1.9 against 2
    mean = (0.9 + 0.9 * 1.9 / 2) / 2 - 1
    assert f"| {mean:+.2%} |" in lines[-1], f"the mean of the pictures' BD-rates is {mean:.2%}: {lines[-1]}"


@pytest.mark.parametrize(
    ("rate", "scale", "below"), [("bitstream", 1, 0), ("theoretical", 2, 0.25), ("zlib", 3, 0.25)]
)
def test_each_rate_has_its_psnr(rate: str, scale: int, below: float, tmp_path: Path) -> None:
    """Rate and PSNR of a comparison are those of the form that is asked for."""
    found = read(str(evaluation(tmp_path / "a.json", 1)), rate).means["lite"]["q3"]
    assert found == Mean(scale * RATES[0], PSNRS[0] - below), f"{rate}: {found}"


def test_a_published_curve(tmp_path: Path) -> None:
    """A published curve stands for a file, and a lone curve is compared with it whatever its name."""
    a = read(str(evaluation(tmp_path / "a.json", 1)), "bitstream")
    jpeg = read("jpeg", "bitstream")
    known = published_curves()["jpeg"]
    assert jpeg.means["jpeg"]["3"] == Mean(known["bpp"][3], known["psnr-rgb"][3]), "the points are others"
    lines = list(table(jpeg, a))
    assert lines[-1].startswith("| lite against jpeg | -"), lines


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
    text, pictures, two = (tmp_path / f"{name}.json" for name in ("text", "pictures", "two"))
    text.write_text("rates: many")
    evaluation(pictures, 1, pixels={"a": TWO["a"], "c": "pixels of c"})
    content = json.loads(evaluation(two, 1, "zoo", TWO).read_text())
    content["means"].append({**content["means"][0], "model": "mine"})
    two.write_text(json.dumps(content))
    for other, words in (
        ("nothing.json", "no such file, nor one of the published"),
        (text, "not what 'mbtref eval --json' writes"),
        (pictures, "share 1 of their pictures"),
        (two, "no curve in common"),
    ):
        terminal.fails(1, words, "compare", a, other)
