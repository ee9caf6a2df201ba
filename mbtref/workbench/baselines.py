"""Rate, PSNR and MS-SSIM of JPEG and WebP on the same pictures, by Pillow: well-known curves to compare with."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from mbtref import image, planes
from mbtref.suite.msssim import ms_ssim
from mbtref.workbench.records import mean

QUALITIES = {
    "JPEG": (5, 10, 20, 30, 40, 50, 60, 70, 80, 90),
    "WebP": (1, 5, 15, 30, 45, 60, 70, 80, 90),
}
"""The measured qualities of each codec. All other settings are Pillow's defaults: chroma is subsampled 4:2:0."""
SIDE_MAX = {"JPEG": 65535, "WebP": 16383}
"""Longest possible side of a picture, in pixels."""


class Point(NamedTuple):
    """Rate of the whole file in bits per pixel, PSNR in dB and MS-SSIM of the 8-bit picture."""

    bpp: float
    psnr: float
    msssim: float | None


def curves(picture: image.Image) -> dict[str, list[Point]]:
    """The curves of all codecs that can hold the picture, (H, W, 3) uint8."""
    return {codec: curve(picture, codec) for codec in QUALITIES if max(picture.shape) <= SIDE_MAX[codec]}


def curve(picture: image.Image, codec: str) -> list[Point]:
    """One point for each of QUALITIES[codec]. picture: (H, W, 3) uint8, with no side above SIDE_MAX[codec]."""
    x = planes.to_tensor(picture)
    points = []
    for quality in QUALITIES[codec]:
        file = io.BytesIO()
        PIL.Image.fromarray(picture).save(file, codec, quality=quality)
        with PIL.Image.open(file) as decoded:
            x_hat = planes.to_tensor(np.array(decoded.convert("RGB")))
        bpp = 8 * file.tell() / (picture.shape[0] * picture.shape[1])
        points.append(Point(bpp, planes.psnr(x_hat, x), ms_ssim(x_hat[0].numpy(), x[0].numpy())))
    return points


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Means over pictures at each quality, as in `records.means`. curves: one or more, of equal length."""
    return [Point(*map(mean, zip(*points, strict=True))) for points in zip(*curves, strict=True)]
