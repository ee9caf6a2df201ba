"""The figures draw the numbers they name, and their SVG holds what they drew."""

import base64
import dataclasses
import io
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from mbtref import Model, bitstream, codec
from mbtref.strides import STRIDE_Y
from mbtref.workbench import analysis, baselines, figures, look
from mbtref.workbench.analysis import Analysis
from mbtref.workbench.facts import published_curves
from mbtref.workbench.staircase import PUBLISHED, staircase
from tests.support import picture

HEIGHT, WIDTH = 70, 100
"""Padded to 128×128."""


@pytest.fixture(scope="module")
def found(lite: Model) -> Analysis:
    return analysis.analyse(lite, picture(HEIGHT, WIDTH), "made.png")


def images(figure: Figure) -> list[npt.NDArray[np.float64]]:
    """What the axes show, in order, without colour bars."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_block_bits_sum_to_the_file(lite: Model) -> None:
    """The map's bits are the payload's, but for the coder's last state: 32 to 64 bits more."""
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


def test_comparison(found: Analysis) -> None:
    """Original, reconstruction, ten times their difference; the PSNR is the record's."""
    figure = figures.comparison(found)
    x, x_hat, residual = images(figure)
    assert np.array_equal(x, found.x), "the first isn't the original"
    assert np.array_equal(x_hat, found.open_loop), "the second isn't the reconstruction"
    assert np.allclose(residual, np.minimum(10 * np.abs(x - x_hat), 1)), "the third isn't the residual"
    assert f"{found.record.psnr:.2f} dB" in figure.axes[1].get_title(), "the PSNR isn't named"


def test_channel_rates(found: Analysis) -> None:
    """The bars fall, and sum to the rate in the title."""
    (axes,) = figures.channel_rates(found).axes
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert heights == sorted(found.channel_bpp, reverse=True), "the bars aren't the sorted rates"
    assert numbers(axes.get_title()) == [pytest.approx(sum(heights), abs=5e-5)], "the title has another sum"


def test_mosaic(found: Analysis) -> None:
    """Channel k is at row k // columns, from 0 at its least to 1 at its greatest; what is left over is black."""
    y_hat = found.y_hat[:11].copy()
    y_hat[3] = 7  # a channel that is the same everywhere
    (mosaic,) = images(figures.mosaic(found._replace(y_hat=y_hat)))
    h, w = y_hat.shape[1:]
    assert mosaic.shape == (3 * h, 4 * w), f"11 tiles make 3 rows of 4, not {mosaic.shape}"
    for k in range(12):
        tile = mosaic[k // 4 * h :, k % 4 * w :][:h, :w]
        span = np.ptp(y_hat[k]) if k < 11 else 0
        expected = (y_hat[k] - y_hat[k].min()) / span if span else np.zeros((h, w))
        assert np.allclose(tile, expected), f"tile {k} isn't its channel"


def test_bit_map(found: Analysis) -> None:
    """The map is the blocks' bits per pixel, each 16 pixels wide on the picture's scale."""
    figure = figures.bit_map(found)
    axes = figure.axes[1]
    assert np.allclose(images(figure)[1] * STRIDE_Y**2, found.block_bits), "another map"
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, bottom, top) == (0, 128, 128, 0), "blocks aren't 16 pixels wide"
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, WIDTH), (HEIGHT, 0)), "padding is shown"
    assert numbers(axes.get_title()) == [pytest.approx(found.block_bits.sum() / HEIGHT / WIDTH, abs=5e-5)]


def test_loop_difference(found: Analysis) -> None:
    """The share of pixels and the largest difference in the title are those of the 8-bit pictures."""
    figure = figures.loop_difference(found)
    one, other = (np.round(255 * x).astype(int) for x in (found.closed_loop, found.open_loop))
    levels = np.abs(one - other).max(-1)
    assert np.array_equal(images(figure)[1], levels), "another difference"
    share, largest = numbers(figure.axes[1].get_title())
    assert share == pytest.approx(100 * np.count_nonzero(levels) / levels.size, abs=0.05), "another share"
    assert largest == levels.max() > 0, "another largest difference"


def test_staircase(found: Analysis) -> None:
    """Every point is the mean of its records; legends name every line, raw buffers included."""
    records = [
        dataclasses.replace(found.record, model=f"lite-q{q}", image=name, bpp_buffer_zlib=q + extra, psnr=25 + q)
        for name, extra in (("a", 0.0), ("b", 0.5))
        for q in (3, 4)
    ]
    measured = {codec: baselines.curve(picture(HEIGHT, WIDTH), codec) for codec in baselines.QUALITIES}
    published = {name: published_curves()[name] for name in PUBLISHED}
    near, far, below = staircase(records, measured, published).axes

    r = found.record
    expected: list[tuple[str, list[tuple[float, float]]]] = [
        ("bitstream", [(r.bpp_bitstream, r.psnr_bitstream)] * 2),
        ("theoretical", [(r.bpp_theoretical, 28.0), (r.bpp_theoretical, 29.0)]),
        ("latent buffer, zlib", [(3.25, 28.0), (4.25, 29.0)]),
        ("latent buffer, raw int16", [(r.bpp_buffer_raw, 28.0), (r.bpp_buffer_raw, 29.0)]),
        *((codec, [(p.bpp, p.psnr) for p in points]) for codec, points in measured.items()),
        *((PUBLISHED[n][0], list(zip(c["bpp"], c["psnr-rgb"], strict=True))) for n, c in published.items()),
    ]
    lines = [line for axes in (near, far) for line in axes.lines if line.get_label()[0] != "_"]  # type: ignore[index]
    drawn = sorted((str(line.get_label()), np.asarray(line.get_xydata()).tolist()) for line in lines)
    for (label, points), (name, due) in zip(drawn, sorted(expected), strict=True):
        assert label == name, f"{label} is drawn, {name} is due"
        assert np.allclose(points, due), f"{label} isn't at its points"

    legends = [child for child in below.get_children() if isinstance(child, Legend)]
    named = [text.get_text() for legend in legends for text in legend.get_texts()]
    assert named == [name for name, _ in expected], "the legends don't name every line"
    assert [text.get_text() for text in near.texts] == ["q3", "q4"], "points without their quality"


def test_staircase_of_a_perfect_copy(found: Analysis) -> None:
    """An infinite PSNR is left out, the others are drawn; families have curves of their own."""
    perfect = dataclasses.replace(found.record, model="other", psnr=np.inf, psnr_bitstream=np.inf)
    figure = staircase([found.record, perfect], {}, {})
    look.svg(figure)
    own = [line for line in figure.axes[0].lines if line.get_label() == "bitstream"]
    assert len(own) == 2, "two families share a curve"
    assert np.isfinite(figure.axes[0].get_ylim()).all(), "the scale isn't finite"
    assert [text.get_text() for text in figure.axes[0].texts] == ["lite-q4", "other"], "names aren't whole"


def test_large_pictures_are_shown_smaller(found: Analysis) -> None:
    """A side longer than SHOWN is divided by a whole number, and a residual keeps its mean."""
    x = np.tile([[0.0], [0.02]], (600, 900))[..., None].repeat(3, 2)
    large = found._replace(x=x, open_loop=np.zeros_like(x))
    shown = images(figures.comparison(large))
    assert [image.shape for image in shown] == [(600, 450, 3)] * 3, "a picture isn't half as large"
    assert np.allclose(shown[2], 0.1), "the residual's mean has changed"


def test_svg(found: Analysis) -> None:
    """An SVG is well-formed, names nothing outside, has two schemes; what isn't a photograph is exact."""
    before = dict(matplotlib.rcParams)
    text = look.svg(figures.comparison(found))
    assert dict(matplotlib.rcParams) == before, "matplotlib's settings have changed"
    root = ET.fromstring(text)
    addresses = [value for element in root.iter() for key, value in element.items() if key.endswith("href")]
    assert all(value.startswith(("#", "data:")) for value in addresses), f"outside addresses in {addresses}"
    pixels = [
        np.array(PIL.Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))).convert("RGB"))
        for value in addresses
        if value.startswith("data:image/webp;base64,")
    ]
    assert len(pixels) == 3, f"{len(pixels)} images in place of 3"
    residual = np.minimum(10 * np.abs(found.x - found.open_loop), 1)
    assert np.abs(pixels[2] / 255 - residual).max() <= 1 / 255, "the residual isn't exact"
    assert np.abs(pixels[0] / 255 - found.x).mean() < 0.02, "the photograph is another"
    assert text.count("prefers-color-scheme:dark") == 1, "no dark scheme"
    drawn = text.partition("</style>")[2]
    assert not any(colour in drawn for colour in look.DARK), "a colour doesn't follow the scheme"


@pytest.mark.parametrize("codec_name", baselines.QUALITIES)
def test_baselines(codec_name: str) -> None:
    """More quality gives more bits and a better picture; means are taken quality by quality."""
    small, large = (baselines.curve(picture(*size), codec_name) for size in ((50, 60), (64, 90)))
    for curve in (small, large):
        assert curve == sorted(curve), f"rates of {codec_name} don't rise"
        assert curve[-1].psnr > curve[0].psnr + 5, f"PSNR of {codec_name} doesn't rise"
    mean = baselines.mean_curve([small, large])
    assert len(mean) == len(baselines.QUALITIES[codec_name]), "a quality is missing"
    assert mean[2] == pytest.approx(np.mean([small[2], large[2]], 0)), "not the mean at one quality"
