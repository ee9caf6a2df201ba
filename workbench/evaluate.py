"""Rate and distortion of pictures: the forward pass, the latent buffers and the real bitstream."""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbtref import bitstream, codec, image, latents, planes
from mbtref.codec import Encoded
from mbtref.model import MBT2018, Forward
from mbtref.weights import Model

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of the pictures in a folder."""


@dataclass(frozen=True)
class Record:
    """One picture at one model. PSNR in dB, rates in bits per pixel of the unpadded picture, times in seconds."""

    image: str
    """File name."""
    model: str
    fingerprint: str
    """Of the model, hexadecimal."""
    pixels: str
    """SHA-256 of the picture, (H, W, 3) uint8 in C order."""
    height: int
    width: int
    psnr: float
    """Of the forward pass: open-loop, float x_hat clamped to [0, 1]."""
    psnr_8bit: float
    """The same after rounding to 8 bits."""
    bpp_y: float
    """Sum of -log2 of the likelihoods of y in the forward pass."""
    bpp_z: float
    bpp_theoretical: float
    """bpp_y + bpp_z."""
    bpp_buffer_raw: float
    """Latent buffer of int16, header included."""
    bpp_buffer_zlib: float
    drift_buffer: float
    """Largest absolute difference between g_s of the unpacked buffer and the forward x_hat; should be 0."""
    psnr_bitstream: float
    """Of the decoded stream: closed-loop."""
    psnr_bitstream_8bit: float
    bpp_bitstream: float
    """Of the whole .mbt file, header included."""
    symbols_equal: bool
    """Whether the decoder's y_hat is the encoder's, bit for bit."""
    encode_seconds: float
    """From pixels to bytes."""
    decode_seconds: float
    """From bytes to pixels."""


class Measured(NamedTuple):
    """One picture at one model: the record, and the data behind it."""

    record: Record
    forward: Forward
    """Open-loop."""
    encoded: Encoded
    """Closed-loop."""
    x_hat: Tensor
    """(1, 3, H', W') float, unclamped and padded: g_s of the decoder's latents, closed-loop."""


GIVEN = ("image", "model", "fingerprint", "pixels", "height", "width")
MEASURES = [field.name for field in fields(Record) if field.name not in GIVEN]
"""The fields of which `means` takes the mean."""


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The named files, and the pictures in the named folders. A folder's pictures are sorted by name.

    Raises ValueError for a path that doesn't exist or a folder without pictures.
    """
    pictures = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"{path}: no pictures in this folder")
            pictures += inside
        elif path.exists():
            pictures.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return pictures


class OpenLoop(NamedTuple):
    """A forward pass and its latent buffers, without a bitstream. Units as in `Record`."""

    forward: Forward
    psnr: float
    psnr_8bit: float
    bpp_y: float
    bpp_z: float
    raw: bytes
    deflated: bytes
    drift: float


@torch.no_grad()
def open_loop(networks: MBT2018, picture: image.Image) -> OpenLoop:
    """Measures the forward pass. picture: (H, W, 3) uint8. Raises ValueError as `evaluate` does."""
    image.check(picture)
    height, width, _ = picture.shape
    bitstream.check_dimensions(height, width)
    x = planes.to_tensor(picture)
    forward = networks(planes.pad(x))
    bpp_y, bpp_z = (
        -likelihoods.double().log2().sum().item() / (height * width)
        for likelihoods in (forward.y_likelihoods, forward.z_likelihoods)
    )
    raw = latents.pack_raw(forward.y_hat, forward.z_hat)
    deflated = latents.pack_zlib(forward.y_hat, forward.z_hat)
    drift = max(
        (networks.g_s(buffer.y_hat) - forward.x_hat).abs().max().item()
        for buffer in (latents.unpack_raw(raw), latents.unpack_zlib(deflated))
    )
    return OpenLoop(forward, *_psnr(forward.x_hat, x), bpp_y, bpp_z, raw, deflated, drift)


def _psnr(x_hat: Tensor, x: Tensor) -> tuple[float, float]:
    """PSNR of the float and of the 8-bit picture. x_hat: padded, unclamped; x: (1, 3, H, W) float in [0, 1]."""
    inside = x_hat[..., : x.shape[2], : x.shape[3]].clamp(0, 1)
    return planes.psnr(inside, x), planes.psnr((inside * 255).round() / 255, x)


def evaluate(model: Model, picture: image.Image, name: str) -> Record:
    """Measures one picture at one model. picture: (H, W, 3) uint8. Raises ValueError as `codec.encode` does."""
    return measure(model, picture, name).record


@torch.no_grad()
def measure(model: Model, picture: image.Image, name: str) -> Measured:
    """`evaluate`, with the data behind the record. Arguments and errors are the same."""
    opened = open_loop(model.networks, picture)
    height, width, _ = picture.shape

    def bpp(data: bytes) -> float:
        return 8 * len(data) / (height * width)

    start = time.perf_counter()
    encoded = codec.encode_latents(model, picture)
    between = time.perf_counter()
    y_hat = codec.decode_latents(model, [encoded.data])
    x_hat = model.transforms.g_s(y_hat)
    planes.to_image(x_hat[0])
    end = time.perf_counter()

    psnr_bitstream, psnr_bitstream_8bit = _psnr(x_hat, planes.to_tensor(picture))
    record = Record(
        image=name,
        model=model.name,
        fingerprint=model.fingerprint.hex(),
        pixels=image.sha256(picture),
        height=height,
        width=width,
        psnr=opened.psnr,
        psnr_8bit=opened.psnr_8bit,
        bpp_y=opened.bpp_y,
        bpp_z=opened.bpp_z,
        bpp_theoretical=opened.bpp_y + opened.bpp_z,
        bpp_buffer_raw=bpp(opened.raw),
        bpp_buffer_zlib=bpp(opened.deflated),
        drift_buffer=opened.drift,
        psnr_bitstream=psnr_bitstream,
        psnr_bitstream_8bit=psnr_bitstream_8bit,
        bpp_bitstream=bpp(encoded.data),
        symbols_equal=torch.equal(y_hat, encoded.y_hat),
        encode_seconds=between - start,
        decode_seconds=end - between,
    )
    return Measured(record, opened.forward, encoded, x_hat)


def family(model: str) -> tuple[str, str]:
    """Curve and quality in a model's name: ("lite", "q4") of lite-q4, ("mine", "") of mine, without quality."""
    match = re.fullmatch(r"(.+)-(q\d+)", model)
    return (match[1], match[2]) if match else (model, "")


def means(records: Sequence[Record]) -> list[dict[str, str | int | float | bool | None]]:
    """One entry for each model, in order of appearance: `model`, `images`, the mean of each measure.

    `symbols_equal` is true if it is true of all records.
    """
    result = []
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        mean: dict[str, str | int | float | bool | None] = {"model": model, "images": len(own)}
        for measure in MEASURES:
            values = [getattr(record, measure) for record in own]
            mean[measure] = all(values) if measure == "symbols_equal" else finite(math.fsum(values) / len(values))
        result.append(mean)
    return result


def finite(value: float) -> float | None:
    """JSON has no infinity: the PSNR of a perfect copy becomes null."""
    return None if value == math.inf else value


def as_json(records: Sequence[Record]) -> dict[str, list[dict[str, str | int | float | bool | None]]]:
    """`{"records": [...], "means": [...]}`, ready for json.dumps."""
    rows = [
        {key: finite(value) if isinstance(value, float) else value for key, value in asdict(record).items()}
        for record in records
    ]
    return {"records": rows, "means": means(records)}


def from_json(content: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Record]:
    """The records in a result of `as_json`. Raises KeyError or TypeError if the content is anything else."""
    records = []
    for row in content["records"]:
        values: dict[str, Any] = {key: math.inf if value is None else value for key, value in row.items()}
        records.append(Record(**values))
    return records


def table(records: Sequence[Record]) -> Iterator[str]:
    """Lines of the means, for a terminal; also valid Markdown."""
    head = ("model", "images", "bpp bitstream", "PSNR", "bpp theoretical", "PSNR", "bpp zlib", "encode", "decode")
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for mean in means(records):
        yield (
            f"| {mean['model']} | {mean['images']} "
            f"| {mean['bpp_bitstream']:.4f} | {_db(mean['psnr_bitstream'])} "
            f"| {mean['bpp_theoretical']:.4f} | {_db(mean['psnr'])} | {mean['bpp_buffer_zlib']:.4f} "
            f"| {mean['encode_seconds']:.2f} s | {mean['decode_seconds']:.2f} s |"
        )


def _db(value: object) -> str:
    return "∞" if value is None else f"{value:.2f} dB"
