"""Pictures: what is read from a file, how it is padded, what PSNR means."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch

from mbtref import image, planes
from mbtref.workbench import picturefiles
from tests.support import picture, write_png

RGB = picture(5, 7)
GREY = RGB[..., 0]
GREY_16 = (np.arange(35).reshape(5, 7) * 1871).astype(np.uint16)
OPAQUE = np.full((5, 7), 255, np.uint8)
ONE_CLEAR = OPAQUE.copy()
ONE_CLEAR[2, 3] = 254

Save = Callable[[Path], None]


def saved(array: npt.NDArray[Any], mode: str | None = None, **options: Any) -> Save:
    """Saves an array as a picture, converted to a mode of Pillow's first."""

    def save(path: Path) -> None:
        file = PIL.Image.fromarray(array)
        (file.convert(mode) if mode else file).save(path, **options)

    return save


TWO_COLOURS = np.array([[[1, 2, 3], [40, 50, 60]]])


def save_palette(path: Path, **options: Any) -> None:
    """The picture above, from a palette of three colours."""
    file = PIL.Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    file.putpalette([1, 2, 3, 40, 50, 60, 7, 8, 9])
    file.save(path, **options)


def save_turned(path: Path) -> None:
    """A picture that its EXIF data says to turn by 90° clockwise."""
    file = PIL.Image.fromarray(RGB)
    exif = file.getexif()
    exif[274] = 6
    file.save(path, exif=exif)


def grey(channel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The RGB picture of a grey one."""
    return np.stack([channel] * 3, -1)


@pytest.mark.parametrize(
    ("name", "save", "expected"),
    [
        ("rgb.png", saved(RGB), RGB),
        ("rgb.bmp", saved(RGB), RGB),
        ("rgb.tif", saved(RGB), RGB),
        ("grey.png", saved(GREY), grey(GREY)),
        ("bits.png", saved(GREY > 70), grey((GREY > 70) * 255)),
        ("palette.png", save_palette, TWO_COLOURS),
        ("unused_clear.png", lambda path: save_palette(path, transparency=2), TWO_COLOURS),
        ("opaque.png", saved(np.dstack([RGB, OPAQUE])), RGB),
        ("opaque_grey.png", saved(np.dstack([GREY, OPAQUE])), grey(GREY)),
        ("grey16.png", saved(GREY_16), grey(GREY_16 >> 8)),
        ("grey16.tif", saved(GREY_16), grey(GREY_16 >> 8)),
        ("grey16_big_endian.tif", saved(GREY_16.astype(">u2")), grey(GREY_16 >> 8)),
        ("grey16.pgm", saved(GREY_16), grey(GREY_16 >> 8)),
        ("cmyk.tif", saved(RGB, "CMYK"), RGB),
        ("turned.png", save_turned, np.rot90(RGB, -1)),
    ],
)  # fmt: skip
def test_read(tmp_path: Path, name: str, save: Save, expected: npt.NDArray[Any]) -> None:
    """A picture of any sort is read as upright RGB, with 16 bits cut to the upper eight."""
    save(tmp_path / name)
    found = picturefiles.read(tmp_path / name)
    image.check(found)
    assert found.tolist() == expected.tolist(), f"{name} isn't read as its pixels"


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("rgba.png", saved(np.dstack([RGB, ONE_CLEAR]))),
        ("grey_alpha.png", saved(np.dstack([GREY, ONE_CLEAR]))),
        ("palette.png", lambda path: save_palette(path, transparency=1)),
        ("colour_key.png", saved(RGB, transparency=tuple(RGB[2, 3].tolist()))),
        ("grey16_key.png", saved(GREY_16, transparency=0)),
    ],
)
def test_transparent_pixels_are_refused(tmp_path: Path, name: str, save: Save) -> None:
    """One pixel that isn't opaque is a ValueError that says what to do."""
    save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: has transparent pixels; flatten it"):
        picturefiles.read(tmp_path / name)


@pytest.mark.parametrize("data", [b"", b"a text\n", b"\x89PNG\r\n\x1a\n", b"MBT\x01"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no picture is a ValueError that names it."""
    (tmp_path / "file.png").write_bytes(data)
    with pytest.raises(ValueError, match="file.png: not a picture that Pillow reads"):
        picturefiles.read(tmp_path / "file.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif"])
def test_a_cut_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    """A picture file cut in its middle, or near its beginning, is a ValueError that names it."""
    saved(picture(40, 40))(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    for length in (len(data) // 2, 30):
        (tmp_path / f"cut.{suffix}").write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"cut.{suffix}"):
            picturefiles.read(tmp_path / f"cut.{suffix}")


def test_a_huge_picture_is_refused(tmp_path: Path) -> None:
    """A few bytes that announce 400 million pixels are a ValueError, and not decoded."""
    saved(RGB)(tmp_path / "huge.bmp")
    data = bytearray((tmp_path / "huge.bmp").read_bytes())
    data[18:26] = (20_000).to_bytes(4, "little") * 2
    (tmp_path / "huge.bmp").write_bytes(data)
    with pytest.raises(ValueError, match="huge.bmp: .*Image size .400000000 pixels"):
        picturefiles.read(tmp_path / "huge.bmp")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """A file that isn't there is an OSError: nothing is wrong with its content."""
    with pytest.raises(FileNotFoundError):
        picturefiles.read(tmp_path / "none.png")


def test_png_keeps_pixels(tmp_path: Path) -> None:
    """A written picture is read back as it was."""
    write_png(tmp_path / "picture.png", RGB)
    assert (picturefiles.read(tmp_path / "picture.png") == RGB).all(), (
        "pixels change on their way through a PNG file"
    )


@pytest.mark.parametrize(
    "wrong",
    [RGB.astype(np.float32), RGB.astype(np.int16), RGB[..., :1], RGB[..., 0], RGB[None], RGB[:0], RGB[:, :0]],
)
def test_what_is_no_array_of_pixels_is_refused(wrong: image.Image) -> None:
    """Another type, number of channels or of axes, and no pixels at all, are a ValueError."""
    with pytest.raises(ValueError, match="a picture is a uint8 array"):
        image.check(wrong)


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        (PIL.Image.fromarray(RGB), "numpy.array(picture.convert('RGB'))"),
        ("picture.png", "mbtref.workbench.picturefiles.read"),
        (RGB.tolist(), "a NumPy array"),
        (RGB[..., 0], "numpy.dstack([picture] * 3)"),
        (RGB[..., :1], "numpy.dstack([picture] * 3)"),
        (np.dstack([RGB, RGB[..., :1]]), "picture[..., :3]"),
        (RGB.transpose(2, 0, 1), "picture.transpose(1, 2, 0)"),
        (RGB[None], "encode_batch"),
        (RGB[:0], "no pixels"),
        ((RGB / 255).astype(np.float32), "(255 * picture).round().astype(numpy.uint8)"),
        (RGB.astype(np.float64), "picture.round().astype(numpy.uint8)"),
        (RGB.astype(np.uint16) << 8, "(picture >> 8).astype(numpy.uint8)"),
        (RGB.astype(np.float32) - 1e3, "0 or more"),
        (np.full(RGB.shape, np.nan), "finite"),
        (RGB.astype(np.float32) * 1e3, "scale"),
        (RGB > 9, "aren't numbers"),
    ],
)
def test_the_fix_is_told(wrong: Any, fix: str) -> None:
    """What isn't a picture is refused with what to do."""
    with pytest.raises(ValueError, match="a picture is a uint8 array") as caught:
        image.check(wrong)
    assert fix in str(caught.value), f"no {fix!r} in {caught.value}"


def test_the_fixes_fit() -> None:
    """What the texts advise gives the picture."""
    grey = RGB[..., 0]
    for fixed, expected in (
        (np.array(PIL.Image.fromarray(RGB).convert("RGB")), RGB),
        (np.dstack([grey] * 3), RGB[..., :1].repeat(3, 2)),
        (np.dstack([grey[..., None]] * 3), RGB[..., :1].repeat(3, 2)),
        (RGB.transpose(2, 0, 1).transpose(1, 2, 0), RGB),
        ((255 * (RGB / 255)).round().astype(np.uint8), RGB),
        (((RGB.astype(np.uint16) << 8) >> 8).astype(np.uint8), RGB),
    ):
        image.check(fixed)
        assert (fixed == expected).all(), "other pixels"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (64, 64), (65, 64), (5, 130)])
def test_padding_replicates_right_and_bottom(height: int, width: int) -> None:
    """A padded picture has sides of the next multiples of 64 and repeats its last row and column."""
    pixels = picture(height, width)
    padded = planes.pad(planes.to_tensor(pixels))
    sides = -(-height // 64) * 64, -(-width // 64) * 64
    expected = pixels[np.ix_(np.arange(sides[0]).clip(max=height - 1), np.arange(sides[1]).clip(max=width - 1))]
    assert padded.shape == (1, 3, *sides), f"padded to {tuple(padded.shape)}"
    assert (planes.to_image(padded[0]) == expected).all(), "the padding isn't the nearest pixel"


def test_tensors_are_channels_first_in_0_to_1() -> None:
    """Pixel 255 is 1, channel c of pixel (row, column) is at (0, c, row, column)."""
    x = planes.to_tensor(RGB)
    assert (x.dtype, x.shape) == (torch.float32, (1, 3, 5, 7)), f"{x.dtype} {tuple(x.shape)}"
    assert x[0, 2, 4, 6] * 255 == RGB[4, 6, 2], "axes are not where they should be"
    everything = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    assert (planes.to_image(planes.to_tensor(everything)[0]) == everything).all(), (
        "a pixel value doesn't come back"
    )


def test_pictures_are_clamped_and_rounded() -> None:
    """Floats outside [0, 1] become 0 or 255, others the nearest of 256 steps."""
    row = torch.tensor([-3.0, -0.001, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 1.001, 7.0])
    found = planes.to_image(row.repeat(3, 1, 1))[0, :, 0].tolist()
    assert found == [0, 0, 0, 1, 254, 255, 255, 255], f"pixels are {found}"


def test_psnr_by_hand() -> None:
    """Of four values one is off by 0.1: the mean square is 0.0025, PSNR 26.0206 dB; equal pictures have inf."""
    a, b = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    found = planes.psnr(a, b)
    assert abs(found - 26.020599913279625) < 1e-12, f"{found} dB"
    assert planes.psnr(b, b) == math.inf, "equal pictures differ by nothing"
