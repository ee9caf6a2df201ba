"""Picture files. A picture is a uint8 array (H, W, 3), RGB; `planes` makes a tensor of it."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

from mbtref import bitstream
from mbtref.files import write_whole

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, H and W at least 1."""


def read(path: Path) -> Image:
    """A picture file, see `parse`. Raises OSError if it can't be read, and ValueError."""
    with path.open("rb") as data:
        return parse(data, path)


def parse(data: BinaryIO, path: Path) -> Image:
    """The content of a picture file as upright RGB. path: its name in errors.

    Pillow converts other modes, such as grey, palette and CMYK.
    16-bit grey (modes I;16 and I) keeps its upper eight bits; Pillow would clip it to 255.

    Raises ValueError if it isn't a picture, is damaged or too large, has samples of more than 16 bits, or has a
    pixel that isn't opaque: the caller must choose the colour behind it.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            with PIL.Image.open(data) as file:
                bitstream.check_dimensions(file.height, file.width)
                file.load()
                picture = PIL.ImageOps.exif_transpose(file)
        except PIL.UnidentifiedImageError as error:
            raise ValueError(f"{path}: not a picture that Pillow reads") from error
        except Exception as error:  # each format's reader has its own errors for a damaged file
            raise ValueError(f"{path}: damaged, or it can't be coded: {error}") from error
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise ValueError(f"{path}: has transparent pixels; flatten it on a background colour first")
    if picture.mode.startswith(("I", "F")):
        samples = np.asarray(picture)
        if samples.dtype.kind == "f" or samples.min() < 0 or samples.max() >= 2**16:
            raise ValueError(f"{path}: has samples of more than 16 bits; convert it to 8 bits first")
        picture = PIL.Image.fromarray((samples >> 8).astype(np.uint8))
    return np.array(picture.convert("RGB"))


def png(image: Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_png(path: Path, image: Image) -> None:
    """Writes a picture as PNG, whole or not at all. Raises OSError."""
    write_whole(path, png(image))


def check(image: object) -> None:
    """Raises ValueError, which says what to do, if this isn't a picture."""
    if not isinstance(image, np.ndarray):
        found, fix = f"a {type(image).__name__}", _fix_of_object(image)
    elif image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        found, fix = f"{image.dtype} {image.shape}", _fix_of_shape(image.shape)
    elif image.dtype != np.uint8:
        found, fix = f"{image.dtype} {image.shape}", _fix_of_type(image)
    else:
        return
    raise ValueError(f"a picture is a uint8 array (H, W, 3); this is {found}: {fix}")


def _fix_of_object(image: object) -> str:
    """How to make an array of what isn't one."""
    if isinstance(image, PIL.Image.Image):
        return "give numpy.array(picture.convert('RGB'))"
    if isinstance(image, str | Path):
        return "read the file with mbtref.image.read(pathlib.Path(...))"
    return "make a NumPy array of it"


def _fix_of_shape(shape: tuple[int, ...]) -> str:
    """How to make (H, W, 3) of another shape."""
    if 0 in shape:
        return "it has no pixels"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return "if it is grey, give numpy.dstack([picture] * 3)"
    if len(shape) == 3 and shape[2] == 4:
        return (
            "if the fourth channel is alpha, flatten it on a background; if all is opaque, give picture[..., :3]"
        )
    if len(shape) == 3 and shape[0] == 3:
        return "if channels come first, give picture.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "give one picture; encode_batch takes a list of them"
    return "it needs three axes, the last of them red, green, blue"


def _fix_of_type(image: npt.NDArray[np.generic]) -> str:
    """How to make uint8 of other samples."""
    if image.dtype.kind not in "iuf":
        return "its samples aren't numbers from 0 to 255"
    if not 0 <= image.min() <= image.max():
        return "its samples must be 0 or more, and finite"
    if image.dtype.kind == "f" and image.max() <= 1:
        return "if its range is 0 to 1, give (255 * picture).round().astype(numpy.uint8)"
    if image.max() <= 255:
        return "if its range is 0 to 255, give picture.round().astype(numpy.uint8)"
    if image.dtype.kind in "iu" and image.max() < 2**16:
        return "if it has 16 bits, give (picture >> 8).astype(numpy.uint8)"
    return "scale its samples to 0 to 255"


def sha256(image: Image) -> str:
    """The identity of a picture, independent of its file: SHA-256 of its samples in C order, 64 hex digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()
