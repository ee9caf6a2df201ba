"""KODAK: the figures of the 24 Kodak pictures at every model. Without the pictures these cases are not run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.suite import localise
from mbtref.suite.cases import ask, failed
from mbtref.suite.difference import first_difference
from mbtref.suite.header import field
from mbtref.suite.kodak import cases, picture
from mbtref.suite.msssim import decibels, ms_ssim
from mbtref.suite.operations import Values
from mbtref.suite.pictures import inside, psnr, psnr_8bit, tensor
from mbtref.suite.requirements import limit
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import frozen

Floats = npt.NDArray[np.floating[Any]]


def off(name: str, value: float, golden: float, tolerance: float) -> str | None:
    """A sentence about a figure that is out of its tolerance, or None."""
    if abs(value - golden) <= tolerance:
        return None
    times = abs(value - golden) / tolerance
    return f"{name} is {value:.5f}, expected {golden:.5f}: off by {times:.3g} times the tolerance"


def off_in_msssim(x: Floats, x_hat: Floats, golden: float, tolerance: float) -> str | None:
    """The same of MS-SSIM, in dB. x, x_hat: (3, H, W) in [0, 1]. golden: MS-SSIM in [0, 1]."""
    value = ms_ssim(x.astype(np.float64), x_hat.astype(np.float64))
    assert value is not None, "a Kodak picture is large enough"
    return off("MS-SSIM in dB", decibels(value), decibels(golden), tolerance)


@pytest.mark.parametrize("record", cases("KODAK-1"))
def test_open_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """PSNR, MS-SSIM and theoretical rate of the forward pass."""
    pixels = picture(str(record["image"]))
    forward = ask(subject, "forward", str(record["model"]), {"x": tensor(pixels)})
    bits = sum(
        -float(np.log2(np.asarray(forward[k], np.float64)).sum()) for k in ("y_likelihoods", "z_likelihoods")
    )
    x = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    x_hat = np.asarray(forward["x_hat"])
    golden = record["bpp_theoretical"]
    if wrong := (
        off("PSNR", psnr(x, x_hat), record["psnr"], limit("KODAK-1", "psnr"))
        or off_in_msssim(x, inside(x_hat, x), record["msssim"], limit("KODAK-1", "msssim"))
        or off("theoretical bpp", bits / x[0].size, golden, limit("KODAK-1", "rate") * golden)
    ):  # fmt: skip
        failed(wrong)


@pytest.mark.parametrize("record", cases("KODAK-2"))
def test_closed_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """PSNR, MS-SSIM and rate of real streams, in the subject's own format if it has one."""
    pixels = picture(str(record["image"]))
    blob = bytes(ask(subject, "compress", str(record["model"]), {"image": pixels})["blob"])
    decoded = ask(subject, "decompress", str(record["model"]), {"blob": blob})
    if np.shape(decoded["image"]) != pixels.shape:
        failed(f"a picture {pixels.shape} came back as {np.shape(decoded['image'])}")
    own = "encode" not in subject.capabilities
    psnr_limit, msssim_limit, rate_limit = (
        limit("KODAK-2", f"own_{name}" if own else name) for name in ("psnr", "msssim", "rate")
    )
    x, x_hat = (np.asarray(p).transpose(2, 0, 1) / 255 for p in (pixels, decoded["image"]))
    rate, golden = 8 * len(blob) / pixels[..., 0].size, record["bpp_bitstream"]
    if wrong := (
        off("PSNR", psnr_8bit(pixels, decoded["image"]), record["psnr_bitstream_8bit"], psnr_limit)
        or off_in_msssim(x, x_hat, record["msssim_bitstream_8bit"], msssim_limit)
        or off("bpp", rate, golden, rate_limit * golden)
    ):  # fmt: skip
        failed("\n".join([wrong, *([] if own else led_back(subject, record, blob, decoded))]))


def led_back(subject: Subject, record: Mapping[str, Any], stream: bytes, decoded: Values) -> list[str]:
    """Lines that tell whether the decoder of a `.mbt` stream went wrong, or its encoder, and where."""
    model = str(record["model"])
    try:
        right = one_file.decode(model, stream)
    except Rejected as rejected:
        refused = f"the one-file decoder refuses the stream as {rejected.kind}"
        return [refused, *field(stream, rejected.kind)]
    latents = {"y_hat": right["y_hat"]}
    if difference := first_difference(decoded, latents, {}):
        return [f"the decoder is wrong: {difference}", *localise.decoded(subject, model, stream, difference)]
    if np.shape(right["image"]) != np.shape(decoded["image"]):
        return [f"the stream holds a picture {np.shape(right['image'])}"]
    name = record["image"].partition(".")[0]
    vector = next(v for v in frozen().vectors if v.id == f"DECODE-3/{model}/{name}")
    height, width, _ = np.shape(right["image"])
    where = localise.encoded(model, stream, bytes(vector.inputs["stream"]), height, width)
    return ["its latents are decoded right: look at the encoder", *where]
