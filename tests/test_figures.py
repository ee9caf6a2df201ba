"""The figures draw the numbers they name, and their SVG holds what they drew."""

import dataclasses
import io
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from matplotlib.patches import StepPatch

from mbtref import Model, bitstream, codec
from mbtref.bitstream import STRIDE_Y
from mbtref.workbench import analysis, baselines, figures, labels, look
from mbtref.workbench.analysis import Analysis
from mbtref.workbench.baselines import Point
from mbtref.workbench.facts import published_curves
from mbtref.workbench.figures import Panel
from mbtref.workbench.page import CURVES
from mbtref.workbench.staircase import BASELINES, FORMS, MS_SSIM, PSNR, PUBLISHED, Measure, staircase
from tests.support import picture

HEIGHT, WIDTH = 70, 100
"""Padded to 128×128."""


@pytest.fixture(scope="module")
def found(lite: Model) -> Analysis:
    return analysis.analyse(lite, picture(HEIGHT, WIDTH), "made.png")


def eight_bit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = np.round(255 * values).astype(np.uint8)
    return levels


def of_colours(panel: Panel) -> npt.NDArray[np.int64]:
    """The places of a panel's colours in its colour map, from 0 to 255."""
    assert panel.bar, f"{panel.title} has no bar"
    colours = matplotlib.colormaps[panel.bar.colours](np.arange(256), bytes=True)[:, :3].astype(int)
    places: npt.NDArray[np.int64] = np.abs(panel.pixels[..., None, :].astype(int) - colours).sum(-1).argmin(-1)
    return places


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_block_bits_sum_to_the_file(lite: Model) -> None:
    """The map's bits are those of the payload without the coder's last state, which takes 32 to 64 bits."""
    encoded = codec.encode_latents(lite, picture(HEIGHT, WIDTH))
    bits = analysis.block_bits(encoded, lite).sum()
    over = 8 * (len(encoded.data) - bitstream.HEADER_BYTES) - bits
    assert 32 < over < 65, f"{bits:.1f} bits on the map, {over:.1f} more in the payload"


def test_block_bits_are_at_their_place(lite: Model) -> None:
    """A symbol that becomes dearer shows in its own block and in no other."""
    encoded = codec.encode_latents(lite, picture(HEIGHT, WIDTH))
    _, M, height, width = encoded.y_hat.shape
    places = sorted((c + 3 * r, r, c) for r in range(height) for c in range(width))
    before = analysis.block_bits(encoded, lite)
    for n in (0, 17, len(places) - 1):
        symbols = encoded.symbols.copy()
        symbols[len(symbols) - len(places) * M + n * M + 5] += 1000
        moved = analysis.block_bits(encoded._replace(symbols=symbols), lite) - before
        _, row, column = places[n]
        assert [tuple(at) for at in np.argwhere(moved)] == [(row, column)], f"step {n} isn't at {row}, {column}"
        assert moved[row, column] > 16, "an escape costs more than the escape bin alone"


def test_analysis_repeats_the_record(found: Analysis) -> None:
    """The arrays give the record's own figures again."""
    for x_hat, psnr in ((found.open_loop, found.record.psnr), (found.closed_loop, found.record.psnr_bitstream)):
        assert -10 * np.log10(np.mean((x_hat - found.x) ** 2)) == pytest.approx(psnr), "another picture's PSNR"
    assert found.channel_bpp.sum() == pytest.approx(found.record.bpp_y), "channels don't sum to y"


def test_original_and_comparison(found: Analysis) -> None:
    """Original, reconstruction, ten times their difference; the record's PSNR, and MS-SSIM if there is one."""
    original = figures.original(eight_bit(found.x))
    x_hat, residual = figures.comparison(found)
    assert np.array_equal(original.pixels, eight_bit(found.x)), "the original isn't the original"
    assert np.array_equal(x_hat.pixels, eight_bit(found.open_loop)), "the first isn't the reconstruction"
    apart = np.abs(original.pixels.astype(int) - x_hat.pixels).max(2)
    assert np.array_equal(residual.pixels, np.minimum(10 * apart, 255)), "the second isn't the residual"
    assert [p.photograph for p in (original, x_hat, residual)] == [True, True, False], "stored with loss"
    assert x_hat.title.endswith(f"PSNR {found.record.psnr:.2f} dB"), f"not the PSNR alone: {x_hat.title}"
    measured = found._replace(record=dataclasses.replace(found.record, msssim=0.99, msssim_bitstream=0.999))
    titles = figures.comparison(measured)[0].title, figures.loop_difference(measured)[0].title
    assert [title.partition("MS-SSIM ")[2] for title in titles] == ["20.00 dB", "30.00 dB"], f"{titles}"


def test_channel_rates(found: Analysis) -> None:
    """The bars fall, and sum to the rate in the title."""
    (axes,) = figures.channel_rates(found).axes
    (bars,) = axes.patches
    assert isinstance(bars, StepPatch), f"bars drawn as {bars}"
    heights = list(bars.get_data()[0])
    assert heights == sorted(found.channel_bpp, reverse=True), "the bars aren't the sorted rates"
    assert numbers(axes.get_title()) == [pytest.approx(sum(heights), abs=5e-5)], "the title has another sum"


def test_mosaic(found: Analysis) -> None:
    """Channel k is at row k // columns, from 0 at its least to 1 at its greatest; what is left over is black."""
    y_hat = found.y_hat[:11].copy()
    y_hat[3] = 7  # a channel that is the same everywhere
    (panel,) = figures.mosaic(found._replace(y_hat=y_hat))
    mosaic = panel.pixels
    h, w = y_hat.shape[1:]
    assert mosaic.shape == (3 * h, 4 * w), f"11 tiles make 3 rows of 4, not {mosaic.shape}"
    for k in range(12):
        tile = mosaic[k // 4 * h :, k % 4 * w :][:h, :w]
        span = np.ptp(y_hat[k]) if k < 11 else 0
        expected = (y_hat[k] - y_hat[k].min()) / span if span else np.zeros((h, w))
        assert np.array_equal(tile, eight_bit(expected)), f"tile {k} isn't its channel"


def test_bit_map(found: Analysis) -> None:
    """The map is the blocks' bits per pixel, each 16 pixels wide; the bar ends at the greatest."""
    (panel,) = figures.bit_map(found)
    bits = found.block_bits.repeat(STRIDE_Y, 0).repeat(STRIDE_Y, 1)[:HEIGHT, :WIDTH]
    assert np.abs(of_colours(panel) - 255 * bits / found.block_bits.max()).max() <= 1.5, "another map"
    assert panel.bar, "no bar"
    assert panel.bar.greatest == f"{found.block_bits.max() / STRIDE_Y**2:.2f}", "the bar ends elsewhere"
    assert numbers(panel.title) == [pytest.approx(found.block_bits.sum() / HEIGHT / WIDTH, abs=5e-5)]


def test_loop_difference(found: Analysis) -> None:
    """The share of pixels and the largest difference in the title are those of the 8-bit pictures."""
    picture, panel = figures.loop_difference(found)
    one, other = (np.round(255 * x).astype(int) for x in (found.closed_loop, found.open_loop))
    levels = np.abs(one - other).max(-1)
    assert np.array_equal(picture.pixels, one), "another picture"
    end = max(1.0, float(np.percentile(levels, 99.9)))
    assert np.abs(of_colours(panel) - np.minimum(255 * levels / end, 255)).max() <= 1.5, "another difference"
    share, largest = numbers(panel.title)
    assert share == pytest.approx(100 * np.count_nonzero(levels) / levels.size, abs=0.05), "another share"
    assert largest == levels.max() > 0, "another largest difference"
    assert panel.bar, "no bar"
    assert numbers(panel.bar.greatest) == [round(end)], "the bar ends elsewhere"


@pytest.mark.parametrize("measure", [PSNR, MS_SSIM], ids=["PSNR", "MS-SSIM"])
def test_staircase(found: Analysis, measure: Measure) -> None:
    """Every point is the mean of its records, in dB of the measure; labels name every line, a title raw buffers.

    What is infinite has no height, and a published curve without the measure isn't drawn.
    """
    r = dataclasses.replace(found.record, msssim=0.9, msssim_bitstream=0.99)
    records = [
        dataclasses.replace(r, model=f"lite-q{q}", image=name, bpp_buffer_zlib=q + extra, psnr=25 + q)
        for name, extra in (("a", 0.0), ("b", 0.5))
        for q in (3, 4)
    ]
    # an MS-SSIM of 0.999 is 30 dB
    measured = {codec: [Point(0.5, 30.0, 0.999), Point(0.7, 33.0, 1.0)] for codec in baselines.QUALITIES}
    published = {name: published_curves()[name] for name in PUBLISHED}
    near, far = staircase(records, measured, published, measure).axes

    closed, first, second, perfect = (
        (r.psnr_bitstream, 28.0, 29.0, 33.0) if measure is PSNR else (20.0, 10.0, 10.0, np.nan)
    )
    expected: list[tuple[str, list[tuple[float, float]]]] = [
        ("bitstream", [(r.bpp_bitstream, closed)] * 2),
        ("theoretical", [(r.bpp_theoretical, first), (r.bpp_theoretical, second)]),
        ("zlib buffer", [(3.25, first), (4.25, second)]),
        ("raw buffer", [(r.bpp_buffer_raw, first), (r.bpp_buffer_raw, second)]),
        *((codec, [(0.5, 30.0), (0.7, perfect)]) for codec in measured),
    ]
    for name, curve in published.items():
        if measure.published in curve:
            heights = map(measure.height, curve[measure.published])
            expected.append((PUBLISHED[name][0], list(zip(curve["bpp"], heights, strict=True))))
    lines = [line for axes in (near, far) for line in axes.lines if not str(line.get_label()).startswith("_")]
    drawn = sorted((str(line.get_label()), np.asarray(line.get_xydata()).tolist()) for line in lines)
    for (label, points), (name, due) in zip(drawn, sorted(expected), strict=True):
        assert label == name, f"{label} is drawn, {name} is due"
        assert np.allclose(points, due, equal_nan=True), f"{label} isn't at its points"

    visible = {str(line.get_label()): line.get_color() for line in lines if len(labels.of_line(near, line).points)}
    found_labels = {text.get_text(): text.get_color() for text in near.texts}
    assert [found_labels.pop(name) for name in ("q3", "q4")] == [look.INK] * 2, "points without their quality"
    assert far.get_title() == "raw buffer", "the other panel isn't named"
    assert found_labels == visible, "not every line has its label, in its colour"
    assert near.get_ylabel() == measure.label, "another measure is named"


@pytest.mark.parametrize("width", [look.NARROW, look.WIDE])
def test_labels_have_room(found: Analysis, width: float) -> None:
    """On a phone and beside a text, every label lies inside its axes and over no other one."""
    published = {name: published_curves()[name] for name in CURVES}
    measured = {codec: [Point(0.1, 24.0, None), Point(0.9, 33.0, None)] for codec in baselines.QUALITIES}
    figure = staircase([found.record], measured, published, width=width)
    figure.savefig(io.BytesIO())
    axes = figure.axes[0]
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert len(boxes) >= 8, f"labels are missing: {list(boxes)}"
    for name, box in boxes.items():
        assert axes.bbox.x0 - 1 < box.x0 < box.x1 < axes.bbox.x1 + 1, f"{name} is cut"
        over = [other for other in boxes if other != name and box.overlaps(boxes[other])]
        assert not over, f"{name} lies over {over}"


def test_a_codec_has_one_colour() -> None:
    """Measured and published, a codec has one colour, and no two codecs share it."""
    codecs: dict[str, set[str]] = {}
    for name, look_of in (*BASELINES.items(), *PUBLISHED.values()):
        codecs.setdefault(re.split("[, ]", name)[0], set()).add(look_of["color"])
    assert {"JPEG", "WebP", "VTM", "BPG", "mbt2018"} < codecs.keys(), f"codecs are {list(codecs)}"
    assert all(len(colours) == 1 for colours in codecs.values()), f"a codec of several colours: {codecs}"
    assert len(set.union(*codecs.values())) == len(codecs), f"codecs of one colour: {codecs}"
    ours = {form.look["color"] for form in FORMS if "buffer" not in form.name}
    assert ours == codecs["mbt2018"], f"our own streams have {ours}"


def test_staircase_of_a_perfect_copy(found: Analysis) -> None:
    """An infinite PSNR is left out, the others are drawn; families have curves of their own, and any name."""
    name = "a $x$ \\frac \x1b\udcff <b>図"  # neither a formula nor markup
    perfect = dataclasses.replace(found.record, model=name, psnr=np.inf, psnr_bitstream=np.inf)
    figure = staircase([found.record, perfect], {}, {})
    ET.fromstring(look.svg(figure))
    own = [line for line in figure.axes[0].lines if line.get_label() == "bitstream"]
    assert len(own) == 2, "two families share a curve"
    assert np.isfinite(figure.axes[0].get_ylim()).all(), "the scale isn't finite"
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0] == "lite-q4", f"labels: {texts}"


def test_large_pictures_are_shown_smaller(found: Analysis) -> None:
    """A side longer than SHOWN is divided by a whole number, and a residual keeps its mean."""
    x = np.tile([[0.0], [8 / 255]], (600, 900))[..., None].repeat(3, 2)
    large = found._replace(x=x, open_loop=np.zeros_like(x))
    shown = [panel.pixels for panel in (figures.original(eight_bit(x)), *figures.comparison(large))]
    assert [image.shape[:2] for image in shown] == [(600, 450)] * 3, "a picture isn't half as large"
    assert (shown[2] == 40).all(), "the residual's mean has changed"


def test_svg(found: Analysis) -> None:
    """An SVG is well-formed, as wide as it should be, names nothing outside and has two schemes."""
    before = dict(matplotlib.rcParams)
    text = look.svg(figures.channel_rates(found, look.NARROW))
    assert dict(matplotlib.rcParams) == before, "matplotlib's settings have changed"
    root = ET.fromstring(text)
    assert root.get("width") == f"{72 * look.NARROW:g}pt", f"{root.get('width')} wide"
    addresses = [value for element in root.iter() for key, value in element.items() if key.endswith("href")]
    assert all(value.startswith("#") for value in addresses), f"outside addresses in {addresses}"
    assert text.count("prefers-color-scheme:dark") == 1, "no dark scheme"
    drawn = text.partition("</style>")[2]
    assert not any(colour in drawn for colour in look.DARK), "a colour doesn't follow the scheme"


def test_webp(found: Analysis) -> None:
    """What isn't a photograph is exact, grey pictures too."""
    photograph, residual = figures.comparison(found)
    for panel in (photograph, residual, *figures.bit_map(found)):
        with PIL.Image.open(io.BytesIO(look.webp(panel.pixels, panel.photograph))) as file:
            read = np.asarray(file.convert("RGB" if panel.pixels.ndim == 3 else "L")).astype(int)
        apart = np.abs(read - panel.pixels)
        assert (0 < apart.mean() < 5) if panel.photograph else not apart.any(), f"{panel.title} is another picture"


@pytest.mark.parametrize("codec_name", baselines.QUALITIES)
def test_baselines(codec_name: str) -> None:
    """More quality gives more bits, a better picture and a greater MS-SSIM; means are taken quality by quality.

    A small picture has no MS-SSIM, and a mean over one neither.
    """
    large, small = (baselines.curve(picture(*size), codec_name) for size in ((170, 180), (50, 60)))
    for curve in (small, large):
        rates, psnrs = [point.bpp for point in curve], [point.psnr for point in curve]
        assert rates == sorted(rates), f"rates of {codec_name} don't rise"
        assert psnrs[-1] > psnrs[0] + 5, f"PSNR of {codec_name} doesn't rise"
    values = [point.msssim or 0.0 for point in large]
    assert values == sorted(values), f"MS-SSIM of {codec_name} doesn't rise: {values}"
    assert 0.5 < values[0] < 0.95 < values[-1] < 1, f"no MS-SSIM of {codec_name}: {values}"
    mean = baselines.mean_curve([small, large])
    assert len(mean) == len(baselines.QUALITIES[codec_name]), "a quality is missing"
    assert mean[2][:2] == pytest.approx(np.mean([small[2][:2], large[2][:2]], 0)), "not the mean at one quality"
    assert {point.msssim for point in mean} == {None}, "a mean over a picture without MS-SSIM"
    both = [point.msssim for point in baselines.mean_curve([large, large])]
    assert both == pytest.approx(values), f"means of {both}"
