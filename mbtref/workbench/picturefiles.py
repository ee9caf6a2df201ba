"""Picture files: read as upright 8-bit RGB, or refused; written as PNG."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from mbtref import bitstream
from mbtref.files import read_whole
from mbtref.image import Image


def read(path: Path) -> Image:
    """A picture file, see `parse`. Raises OSError if it can't be read whole, and ValueError."""
    return parse(io.BytesIO(read_whole(path)), path)


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
        except MemoryError:
            raise
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


def sha256(image: Image) -> str:
    """The identity of a picture, independent of its file: SHA-256 of its samples in C order, 64 hex digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()
