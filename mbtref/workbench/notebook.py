"""Checks the zoo's checkpoints against their known figures.

- For kodim20 at qualities 3 to 6: CompressAI's figures in the notebook that this project began with, to the last
  printed digit (`notebook-figures.json`). The float networks are used as they are in the checkpoint.
  If another processor rounds one latent the other way, a rate may differ in its last digit.
- For Kodak at all qualities: the published means of bitstreams (`kodak-published-rd.json`), within
  tolerances, since those streams are CompressAI's.

A figure whose weights or pictures are missing is not run, so it is neither right nor wrong.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mbtref import bitstream, image
from mbtref.bitstream import STRIDE_Z
from mbtref.making import checkpoint
from mbtref.networks import MBT2018
from mbtref.suite import kodak
from mbtref.workbench import picturefiles, zoo
from mbtref.workbench.bars import Bar
from mbtref.workbench.evaluate import evaluate, open_loop
from mbtref.workbench.facts import facts, published_curves
from mbtref.workbench.records import Record
from mbtref.workbench.zoo import QUALITIES

PICTURE = "kodim20.png"
PUBLISHED = "mbt2018-compressai-cpu"

BPP, DB = "{:.4f}", "{:.2f}"
PRINTED = {
    "psnr": DB,
    "bpp_theoretical": BPP,
    "bpp_y": BPP,
    "bpp_z": BPP,
    "bpp_buffer_zlib": BPP,
    "bpp_buffer_raw": BPP,
    "max_drift": "{:.2e}",
}
"""Formats in which the notebook prints figures, to their last digit. All other figures are whole numbers."""

THRESHOLD_GAIN = 0.017
"""Largest share of the rate that we save: our table is the nearest to a sigma, CompressAI's the next above it."""
EXACT_COST = 0.002
"""Largest share of the rate by which exact arithmetic may change it (`docs/models.md` measures a tenth of it)."""
CODER_STATE_BYTES = 8
CONTAINER_BYTES = bitstream.HEADER_BYTES + CODER_STATE_BYTES - 2 * CODER_STATE_BYTES
"""Extra bytes of our file: a header, less one of the two coder states that CompressAI's two streams hold."""
KODAK_PIXELS = 768 * 512
PSNR_TOLERANCE = 0.02
"""dB. A latent on our grid moves by 2^-11 at most; the rest is the processors' rounding. The source doesn't say
whether the float or the 8-bit picture was measured, so the published figure may lie anywhere between the two."""


class Figure(NamedTuple):
    """One figure, as text."""

    model: str
    """Name of the zoo model."""
    name: str
    expected: str
    found: str | None
    """None if it was not run."""
    right: bool


def check(weights: Path | None = None) -> list[Figure]:
    """Checks the notebook's figures. weights: a folder of published checkpoints; default: the cache.

    Raises OSError, and ValueError if a checkpoint or the picture exists but isn't the right one.
    """
    picture = kodak.folder() / PICTURE
    pixels = kodak.pixels(picture, PICTURE) if picture.is_file() else None
    known = facts("notebook-figures")
    figures = []
    for step in known["staircase"]:
        quality = f"q{step['quality']}"
        model = f"zoo-{quality}"
        path = checkpoint_of(model, weights)
        measured = measure(checkpoint.read(path).networks, pixels) if path and pixels is not None else None
        # the notebook's own quality has a page of figures beside its step of the staircase
        for where, values in (("", known.get(quality, {})), ("staircase ", step)):
            for name in (name for name in values if name != "quality"):
                form = PRINTED.get(name, "{}")
                expected, own = form.format(values[name]), form.format(measured[name]) if measured else None
                figures.append(Figure(model, where + name, expected, own, expected == own))
    return figures


def measure(networks: MBT2018, picture: image.Image) -> dict[str, object]:
    """The notebook's measures of a picture, (H, W, 3) uint8."""
    opened = open_loop(networks, picture)
    y_hat, z_hat = opened.forward.y_hat, opened.forward.z_hat
    return {
        **opened.measures,
        "N": networks.N,
        "M": networks.M,
        "downsampling_factor": STRIDE_Z,
        "y_shape": list(y_hat.shape),
        "z_shape": list(z_hat.shape),
        "y_range": [int(y_hat.min()), int(y_hat.max())],
        "z_range": [int(z_hat.min()), int(z_hat.max())],
        "raw_bytes": len(opened.raw),
        "max_drift": opened.measures["drift_buffer"],
    }


def checkpoint_of(model: str, weights: Path | None) -> Path | None:
    """The published checkpoint of a zoo model in a folder, or in the cache; None if it is missing.

    Raises ValueError if it has another hash.
    """
    entry = zoo.entry(model)
    path = (weights or zoo.folder()) / entry.file
    if not path.is_file():
        return None
    zoo.check(path, entry.digits)
    return path


def check_kodak(weights: Path | None = None) -> list[Figure]:
    """Checks the published means over Kodak. Makes model files in the cache. Argument, errors: as for `check`."""
    complete = all((kodak.folder() / name).is_file() for name in kodak.PIXELS)
    pictures = kodak.pictures() if complete else []
    curve = published_curves()[PUBLISHED]
    figures: list[Figure] = []
    for quality, bpp, psnr in zip(QUALITIES, curve["bpp"], curve["psnr-rgb"], strict=True):
        model = f"zoo-q{quality}"
        path = checkpoint_of(model, weights)
        records = []
        if path and pictures:
            loaded = zoo.load(model, path)
            with Bar(len(pictures), "pictures") as bar:
                for picture in pictures:
                    records.append(evaluate(loaded, picturefiles.read(picture), picture.name))
                    bar.count(model)
        figures += against_published(model, bpp, psnr, records)
    return figures


def against_published(model: str, bpp: float, psnr: float, records: Sequence[Record]) -> Iterator[Figure]:
    """Compares means of records with the published bpp (bits per pixel) and psnr (dB). No records: not run."""
    low = bpp * (1 - THRESHOLD_GAIN - EXACT_COST)
    high = bpp * (1 + EXACT_COST) + 8 * CONTAINER_BYTES / KODAK_PIXELS
    rate = distortion = None
    in_rate = in_distortion = False
    if records:
        own_bpp, eight_bit, own_psnr = (
            fmean(getattr(record, name) for record in records)
            for name in ("bpp_bitstream", "psnr_bitstream_8bit", "psnr_bitstream")
        )
        rate, in_rate = f"{own_bpp:.4f}", low <= own_bpp <= high
        distortion = f"{eight_bit:.2f} (8 bits) to {own_psnr:.2f}"
        in_distortion = eight_bit - PSNR_TOLERANCE <= psnr <= own_psnr + PSNR_TOLERANCE
    yield Figure(model, "Kodak bpp", f"{bpp:.4f} ({low:.4f} to {high:.4f})", rate, in_rate)
    yield Figure(model, "Kodak psnr", f"{psnr:.2f} ± {PSNR_TOLERANCE}", distortion, in_distortion)


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines of a table, for a terminal; also valid Markdown."""
    yield "| model | figure | expected | found | |"
    yield "|---|---|---|---|---|"
    for model, name, expected, found, right in figures:
        mark = "not run" if found is None else "✓" if right else "✗"
        yield f"| {model} | {name} | {expected} | {found or ''} | {mark} |"


def advice(figures: Sequence[Figure], weights: Path | None) -> Iterator[str]:
    """How to get the missing weights and pictures, a line each. weights: as for `check`."""
    models = dict.fromkeys(figure.model for figure in figures if figure.found is None)
    absent = [model for model in models if not checkpoint_of(model, weights)]
    if absent:
        names = ",".join(absent)
        yield f"to get the weights: mbtref zoo fetch {names}, or --weights-from a folder of their published files"
    if len(absent) < len(models) or not (kodak.folder() / PICTURE).is_file():
        yield f"to get the pictures: mbtref kodak fetch, or set {kodak.FOLDER_VARIABLE} to their folder"
