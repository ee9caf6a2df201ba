"""Rate and distortion of pictures: the forward pass, the latent buffers and the real bitstream."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbtref import bitstream, codec, image, planes
from mbtref.brief import brief
from mbtref.codec import Encoded
from mbtref.model import Model
from mbtref.networks import MBT2018
from mbtref.openloop import buffers
from mbtref.openloop.forward import Forward, forward_pass
from mbtref.suite.msssim import ms_ssim
from mbtref.workbench import machine, picturefiles
from mbtref.workbench.records import Record


class Measured(NamedTuple):
    """One picture at one model: the record, and the data behind it."""

    record: Record
    forward: Forward
    encoded: Encoded
    x_hat: Tensor
    """(1, 3, H', W') float, unclamped and padded: g_s of the decoder's latents, closed-loop."""

    def __repr__(self) -> str:
        return brief(self)


class OpenLoop(NamedTuple):
    """A forward pass and its latent buffers, without a bitstream."""

    forward: Forward
    raw: bytes
    """The raw buffer."""
    measures: dict[str, Any]
    """The fields of `Record` that it has."""

    def __repr__(self) -> str:
        return brief(self)


@torch.no_grad()
def open_loop(networks: MBT2018, picture: image.Image) -> OpenLoop:
    """Measures the forward pass. picture: (H, W, 3) uint8. Raises ValueError as `evaluate` does."""
    image.check(picture)
    height, width, _ = picture.shape
    bitstream.check_dimensions(height, width)
    x, place = planes.to_tensor(picture), next(networks.parameters()).device
    forward = Forward(*(stage.cpu() for stage in forward_pass(networks, planes.pad(x).to(place))))
    bits_y, bits_z = (-p.double().log2().sum().item() for p in (forward.y_likelihoods, forward.z_likelihoods))
    raw = buffers.pack_raw(forward.y_hat, forward.z_hat)
    deflated = buffers.pack_zlib(forward.y_hat, forward.z_hat)
    drifts = [
        (networks.g_s(buffer.y_hat.to(place)).cpu() - forward.x_hat).abs().max().item()
        for buffer in (buffers.unpack_raw(raw), buffers.unpack_zlib(deflated))
    ]
    bpp_y, bpp_z = bits_y / (height * width), bits_z / (height * width)
    measures = {
        **dict(zip(("psnr", "psnr_8bit", "msssim"), distortion(forward.x_hat, x), strict=True)),
        "bpp_y": bpp_y,
        "bpp_z": bpp_z,
        "bpp_theoretical": bpp_y + bpp_z,
        "bpp_buffer_raw": 8 * len(raw) / (height * width),
        "bpp_buffer_zlib": 8 * len(deflated) / (height * width),
        "drift_buffer": max(drifts),
    }
    return OpenLoop(forward, raw, measures)


def distortion(x_hat: Tensor, x: Tensor) -> tuple[float, float, float | None]:
    """PSNR, PSNR after rounding to 8 bits, and MS-SSIM. x_hat: padded, unclamped; x: (1, 3, H, W) in [0, 1]."""
    inside = x_hat[..., : x.shape[2], : x.shape[3]].clamp(0, 1)
    levels = (inside * 255).round() / 255
    return planes.psnr(inside, x), planes.psnr(levels, x), ms_ssim(inside[0].numpy(), x[0].numpy())


def evaluate(model: Model, picture: image.Image, name: str) -> Record:
    """Measures one picture at one model. picture: (H, W, 3) uint8. Raises ValueError as `codec.encode` does."""
    return measure(model, picture, name).record


def measure(model: Model, picture: image.Image, name: str) -> Measured:
    """`evaluate`, with the data behind the record. Arguments and errors are the same."""
    return next(measure_batch(model, [(picture, name)]))


@torch.no_grad()
def measure_batch(model: Model, pictures: Sequence[tuple[image.Image, str]]) -> Iterator[Measured]:
    """`measure` of pictures of one padded size, with their names, coded together: each has its share of the time.

    Errors as for `codec.encode_batch`.
    """
    start = time.perf_counter()
    coded = codec.encode_batch_latents(model, [picture for picture, _ in pictures])
    between = time.perf_counter()
    latents = codec.decode_latents(model, [encoded.data for encoded in coded]).split(1)
    shown = [model.transforms.g_s(y_hat) for y_hat in latents]
    for x_hat in shown:
        planes.to_image(x_hat[0])
    end = time.perf_counter()
    for (picture, name), encoded, y_hat, x_hat in zip(pictures, coded, latents, shown, strict=True):
        opened = open_loop(model.networks, picture)
        psnr, psnr_8bit, msssim = distortion(x_hat.cpu(), planes.to_tensor(picture))
        height, width, _ = picture.shape
        record = Record(
            image=name,
            model=model.name,
            fingerprint=model.fingerprint.hex(),
            pixels=picturefiles.sha256(picture),
            height=height,
            width=width,
            **opened.measures,
            psnr_bitstream=psnr,
            psnr_bitstream_8bit=psnr_8bit,
            msssim_bitstream=msssim,
            bpp_bitstream=8 * len(encoded.data) / (height * width),
            symbols_equal=torch.equal(y_hat, encoded.y_hat),
            encode_seconds=(between - start) / len(pictures),
            decode_seconds=(end - between) / len(pictures),
            machine=machine.setting(model.device),
        )
        yield Measured(record, opened.forward, encoded, x_hat.cpu())
