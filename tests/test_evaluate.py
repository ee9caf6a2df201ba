"""What is measured of a picture, each figure found once more from its definition."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F

import mbtref
from mbtref import bitstream, codec, planes
from mbtref.openloop import buffers
from mbtref.openloop.forward import forward_pass
from mbtref.suite.msssim import decibels, ms_ssim
from mbtref.workbench import analysis, baselines, figures, records, tables
from mbtref.workbench.evaluate import evaluate, measure, open_loop
from mbtref.workbench.records import Record
from tests.support import ROOT, picture

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
    forward = forward_pass(lite.networks, planes.pad(planes.to_tensor(picture(HEIGHT, WIDTH))))
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
        found = getattr(record, name)
        assert found == pytest.approx(value, rel=1e-9), f"{name}: {found}, not {value}"
    assert record.psnr != record.psnr_8bit, "rounding to 8 bits should show"


@torch.no_grad()
def test_the_bitstream(lite: mbtref.Model, record: Record) -> None:
    """The stream's rate is that of all its bytes, its PSNR that of what a decoder shows."""
    data = mbtref.encode(lite, picture(HEIGHT, WIDTH))
    x_hat = lite.transforms.g_s(codec.decode_latents(lite, [data]))
    assert record.bpp_bitstream == pytest.approx(8 * len(data) / PIXELS), f"{record.bpp_bitstream} bpp"
    assert record.psnr_bitstream == pytest.approx(psnr(x_hat, levels=False)), f"{record.psnr_bitstream} dB"
    levels = record.psnr_bitstream_8bit
    assert levels == pytest.approx(psnr(x_hat, levels=True)), f"{levels} dB of the 8-bit picture"
    assert record.symbols_equal, "the decoder should find the encoder's latents"
    assert min(record.encode_seconds, record.decode_seconds) > 0, "it took no time"


@torch.no_grad()
def test_msssim(lite: mbtref.Model) -> None:
    """MS-SSIM is that of the clamped, cropped float picture: of the forward pass, and of the stream."""
    pixels = picture(170, 200)
    found = evaluate(lite, pixels, "a.png")
    x = pixels.transpose(2, 0, 1) / 255
    open_loop = forward_pass(lite.networks, planes.pad(planes.to_tensor(pixels))).x_hat
    closed_loop = lite.transforms.g_s(codec.decode_latents(lite, [mbtref.encode(lite, pixels)]))
    for value, x_hat in ((found.msssim, open_loop), (found.msssim_bitstream, closed_loop)):
        due = ms_ssim(x, x_hat[0, :, :170, :200].clamp(0, 1).double().numpy())
        assert value == pytest.approx(due, abs=1e-6), f"MS-SSIM is {value}, not {due}"
    assert found.msssim != found.msssim_bitstream, "closed loop and open loop should differ"


def test_msssim_in_json_and_in_the_table(record: Record) -> None:
    """Without MS-SSIM it is null in JSON and a dash in the table; with it a number, and dB of the mean."""
    assert record.msssim is record.msssim_bitstream is None, "a picture of 50×70 is too small"
    large = dataclasses.replace(record, model="large", height=200, width=200, msssim=0.98, msssim_bitstream=0.99)
    larger = dataclasses.replace(large, image="b.png", msssim_bitstream=1.0, psnr=math.inf)
    content = json.loads(json.dumps(records.as_json([record, large, larger]), allow_nan=False))
    assert [row["msssim_bitstream"] for row in content["records"]] == [None, 0.99, 1.0], "other values in JSON"
    assert records.from_json(content) == [record, large, larger], "JSON gives other records back"
    small, both = cells([record, large, larger])[2:]
    assert small[4] == small[7] == "–", f"no dash where there is none: {small}"
    assert both[4] == f"{decibels(0.995):.2f}", f"not the mean in dB: {both}"
    assert cells([record, larger])[3][4] == "∞", "a perfect copy has infinite dB"
    mixed = records.means([dataclasses.replace(record, model="large"), large])
    assert mixed[0]["msssim"] is None, "a mean over some of the pictures"


@torch.no_grad()
def test_results_are_short(lite: mbtref.Model) -> None:
    """In a notebook a result is a line of dtypes, shapes and sizes; a stream and a panel are pictures too."""
    pixels = picture(HEIGHT, WIDTH)
    encoded = codec.encode_latents(lite, pixels)
    forward = forward_pass(lite.networks, planes.pad(planes.to_tensor(pixels)))
    latents = buffers.unpack_raw(buffers.pack_raw(forward.y_hat, forward.z_hat))
    found, panel = analysis.analyse(lite, pixels, "a.png"), figures.original(pixels)
    measured = (measure(lite, pixels, "a.png"), open_loop(lite.networks, pixels))
    for result in (lite, encoded, forward, latents, bitstream.unpack(encoded.data), found, panel, *measured):
        assert len(repr(result)) < 300, f"{len(repr(result))} characters: {result!r}"[:1000]
        assert repr(result).startswith(f"{type(result).__name__}("), f"no type: {result!r}"
    for fact in ("lite-q4", "N=48, M=64", lite.fingerprint.hex()):
        assert fact in repr(lite), f"{fact} isn't in {lite!r}"
    assert f"data={len(encoded.data)} bytes, y_hat=float32 (1, 64, 4, 8)" in repr(encoded), f"it shows {encoded!r}"
    shown = np.array(PIL.Image.open(io.BytesIO(encoded._repr_png_() or b"")))
    assert np.array_equal(shown, mbtref.decode(lite, encoded.data)), "not the picture that a decoder makes"
    due = '<p>a &lt;b&gt;</p><img src="data:image/webp;base64,'
    assert dataclasses.replace(panel, title="a <b>")._repr_html_().startswith(due), "not its title and its pixels"
    charts = [figures.channel_rates(found)._repr_png_() for _ in range(2)]
    assert charts[0] == charts[1], "a chart has other bytes each time"
    assert charts[0].startswith(b"\x89PNG"), "a chart is no PNG file"


def cells(found: Sequence[Record]) -> list[list[str]]:
    """The cells of a table's lines, without the rule."""
    lines = [line for line in tables.table(found) if line.startswith("| ")]
    assert len(set(map(len, lines))) == 1, f"the columns aren't aligned: {lines}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_groups(record: Record) -> None:
    """Rate, PSNR and MS-SSIM stand under what they are of, and below the table stands the machine of the times."""
    other = dataclasses.replace(record, machine="another machine")
    groups, names, row = cells([record, other, dataclasses.replace(record, machine="")])
    for name, rate in (("bitstream", record.bpp_bitstream), ("theoretical", record.bpp_theoretical)):
        first = groups.index(name)
        assert names[first : first + 3] == ["bpp", "PSNR / dB", "MS-SSIM / dB"], f"{names[first:]} under {name}"
        assert groups[first + 1 : first + 3] == ["", ""], f"not one group: {groups}"
        assert row[first] == f"{rate:.4f}", f"not the rate of {name}: {row}"
    last = list(tables.table([record, other]))[-1]
    assert last == f"Times: {record.machine}; another machine", last
    threads, version = f"{torch.get_num_threads()} thread", f"PyTorch {torch.__version__}"
    assert threads in record.machine, f"no threads in {record.machine}"
    assert record.machine.endswith(version), f"no version in {record.machine}"


def test_the_csv_is_the_records(record: Record, tmp_path: Path) -> None:
    """A row of the CSV file has the fields of its record; the documented line gives pandas the same table."""
    odd = dataclasses.replace(record, image='a, "b"\n.png', psnr=math.inf, msssim=0.98, symbols_equal=False)
    rows = list(csv.DictReader(io.StringIO(tables.as_csv([record, odd]).decode(), newline="")))
    for row, due in zip(rows, (record, odd), strict=True):
        texts = {key: "" if value is None else str(value) for key, value in dataclasses.asdict(due).items()}
        assert row == texts, f"another row: {row}"
    pandas = pytest.importorskip("pandas", reason="not run: no pandas")
    (tmp_path / "figures.csv").write_bytes(tables.as_csv([record, odd]))
    (line,) = re.findall(r"pd\.read_csv\(.*\)", (ROOT / "docs" / "walkthrough.md").read_text("utf-8"))
    with contextlib.chdir(tmp_path):
        found = eval(line, {"pd": pandas})
    due = pandas.DataFrame([record, odd]).astype(found.dtypes)
    pandas.testing.assert_frame_equal(found, due)


def test_a_drift_and_other_latents_are_seen(lite: mbtref.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that finds other latents, and a buffer that holds others, are noticed."""
    decode, unpack = codec.decode_latents, buffers.unpack_raw
    monkeypatch.setattr(codec, "decode_latents", lambda model, streams: decode(model, streams) + 1)
    monkeypatch.setattr(buffers, "unpack_raw", lambda data: unpack(data)._replace(y_hat=unpack(data).y_hat + 1))
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
