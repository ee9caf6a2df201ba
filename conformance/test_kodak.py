"""KODAK: the figures of the 24 Kodak pictures at every model. Without the pictures these cases are not run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mbtref.conformance.cases import ask, failed
from mbtref.conformance.kodak import cases, picture
from mbtref.conformance.pictures import psnr, psnr_8bit, tensor
from mbtref.conformance.requirements import limit
from mbtref.conformance.subjects.protocol import Subject


def compare(name: str, value: float, golden: float, tolerance: float) -> None:
    """Fails the case if a figure is out of its tolerance."""
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
    compare("PSNR", psnr(x, np.asarray(forward["x_hat"])), record["psnr"], limit("KODAK-1", "psnr"))
    golden = record["bpp_theoretical"]
    compare("theoretical bpp", bits / x[0].size, golden, limit("KODAK-1", "rate") * golden)


@pytest.mark.parametrize("record", cases("KODAK-2"))
def test_closed_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """PSNR and rate of real streams, in the subject's own format if it has one."""
    pixels = picture(str(record["image"]))
    blob = ask(subject, "compress", str(record["model"]), {"image": pixels})["blob"]
    decoded = ask(subject, "decompress", str(record["model"]), {"blob": blob})["image"]
    assert isinstance(blob, bytes)
    if np.shape(decoded) != pixels.shape:
        failed(f"a picture {pixels.shape} came back as {np.shape(decoded)}")
    psnr_limit, rate_limit = ("psnr", "rate") if "encode" in subject.capabilities else ("own_psnr", "own_rate")
    golden = record["psnr_bitstream_8bit"]
    compare("PSNR", psnr_8bit(pixels, decoded), golden, limit("KODAK-2", psnr_limit))
    golden = record["bpp_bitstream"]
    compare("bpp", 8 * len(blob) / pixels[..., 0].size, golden, limit("KODAK-2", rate_limit) * golden)
