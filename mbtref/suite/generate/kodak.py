"""DECODE-3: the stream of every Kodak picture at every model, and the table of its figures, `kodak.json`."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mbtref import codec, planes
from mbtref.modelfile import EMBEDDED
from mbtref.openloop.forward import forward_pass
from mbtref.suite.check import digest_of
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import vector
from mbtref.suite.kodak import pixels as pixels_of
from mbtref.suite.msssim import ms_ssim

TABLE = "kodak.json"
TABLE_TOLERANCE = 1e-6
"""Of a figure in the table: dB and bits per pixel in float64."""


@vector("DECODE-3")
def kodak(case: Case) -> None:
    """anything that small pictures don't show: long streams, borders far apart, natural statistics"""
    assert case.out.kodak, "the Kodak pictures are needed"
    cases = list(itertools.product(EMBEDDED, case.out.kodak))
    records = [
        record(case.but(name=f"{model}/{path.stem}", model_name=model), path)
        for model, path in tqdm(cases, "Kodak", leave=False, disable=None)
    ]
    case.out.put(TABLE, table(records), TABLE_TOLERANCE)


@torch.no_grad()
def record(case: Case, path: Path) -> dict[str, Any]:
    """Makes the vector of a picture, and returns its figures."""
    model = case.out.bench.golden.model(case.model_name).made_reproducible()
    pixels = pixels_of(path, path.name)
    height, width, _ = pixels.shape
    x = planes.to_tensor(pixels)

    def psnr(x_hat: Tensor) -> float:
        return planes.psnr(x_hat[..., :height, :width].clamp(0, 1), x)

    def msssim(x_hat: Tensor) -> float | None:
        inside = x_hat[0, :, :height, :width].clamp(0, 1)
        return ms_ssim(x[0].numpy(), inside.numpy())

    forward = forward_pass(model.networks, planes.pad(x))
    bits = -sum(p.double().log2().sum().item() for p in (forward.y_likelihoods, forward.z_likelihoods))
    encoded = codec.encode_latents(model, pixels)
    x_hat = model.transforms.g_s(encoded.y_hat)
    shown = (x_hat.clamp(0, 1) * 255).round() / 255
    digest = digest_of("y_hat", encoded.y_hat[0].numpy())
    case.note("decode", {"stream": case.store("", encoded.data, ".mbt")}, sha256={"y_hat": digest})
    return {
        "image": path.name,
        "model": case.model_name,
        "height": height,
        "width": width,
        "psnr": psnr(forward.x_hat),
        "msssim": msssim(forward.x_hat),
        "bpp_theoretical": bits / (height * width),
        "psnr_bitstream": psnr(x_hat),
        "psnr_bitstream_8bit": psnr(shown),
        "msssim_bitstream_8bit": msssim(shown),
        "bpp_bitstream": 8 * len(encoded.data) / (height * width),
        "bytes": len(encoded.data),
        "stream_sha256": hashlib.sha256(encoded.data).hexdigest(),
        "y_hat_sha256": digest,
    }


def table(records: list[dict[str, Any]]) -> bytes:
    """The file of the figures. It is frozen with its note, whose msssim.py is in mbtref/suite/ now."""
    text = {
        "note": "psnr and bpp_theoretical: of the forward pass, open-loop; psnr_bitstream and bpp_bitstream: of "
        "the stream, closed-loop. PSNR in dB of float x_hat clamped to [0, 1], bpp over the picture's pixels. "
        "msssim, msssim_bitstream_8bit: MS-SSIM in [0, 1] of the forward pass's float picture and of the stream's "
        "8-bit one, by conformance/msssim.py. "
        "y_hat_sha256: of int32 grid units of 2^-10, little-endian, (M, h, w) in C order.",
        "records": records,
    }
    return (json.dumps(text, indent=1) + "\n").encode()
