"""Makes docs/astray.png: a stream of a float codec that decodes to noise elsewhere, beside one of mbtref.

    python docs/astray.py [-o docs/astray.png]

CompressAI and mbtref code drawn landscapes with the same weights. Processes that compute as an older processor
does decode the streams. The figure has the first landscape on which CompressAI's decoder goes astray. On another
machine that may be another one.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from mbtref.files import write_whole
from mbtref.image import Image
from mbtref.suite.figures import psnr_8bit
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.subjects.loading import isolated
from mbtref.suite.subjects.protocol import Subject

MODEL, PROCESSOR, SECONDS = "wide-q6", "sse4", 600.0
HEIGHT, WIDTH, LINE, GAP = 320, 480, 34, 12
"""Pixels: of a picture, of the text above it, and between two pictures."""
LOST = 5
"""dB by which a decoder that goes astray is worse, at least."""
TITLES = (
    "float codec, where it was written",
    "float codec, on an older processor",
    "mbtref, on an older processor",
)


def landscape(seed: int) -> Image:
    """A drawn picture (HEIGHT, WIDTH, 3): ranges of hills below a sky with a sun, others for each seed."""
    random = np.random.default_rng(seed)
    row, column = np.indices((HEIGHT, WIDTH))
    zenith, horizon = (random.integers(*ends) for ends in (((20, 60, 120), (90, 140, 220)), ((200, 120, 60), 255)))
    picture = zenith + (horizon - zenith) * (row / HEIGHT)[..., None] ** 1.3
    y, x = random.integers((50, 80), (130, WIDTH - 80))
    glow = np.exp(-np.maximum(np.hypot(row - y, column - x) - 26, 0) / 9)[..., None]
    picture += glow * ((255, 240, 200) - picture)
    waves = 2.0 ** np.arange(8)[:, None]
    for near in np.linspace(0, 0.8, 5):
        phase, size = random.uniform(0, 2 * np.pi, (8, 1)), random.uniform(0.4, 1, (8, 1))
        skyline = (size * np.sin(waves * np.arange(WIDTH) / 90 + phase) / waves).sum(0)
        depth = row - (150 + 170 * near + 34 * skyline)
        haze, forest = np.array((96, 118, 132)), np.array((18, 46, 30))
        grain = random.normal(0, 2 + 10 * near, (HEIGHT, WIDTH)) - depth / 8
        picture = np.where(depth[..., None] > 0, haze + near * (forest - haze) + grain[..., None], picture)
    pixels: Image = picture.clip(0, 255).astype(np.uint8)
    return pixels


def decoded(pair: tuple[Subject, Subject], picture: Image) -> Iterator[Image]:
    """A picture that the first of two processes compresses, as each of them decompresses it."""
    blob = pair[0].call("compress", MODEL, {"image": picture})
    for process in pair:
        yield np.asarray(process.call("decompress", MODEL, blob)["image"], np.uint8)


def panel(title: str, picture: Image, original: Image) -> Image:
    """A picture with a line above it."""
    whole = PIL.Image.new("RGB", (WIDTH, HEIGHT + LINE), "white")
    whole.paste(PIL.Image.fromarray(picture), (0, LINE))
    text, font = f"{title}: {psnr_8bit(original, picture):.1f} dB", PIL.ImageFont.load_default(20)
    PIL.ImageDraw.Draw(whole).text((2, 4), text, "black", font)
    return np.asarray(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a picture that a float codec loses on another processor.")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("astray.png"))
    output = parser.parse_args().output
    floats, exact = (
        (isolated(name, SECONDS), isolated(name, SECONDS, PROCESSORS[PROCESSOR]))
        for name in ("compressai", "reference")
    )
    for seed in range(100):
        original = landscape(seed)
        here, elsewhere = decoded(floats, original)
        if psnr_8bit(original, elsewhere) < psnr_8bit(original, here) - LOST:
            break
    else:
        raise SystemExit("the float codec lost none of 100 landscapes on this machine")
    _, ours = decoded(exact, original)
    panels = [panel(*each, original) for each in zip(TITLES, (here, elsewhere, ours), strict=True)]
    gap = np.full((HEIGHT + LINE, GAP, 3), 255, np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(np.hstack([panels[0], gap, panels[1], gap, panels[2]])).save(file, "PNG", optimize=True)
    write_whole(output, file.getvalue())


if __name__ == "__main__":
    main()
