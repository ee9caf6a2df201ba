"""Picture files. A picture is a uint8 array (H, W, 3), RGB; `planes` makes a tensor of it."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

from mbtref import bitstream
from mbtref.files import write_whole

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, H and W at least 1."""


def read(path: Path) -> Image:
    """A picture file as upright RGB. Pillow converts other modes, such as grey, palette and CMYK.

    16-bit grey (modes I;16 and I) keeps its upper eight bits; Pillow would clip it to 255.

    Raises OSError if the file can't be read. Raises ValueError if it isn't a picture, is damaged or too large, has
    samples of more than 16 bits, or has a pixel that isn't opaque: the caller must choose the colour behind it.
    """
    with path.open("rb") as data, warnings.catch_warnings(action="ignore"):
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


def write_png(path: Path, image: Image) -> None:
    """Writes a picture as PNG, whole or not at all. Raises OSError."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def check(image: Image) -> None:
    """Raises ValueError if this isn't a picture."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is a uint8 array (H, W, 3); this is a {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a picture is a uint8 array (H, W, 3); this is {image.dtype} {image.shape}")


def sha256(image: Image) -> str:
    """The identity of a picture, independent of its file: SHA-256 of its samples in C order, 64 hex digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()
