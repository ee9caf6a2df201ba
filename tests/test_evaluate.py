"""What is measured of a picture, each figure found once more from its definition."""

import io
import zlib

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F

import mbtref
from mbtref import codec, planes
from mbtref.workbench import baselines
from mbtref.workbench.evaluate import evaluate
from mbtref.workbench.records import Record
from tests.support import picture

HEIGHT, WIDTH = 50, 70
PIXELS = HEIGHT * WIDTH


@pytest.fixture(scope="module")
def record(lite: mbtref.Model) -> Record:
    return evaluate(lite, picture(HEIGHT, WIDTH), "a.png")


def psnr(x_hat: torch.Tensor, levels: bool) -> float:
    """Against the picture. levels: whether x_hat is rounded to 8 bits first."""
    x = torch.from_numpy(picture(HEIGHT, WIDTH).copy()).permute(2, 0, 1) / 255
    inside = x_hat[0, :, :HEIGHT, :WIDTH].clamp(0, 1)
    shown = (inside * 255).round() / 255 if levels else inside
    return float(-10 * torch.log10(F.mse_loss(shown.double(), x.double())))


@torch.no_grad()
def test_the_forward_pass(lite: mbtref.Model, record: Record) -> None:
    """Rates are bits over the unpadded picture, PSNR is of the crop, buffers count with their header."""
    forward = lite.networks(planes.pad(planes.to_tensor(picture(HEIGHT, WIDTH))))
    bits_y, bits_z = (
        -np.log2(p.double().numpy()).sum() / PIXELS for p in (forward.y_likelihoods, forward.z_likelihoods)
    )
    latents = b"".join(v.numpy().astype("<i2").tobytes() for v in (forward.y_hat, forward.z_hat))
    expected = {
        "bpp_y": bits_y,
        "bpp_z": bits_z,
        "bpp_theoretical": bits_y + bits_z,
        "bpp_buffer_raw": 8 * (32 + len(latents)) / PIXELS,
        "bpp_buffer_zlib": 8 * (32 + len(zlib.compress(latents, 9))) / PIXELS,
        "psnr": psnr(forward.x_hat, levels=False),
        "psnr_8bit": psnr(forward.x_hat, levels=True),
        "drift_buffer": 0.0,
    }
    for name, value in expected.items():
        assert getattr(record, name) == pytest.approx(value, rel=1e-9), (
            f"{name}: {getattr(record, name)}, not {value}"
        )
    assert record.psnr != record.psnr_8bit, "rounding to 8 bits should show"


@torch.no_grad()
def test_the_bitstream(lite: mbtref.Model, record: Record) -> None:
    """The stream's rate is that of all its bytes, its PSNR that of what a decoder shows."""
    data = mbtref.encode(lite, picture(HEIGHT, WIDTH))
    x_hat = lite.transforms.g_s(codec.decode_latents(lite, [data]))
    assert record.bpp_bitstream == pytest.approx(8 * len(data) / PIXELS), f"{record.bpp_bitstream} bpp"
    assert record.psnr_bitstream == pytest.approx(psnr(x_hat, levels=False)), f"{record.psnr_bitstream} dB"
    assert record.psnr_bitstream_8bit == pytest.approx(psnr(x_hat, levels=True)), (
        f"{record.psnr_bitstream_8bit} dB"
    )
    assert record.symbols_equal, "the decoder should find the encoder's latents"
    assert min(record.encode_seconds, record.decode_seconds) > 0, "it took no time"


def test_a_drift_and_other_latents_are_seen(lite: mbtref.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that finds other latents, and a buffer that holds others, are noticed."""
    decode, unpack = codec.decode_latents, mbtref.latents.unpack_raw
    monkeypatch.setattr(codec, "decode_latents", lambda model, streams: decode(model, streams) + 1)
    monkeypatch.setattr(
        mbtref.latents, "unpack_raw", lambda data: unpack(data)._replace(y_hat=unpack(data).y_hat + 1)
    )
    wrong = evaluate(lite, picture(HEIGHT, WIDTH), "a.png")
    assert not wrong.symbols_equal, "other latents count as equal"
    assert wrong.drift_buffer > 0, "a buffer that drifts isn't seen"


def test_a_point_of_jpeg() -> None:
    """A baseline's rate is that of the whole file, its PSNR that of the picture in it."""
    pixels = picture(HEIGHT, WIDTH)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=baselines.QUALITIES["JPEG"][3])
    shown = np.array(PIL.Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    error = np.mean((shown.astype(np.float64) - pixels) ** 2) / 255**2
    found = baselines.curve(pixels, "JPEG")[3]
    assert found.bpp == 8 * len(file.getvalue()) / PIXELS, f"{found.bpp} bpp"
    assert found.psnr == pytest.approx(-10 * np.log10(error), abs=1e-5), f"{found.psnr} dB"


def test_a_format_that_cannot_hold_a_picture_is_left_out() -> None:
    """A picture too long for WebP has no curve of it, but that of JPEG."""
    assert list(baselines.curves(picture(1, 16400))) == ["JPEG"], "WebP can't hold 16400 pixels in a row"
