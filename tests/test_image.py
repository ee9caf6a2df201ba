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
from tests.support import picture

RGB = picture(5, 7)
GREY = RGB[..., 0]
GREY_16 = (np.arange(35).reshape(5, 7) * 1871).astype(np.uint16)
OPAQUE = np.full((5, 7), 255, np.uint8)
ONE_CLEAR = OPAQUE.copy()
ONE_CLEAR[2, 3] = 254

Save = Callable[[Path], object]


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


TRANSPARENT = "has transparent pixels; flatten it"


def bytes_of(data: bytes) -> Save:
    """Saves bytes that are no picture."""
    return lambda path: path.write_bytes(data)


def save_huge(path: Path) -> None:
    """A few bytes that announce 400 million pixels."""
    saved(RGB)(path)
    data = bytearray(path.read_bytes())
    data[18:26] = (20_000).to_bytes(4, "little") * 2
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "save", "message"),
    [
        ("rgba.png", saved(np.dstack([RGB, ONE_CLEAR])), TRANSPARENT),
        ("grey_alpha.png", saved(np.dstack([GREY, ONE_CLEAR])), TRANSPARENT),
        ("palette.png", lambda path: save_palette(path, transparency=1), TRANSPARENT),
        ("colour_key.png", saved(RGB, transparency=tuple(RGB[2, 3].tolist())), TRANSPARENT),
        ("grey16_key.png", saved(GREY_16, transparency=0), TRANSPARENT),
        ("empty.png", bytes_of(b""), "not a picture that Pillow reads"),
        ("text.png", bytes_of(b"a text\n"), "not a picture that Pillow reads"),
        ("stream.png", bytes_of(b"MBT\x01"), "not a picture that Pillow reads"),
        ("huge.bmp", save_huge, "damaged, or it can't be coded: Image size .400000000 pixels"),
    ],
)
def test_what_cannot_be_coded_is_refused(tmp_path: Path, name: str, save: Save, message: str) -> None:
    """A pixel that isn't opaque, no picture and a huge one are a ValueError that names the file and the reason."""
    save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        picturefiles.read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif"])
def test_a_cut_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    """A picture file cut in its middle, or near its beginning, is a ValueError that names it."""
    saved(picture(40, 40))(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    for length in (len(data) // 2, 30):
        (tmp_path / f"cut.{suffix}").write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"cut.{suffix}"):
            picturefiles.read(tmp_path / f"cut.{suffix}")


GIVES = [
    (PIL.Image.fromarray(RGB), "numpy.array(picture.convert('RGB'))", RGB),
    (GREY, "numpy.dstack([picture] * 3)", grey(GREY)),
    (GREY[..., None], "numpy.dstack([picture] * 3)", grey(GREY)),
    (np.dstack([RGB, OPAQUE]), "picture[..., :3]", RGB),
    (RGB.transpose(2, 0, 1), "picture.transpose(1, 2, 0)", RGB),
    ((RGB / 255).astype(np.float32), "(255 * picture).round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.float64), "picture.round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.int16), "picture.round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.uint16) << 8, "(picture >> 8).astype(numpy.uint8)", RGB),
]
"""What isn't a picture, the expression that makes one of it, and the picture."""


@pytest.mark.parametrize(("wrong", "fix", "expected"), GIVES)
def test_the_fix_gives_the_picture(wrong: Any, fix: str, expected: image.Image) -> None:
    """What isn't a picture is refused with an expression that makes one of it."""
    with pytest.raises(ValueError, match="a picture is a uint8 array") as caught:
        image.check(wrong)
    assert fix in str(caught.value), f"no {fix!r} in {caught.value}"
    fixed = eval(fix, {"numpy": np, "picture": wrong})
    image.check(fixed)
    assert np.array_equal(fixed, expected), f"{fix} gives another picture"


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("picture.png", "mbtref.workbench.picturefiles.read"),
        (RGB.tolist(), "a NumPy array"),
        (RGB[None], "encode_batch"),
        (RGB[:0], "no pixels"),
        (RGB[:, :0], "no pixels"),
        (RGB.astype(np.float32) - 1e3, "0 or more"),
        (np.full(RGB.shape, np.nan), "finite"),
        (RGB.astype(np.float32) * 1e3, "scale"),
        (RGB > 9, "aren't numbers"),
    ],
)
def test_the_fix_is_told(wrong: Any, fix: str) -> None:
    """What no expression makes a picture of is refused with what is wrong, or what to do."""
    with pytest.raises(ValueError, match=f"a picture is a uint8 array.*{fix}"):
        image.check(wrong)


def test_samples_become_floats_and_come_back() -> None:
    """Sample 255 is 1, channels come first; floats outside [0, 1] become 0 or 255, others the nearest step."""
    x = planes.to_tensor(RGB)
    assert (x.dtype, x.shape) == (torch.float32, (1, 3, 5, 7)), f"{x.dtype} {tuple(x.shape)}"
    assert x[0, 2, 4, 6] * 255 == RGB[4, 6, 2], "axes are not where they should be"
    everything = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    again = planes.to_image(planes.to_tensor(everything)[0])
    assert (again == everything).all(), "a pixel value doesn't come back"
    row = torch.tensor([-3.0, -0.001, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 1.001, 7.0])
    found = planes.to_image(row.repeat(3, 1, 1))[0, :, 0].tolist()
    assert found == [0, 0, 0, 1, 254, 255, 255, 255], f"pixels are {found}"


def test_psnr_by_hand() -> None:
    """Of four values one is off by 0.1: the mean square is 0.0025, PSNR 26.0206 dB; equal pictures have inf."""
    a, b = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    found = planes.psnr(a, b)
    assert abs(found - 26.020599913279625) < 1e-12, f"{found} dB"
    assert planes.psnr(b, b) == math.inf, "equal pictures differ by nothing"
