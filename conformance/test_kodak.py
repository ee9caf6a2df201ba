"""KODAK: the figures of the 24 Kodak pictures at every model.

The pictures aren't part of the project: MBTREF_KODAK names their folder. Without them these cases are not run.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from conformance import vectors
from conformance.cases import Outcome, Verdict, ask, failed
from conformance.pictures import psnr, psnr_8bit, tensor
from conformance.subjects.protocol import Subject

PIXELS: Mapping[str, str] = json.loads((resources.files("mbtref") / "data" / "kodak.json").read_text())[
    "pixels_sha256"
]
"""SHA-256 of the pixels of each picture, (H, W, 3) uint8 in C order."""

PSNR_TOLERANCE = 0.01
"""dB. Float implementations flip a rounding here and there: a few symbols of 10^5."""
RATE_TOLERANCE = 0.001
"""Relative: the same flips, and the last digits of the likelihoods."""
OWN_PSNR_TOLERANCE = 0.05
"""dB, of closed-loop coding in another arithmetic: a flip changes the contexts of all that follow. 2.5 times the
largest change of a Kodak picture between the exact networks and float64 ones, 0.020 (`training.exact_cost`)."""
OWN_RATE_TOLERANCE = 0.02
"""Relative, of the same: 0.4 % for that change, and up to 1.7 % for taking the next larger scale in place of the
nearest one (specification, §4)."""


def picture(name: str) -> npt.NDArray[np.uint8]:
    """The pixels of a Kodak picture, checked. Ends the case as not run if it isn't there."""
    folder = os.environ.get("MBTREF_KODAK")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        raise Verdict(Outcome.NOT_RUN, f"no {name}: set MBTREF_KODAK to its folder, see 'mbtref kodak fetch'")
    with PIL.Image.open(path) as file:
        pixels: npt.NDArray[np.uint8] = np.array(file.convert("RGB"))
    if hashlib.sha256(pixels.tobytes()).hexdigest() != PIXELS[name]:
        raise Verdict(Outcome.NOT_RUN, f"{path} hasn't the pixels of {name}")
    return pixels


def cases(requirement: str) -> list[object]:
    """Every picture at every model, as pytest's parameters."""
    return [
        pytest.param(
            record,
            id=f"{record['model']}-{record['image']}",
            marks=pytest.mark.case(requirement, f"{record['model']}/{record['image']}", "kodak", "kodak"),
        )
        for record in vectors.frozen().kodak
    ]


def compare(name: str, value: float, golden: float, tolerance: float) -> None:
    """Fails the case if a figure is off."""
    if not abs(value - golden) <= tolerance:
        times = abs(value - golden) / tolerance
        failed(f"{name} is {value:.5f}, expected {golden:.5f}: off by {times:.3g} times the tolerance")


@pytest.mark.parametrize("record", cases("KODAK-1"))
def test_open_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """PSNR and theoretical rate of the forward pass."""
    pixels = picture(str(record["image"]))
    forward = ask(subject, "forward", str(record["model"]), {"x": tensor(pixels)})
    bits = sum(
        -float(np.log2(np.asarray(forward[k], np.float64)).sum()) for k in ("y_likelihoods", "z_likelihoods")
    )
    x = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    compare("PSNR", psnr(x, np.asarray(forward["x_hat"])), record["psnr"], PSNR_TOLERANCE)
    golden = record["bpp_theoretical"]
    compare("theoretical bpp", bits / x[0].size, golden, RATE_TOLERANCE * golden)


@pytest.mark.parametrize("record", cases("KODAK-2"))
def test_closed_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """PSNR and rate of real streams, in the subject's own format if it has one."""
    pixels = picture(str(record["image"]))
    blob = ask(subject, "compress", str(record["model"]), {"image": pixels})["blob"]
    decoded = ask(subject, "decompress", str(record["model"]), {"blob": blob})["image"]
    assert isinstance(blob, bytes)
    if np.shape(decoded) != pixels.shape:
        failed(f"a picture {pixels.shape} came back as {np.shape(decoded)}")
    exact = "encode" in subject.capabilities
    allowed = PSNR_TOLERANCE if exact else OWN_PSNR_TOLERANCE
    compare("PSNR", psnr_8bit(pixels, decoded), record["psnr_bitstream_8bit"], allowed)
    golden = record["bpp_bitstream"]
    compare(
        "bpp",
        8 * len(blob) / pixels[..., 0].size,
        golden,
        (RATE_TOLERANCE if exact else OWN_RATE_TOLERANCE) * golden,
    )
