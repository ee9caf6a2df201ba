"""KODAK: the figures of the 24 Kodak pictures at every model. Without the pictures these cases are not run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mbtref.suite.cases import WrongAnswer, ask, kodak_cases, kodak_picture, round_trip
from mbtref.suite.figures import Figures, figures, off, to_explain
from mbtref.suite.msssim import decibels
from mbtref.suite.pictures import tensor
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import frozen


@pytest.mark.parametrize("record", kodak_cases("KODAK-1"))
def test_open_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """The forward pass has this PSNR, MS-SSIM and theoretical rate."""
    image = kodak_picture(record["image"])
    height, width, _ = image.shape
    forward = ask(subject, "forward", record["model"], {"x": tensor(image)})
    likelihoods = (np.asarray(forward[f"{latent}_likelihoods"], np.float64) for latent in "yz")
    bits = -sum(float(np.log2(values).sum()) for values in likelihoods)
    found = figures(image, np.asarray(forward["x_hat"])[:, :height, :width].clip(0, 1), bits)
    golden = Figures(record["psnr"], decibels(record["msssim"]), record["bpp_theoretical"])
    if wrong := off("KODAK-1", found, golden):
        raise WrongAnswer(wrong)


@pytest.mark.parametrize("record", kodak_cases("KODAK-2"))
def test_closed_loop(subject: Subject, record: Mapping[str, Any]) -> None:
    """A real stream, in the subject's own format if it has one, has this PSNR, MS-SSIM and rate."""
    image, model = kodak_picture(record["image"]), record["model"]
    asked, blob, decoded = round_trip(subject, model, image)
    if np.shape(decoded["image"]) != image.shape:
        raise WrongAnswer(f"a picture {image.shape} came back as {np.shape(decoded['image'])}", asked, blob)
    shown = np.asarray(decoded["image"]).transpose(2, 0, 1) / 255
    found = figures(image, shown, 8 * len(bytes(blob["blob"])))
    psnr, msssim = (record[f"{key}_bitstream_8bit"] for key in ("psnr", "msssim"))
    golden = Figures(psnr, decibels(msssim), record["bpp_bitstream"])
    limits = "" if "encode" in subject.capabilities else "own_"
    if wrong := off("KODAK-2", found, golden, limits):
        due = frozen().vector(f"DECODE-3/{model}/{record['image'].partition('.')[0]}").inputs
        raise WrongAnswer(wrong, asked, to_explain(subject, blob, decoded), due)
