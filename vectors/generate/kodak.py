"""DECODE-3: the stream of every Kodak picture at every model, and the table of their figures, `kodak.json`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conformance.vectors import MANIFEST
from mbtref import codec, image
from mbtref.grid import ACTIVATION_BITS
from vectors.generate.vectorset import Files, VectorSet

REQUIREMENT = "DECODE-3"
TABLE = "kodak.json"
FOLDER = "kodak/"
"""Where the streams are."""


@torch.no_grad()
def kodak(out: VectorSet, name: str, path: Path) -> dict[str, Any]:
    """anything that small pictures don't show: long streams, borders far apart, natural statistics"""
    model = out.bench.golden.model(name)
    pixels = image.read(path)
    height, width, _ = pixels.shape
    x = image.to_tensor(pixels)

    def psnr(x_hat: Tensor) -> float:
        return image.psnr(x_hat[..., :height, :width].clamp(0, 1), x)

    forward = model.networks(image.pad(x))
    bits = -sum(p.double().log2().sum().item() for p in (forward.y_likelihoods, forward.z_likelihoods))
    encoded = codec.encode_latents(model, pixels)
    x_hat = model.networks.g_s(encoded.y_hat)
    units = (encoded.y_hat[0].double() * 2.0**ACTIVATION_BITS).numpy().astype("<i4")
    digest = hashlib.sha256(np.ascontiguousarray(units).tobytes()).hexdigest()

    entry = f"{name}/{path.stem}"
    stream = out.store(f"{FOLDER}{entry}", encoded.data, ".mbt")
    out.note(REQUIREMENT, entry, "decode", {"stream": stream}, made=kodak, model=name, sha256={"y_hat": digest})
    return {
        "image": path.name,
        "model": name,
        "height": height,
        "width": width,
        "psnr": psnr(forward.x_hat),
        "bpp_theoretical": bits / (height * width),
        "psnr_bitstream": psnr(x_hat),
        "psnr_bitstream_8bit": psnr((x_hat.clamp(0, 1) * 255).round() / 255),
        "bpp_bitstream": 8 * len(encoded.data) / (height * width),
        "bytes": len(encoded.data),
        "stream_sha256": hashlib.sha256(encoded.data).hexdigest(),
        "y_hat_sha256": digest,
    }


def table(records: list[dict[str, Any]]) -> bytes:
    """The file of the figures."""
    text = {
        "note": "psnr and bpp_theoretical: of the forward pass, open-loop; psnr_bitstream and bpp_bitstream: of "
        "the stream, closed-loop. PSNR in dB of float x_hat clamped to [0, 1], bpp over the picture's pixels. "
        "y_hat_sha256: of int32 grid units of 2^-10, little-endian, (M, h, w) in C order.",
        "records": records,
    }
    return (json.dumps(text, indent=1) + "\n").encode()


def left_out(files: Files) -> Files:
    """A set without its Kodak part."""
    manifest = json.loads(files[MANIFEST])
    manifest["requirements"].pop(REQUIREMENT, None)
    manifest["vectors"] = [entry for entry in manifest["vectors"] if entry["requirement"] != REQUIREMENT]
    kept = {path: data for path, data in files.items() if path != TABLE and not path.startswith(FOLDER)}
    manifest["files"] = {path: digest for path, digest in manifest["files"].items() if path in kept}
    return {**kept, MANIFEST: json.dumps(manifest).encode()}
