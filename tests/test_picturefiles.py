"""Picture files: what each declares is read right, or refused in a line. `test_pngfile` is for PNG alone."""

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from PIL import ImageCms

from mbtref import image
from mbtref.workbench import picturefiles
from tests.support import picture, run

RGB = picture(5, 7)
GREY = RGB[..., 0]
GREY_16 = (np.arange(35).reshape(5, 7) * 1871).astype(np.uint16)
OPAQUE = np.full((5, 7), 255, np.uint8)
ONE_CLEAR = OPAQUE.copy()
ONE_CLEAR[2, 3] = 254
DARK = np.array([[0, 16, 255]], np.uint8)
FLAT = np.full((8, 8, 3), [200, 10, 100], np.uint8)
"""What JPEG keeps to 4 levels."""
TWO_COLOURS = np.array([[[1, 2, 3], [40, 50, 60]]])

File = Callable[[str], bytes]
"""The bytes of a file for a format, by Pillow's name."""


def saved(pixels: npt.NDArray[Any] | PIL.Image.Image, mode: str | None = None, **options: Any) -> File:
    """Pixels as a file, converted to a mode of Pillow's first."""

    def save(kind: str) -> bytes:
        data = io.BytesIO()
        file = PIL.Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
        file.convert(mode or file.mode).save(data, kind, **options)
        return data.getvalue()

    return save


def palette(**options: Any) -> File:
    """The two colours, from a palette of three."""
    file = PIL.Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    file.putpalette([1, 2, 3, 40, 50, 60, 7, 8, 9])
    return saved(file, **options)


def of(data: bytes) -> File:
    return lambda kind: data


def changed(file: File, old: bytes, new: bytes) -> File:
    """A file with other bytes in a place."""

    def save(kind: str) -> bytes:
        data = file(kind)
        assert old in data, f"no {old!r} in the file"
        return data.replace(old, new)

    return save


def tag(number: int, value: int, kind: int = 3) -> bytes:
    """An entry of TIFF or EXIF with one number. kind: 3 is short, 4 long."""
    return struct.pack("<HHII", number, kind, 1, value)


def exif(*entries: bytes) -> bytes:
    """EXIF data of entries of 12 bytes."""
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


TURN = tag(274, 6)
"""Turn by 90° clockwise."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NEARLY_SRGB = SRGB.replace(b"\0\2ff", b"\0\2b\0")
"""A profile that moves some colours by one level, as other makers' sRGB does."""
GBR = SRGB.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"bXYZ", b"gXYZ").replace(b"?XYZ", b"bXYZ")
"""A profile in which red stands for green, green for blue, and blue for red."""
LINEAR_GREY = (
    SRGB.replace(b"RGB XYZ", b"GRAYXYZ").replace(b"rTRC", b"kTRC").replace(b"\0\3\0\0\0\2ff", b"\0\0\0\0\0\1\0\0")
)
"""A profile for grey whose levels are proportional to light."""


def grey(channel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The RGB picture of a grey one."""
    return np.stack([channel] * 3, -1)


def read(data: bytes) -> image.Image:
    return picturefiles.parse(data, Path("a.file"))


@pytest.mark.parametrize(
    ("kind", "file", "expected"),
    [
        ("PNG", saved(RGB), RGB),
        ("BMP", saved(RGB), RGB),
        ("TIFF", saved(RGB), RGB),
        ("TIFF", saved(RGB, compression="tiff_lzw"), RGB),
        ("TIFF", saved(RGB, compression="tiff_adobe_deflate"), RGB),
        ("GIF", palette(), TWO_COLOURS),
        ("BMP", palette(), TWO_COLOURS),
        ("TIFF", palette(), TWO_COLOURS),
        ("WEBP", saved(RGB, lossless=True), RGB),
        ("PPM", saved(RGB), RGB),
        ("PPM", of(b"P3 2 1 5 0 1 2 3 4 5"), np.array([[[0, 51, 102], [153, 204, 255]]])),
        ("PPM", saved(GREY > 70), grey((GREY > 70) * 255)),
        ("TIFF", saved(np.dstack([RGB, OPAQUE])), RGB),
        ("TIFF", saved(GREY_16), grey(GREY_16 >> 8)),
        ("TIFF", saved(GREY_16.astype(">u2")), grey(GREY_16 >> 8)),
        ("TIFF", saved(GREY_16, compression="tiff_lzw"), grey(GREY_16 >> 8)),
        ("TIFF", saved(GREY_16, tiffinfo={262: 0}), grey(255 - (GREY_16 >> 8))),
        ("TIFF", saved(GREY, tiffinfo={262: 0}), grey(GREY)),
        ("PPM", saved(GREY_16), grey(GREY_16 >> 8)),
        ("TIFF", saved(RGB, "CMYK"), RGB),
        ("TIFF", saved(RGB, icc_profile=SRGB), RGB),
        ("PNG", saved(GREY_16, icc_profile=NEARLY_SRGB), grey(GREY_16 >> 8)),
        ("PNG", saved(RGB, icc_profile=GBR), RGB[..., [2, 0, 1]]),
        ("TIFF", saved(RGB, icc_profile=GBR), RGB[..., [2, 0, 1]]),
        ("JPEG", saved(FLAT, icc_profile=GBR), FLAT[..., [2, 0, 1]]),
        ("WEBP", saved(FLAT, lossless=True, icc_profile=GBR), FLAT[..., [2, 0, 1]]),
        ("PNG", palette(icc_profile=GBR), TWO_COLOURS[..., [2, 0, 1]]),
        ("PNG", saved(GREY, icc_profile=GBR), grey(GREY)),
        ("PNG", saved(DARK, icc_profile=LINEAR_GREY), grey(np.array([[0, 71, 255]]))),
        ("PNG", saved(RGB, exif=exif(TURN)), np.rot90(RGB, -1)),
        ("WEBP", saved(RGB, lossless=True, exif=exif(TURN)), np.rot90(RGB, -1)),
        ("TIFF", saved(RGB, tiffinfo={274: 6}), np.rot90(RGB, -1)),
        ("TIFF", saved(RGB, compression="tiff_lzw", tiffinfo={274: 6}), np.rot90(RGB, -1)),
        ("PNG", saved(RGB, exif=exif(TURN, tag(282, 9, 10))), np.rot90(RGB, -1)),
        ("PNG", saved(RGB, exif=b"Exif\0\0II"), RGB),
        ("PNG", saved(RGB, exif=exif(tag(274, 99))), RGB),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Truncated:UserWarning", "ignore:Corrupt:UserWarning")
def test_read(kind: str, file: File, expected: npt.NDArray[Any]) -> None:
    """A picture of any sort is read as upright sRGB, 16 bits cut to the upper eight, damaged EXIF or not."""
    found = read(file(kind))
    image.check(found)
    assert found.shape == expected.shape, f"it is read as {found.shape}"
    rounded = 4 if kind == "JPEG" else 0
    assert np.abs(found - expected.astype(int)).max() <= rounded, f"it isn't read as its pixels: {found}"


TRANSPARENT = "has transparent pixels; flatten it"
ANIMATED = ("PNG", "GIF", "WEBP", "TIFF", "MPO")
OTHERS = ("EPS", "TGA", "PCX", "ICO", "SGI", "JPEG2000", "PDF")
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [PIL.Image.fromarray(RGB[::-1].copy())]}
UNKNOWN = "not a picture that Pillow reads as PNG, JPEG, BMP, PPM, TIFF, WEBP, GIF; save it as an 8-bit PNG"
SIZE = struct.pack("<II", 7, 5)
UNUSABLE = "its colour profile can't be used: .*; convert it to sRGB first"


def bitmap(bits: int, colours: bytes, rows: bytes, lengths: int = 0) -> bytes:
    """A BMP of 4 × 1 pixels."""
    start = 54 + len(colours)
    fields = (start + len(rows), 0, start, 40, 4, 1, 1, bits, lengths, len(rows), 0, 0, len(colours) // 4, 0)
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", *fields) + colours + rows


@pytest.mark.parametrize(
    ("kind", "file", "message"),
    [
        ("TIFF", saved(np.dstack([RGB, ONE_CLEAR])), TRANSPARENT),
        ("WEBP", saved(np.dstack([RGB, ONE_CLEAR]), lossless=True), TRANSPARENT),
        ("GIF", palette(transparency=1), TRANSPARENT),
        *((kind, saved(RGB, **FRAMES), "has several frames; save the one that") for kind in ANIMATED),
        ("PPM", lambda kind: 2 * saved(RGB)(kind), "has several pictures"),
        ("PPM", lambda kind: 2 * saved(GREY > 9)(kind), "has several pictures"),
        ("TIFF", changed(saved(GREY_16), tag(258, 16), tag(258, 12)), "has samples of 12 bits; save it"),
        ("TIFF", saved(GREY.astype(np.int32)), "has samples of more than 16 bits"),
        ("TIFF", saved(GREY.astype(np.float32)), "has samples of more than 16 bits"),
        ("TIFF", saved(GREY_16, tiffinfo={339: 2}), "has signed or float samples"),
        ("TIFF", saved(GREY, tiffinfo={339: 2}), "has signed or float samples"),
        ("TIFF", saved(RGB, "LAB", tiffinfo={}), "has an unusual kind of colour"),
        ("TIFF", saved(RGB, "CMYK", tiffinfo={332: 2}), "has inks other than CMYK"),
        ("TIFF", saved(RGB, "YCbCr"), "has YCbCr without compression"),
        ("TIFF", saved(GREY > 9, compression="group4"), "has an unusual compression"),
        ("TIFF", saved(RGB, tiffinfo={254: 1}), "has a preview in the place"),
        ("TIFF", changed(saved(GREY), tag(279, 35, 4), tag(279, 28, 4)), "has fewer bytes"),
        ("PPM", of(b"Pf 1 1 -1.0 abcd"), "has samples that aren't those of a PBM"),
        ("PPM", of(b"P5 1 1 1023 ab"), "has samples to 1023"),
        ("PPM", of(b"P6 1 1 65535 abcdef"), "has samples to 65535"),
        ("BMP", of(bitmap(8, b"\0\0\0\0\xff\xff\xff\0", b"\0\1\0\1")), "has a palette for fewer bits"),
        ("BMP", of(bitmap(8, bytes(8), b"\4\1\0\1", 1)), "has run lengths"),
        ("BMP", of(bitmap(8, b"\1\2\3\0\4\5\6\0", b"\0\1\2\1")), "damaged, .* outside the palette"),
        ("GIF", changed(palette(), b",\0\0\0\0\2\0", b",\0\0\0\0\1\0"), "has a frame of another size"),
        ("JPEG", changed(saved(RGB, "CMYK"), b"Adobe", b"Other"), "has CMYK that may be negative"),
        ("PNG", saved(RGB, icc_profile=b"no profile"), UNUSABLE),
        ("PNG", saved(RGB, icc_profile=GBR[:300]), UNUSABLE),
        ("PNG", saved(RGB, icc_profile=LINEAR_GREY), UNUSABLE),
        ("JPEG", saved(RGB, "CMYK", icc_profile=GBR), UNUSABLE),
        ("PNG", saved(GREY_16, icc_profile=GBR), "has 16 bits and a colour profile"),
        ("PNG", of(b""), UNKNOWN),
        ("PNG", of(b"a text\n"), UNKNOWN),
        ("PNG", of(b"MBT\x01"), UNKNOWN),
        *((kind, saved(RGB), UNKNOWN) for kind in OTHERS),
        ("BMP", changed(saved(RGB), SIZE, struct.pack("<II", 20_000, 20_000)), "damaged, .*400000000 pixels"),
        ("BMP", changed(saved(RGB), SIZE, struct.pack("<II", 7_000, 7_000)), "damaged, .*coded: sides go"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_right_is_refused(kind: str, file: File, message: str) -> None:
    """What a file declares and isn't read right is a ValueError that names the file, the reason and what to do."""
    with pytest.raises(ValueError, match=f"^a.file: {message}"):
        read(file(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_cut_picture_is_refused(kind: str) -> None:
    """A picture file cut in its middle, or near its beginning, is a ValueError that names it."""
    data = saved(picture(40, 40))(kind)
    for length in (len(data) // 2, 30):
        with pytest.raises(ValueError, match="^a.file: "):
            read(data[:length])


def test_reading_leaves_the_filters_of_warnings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading never changes the process's filters, which isn't safe in threads."""
    monkeypatch.setattr(warnings, "catch_warnings", None)
    assert read(palette(transparency=bytes([255, 255, 9]))("PNG")).tolist() == TWO_COLOURS.tolist(), "other pixels"


@pytest.mark.parametrize("words", [("encode", "-o", "a.mbt"), ("eval", "--model", "lite-q4")])
def test_the_command_line_shows_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Neither Pillow's warnings nor what libtiff writes by itself reaches the user of a command."""
    monkeypatch.chdir(tmp_path)
    data = saved(picture(40, 40), compression="tiff_lzw")("TIFF")
    for damaged in (data[:20] + bytes(30) + data[50:], data[: len(data) // 2]):
        (tmp_path / "a.tif").write_bytes(damaged)
        assert run(*words, "a.tif") == 1, "it was read"
        error = capfd.readouterr().err
        assert error.count("\n") == 1, f"more than a line: {error}"
        assert "a.tif" in error, f"no name: {error}"
