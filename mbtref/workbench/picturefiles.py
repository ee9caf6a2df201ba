"""Picture files: read as upright 8-bit sRGB, or refused; written as PNG.

What a file declares decides how it is read, never what its samples look like.
"""

import contextlib
import hashlib
import io
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from mbtref import bitstream
from mbtref.image import Image
from mbtref.workbench import colour, declared, pngfile
from mbtref.workbench.bounded import read_whole
from mbtref.workbench.declared import FORMATS, Refused


def read(path: Path) -> Image:
    """A picture file, see `parse`. Raises ValueError, and OSError as `bounded.read_whole` does."""
    return parse(read_whole(path), path)


def parse(content: bytes, path: Path) -> Image:
    """The content of a picture file as upright RGB. path: its name in errors.

    Grey, palette and CMYK become RGB. A colour profile is converted to sRGB. 16-bit samples keep their upper eight
    bits. Of some files Pillow warns, and libtiff writes to standard error.

    Raises ValueError if it isn't a picture in one of the formats of `declared`, is damaged, too large, animated or
    of a kind that isn't read, or has a pixel that isn't opaque: the caller must choose the colour behind it.
    """
    try:
        return np.array(_parse(content))
    except Refused as error:
        raise ValueError(f"{path}: {error}") from error
    except PIL.UnidentifiedImageError as error:
        reason = f"not a picture that Pillow reads as {', '.join(FORMATS)}; save it as an 8-bit PNG first"
        raise ValueError(f"{path}: {reason}") from error
    except MemoryError:
        raise
    except Exception as error:  # each format's reader has its own errors for a damaged file
        raise ValueError(f"{path}: damaged, or it can't be coded: {error}") from error


def size(content: bytes) -> tuple[int, int]:
    """Height and width in the header of a picture file, before it is turned upright.

    They are only a hint. A file without them counts as one of the largest pictures; `parse` says what is wrong.
    """
    with contextlib.suppress(Exception), PIL.Image.open(io.BytesIO(content), formats=FORMATS) as file:
        return file.height, file.width
    return 1, bitstream.PIXELS_MAX


def _parse(content: bytes) -> PIL.Image.Image:
    """The upright RGB picture of a file. Raises Refused, and any other error for a damaged file."""
    with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as file:
        bitstream.check_dimensions(file.height, file.width)
        if getattr(file, "is_animated", False):
            raise Refused("has several frames; save the one that is meant as a picture of its own")
        bits, key = pngfile.check(content) if file.format == "PNG" else (declared.check(file, content), b"")
        file.load()
        if file.mode == "P" and np.asarray(file).max() >= len(file.getpalette() or ()) // 3:
            raise ValueError("a pixel lies outside the palette")
        if pngfile.is_clear(file, content, bits, key) or (not key and _is_clear(file)):
            raise Refused("has transparent pixels; flatten it on a background colour first")
        with contextlib.suppress(Exception):  # turned already, if the rest of the EXIF is damaged
            PIL.ImageOps.exif_transpose(file, in_place=True)
        file.info.pop("transparency", None)  # else Pillow warns
        picture = _eight_bits(file)
        if "icc_profile" in file.info:
            picture = colour.to_srgb(picture, file.info["icc_profile"], bits)
        return picture.convert("RGB")


def _is_clear(file: PIL.Image.Image) -> bool:
    return file.has_transparency_data and file.convert("RGBA").getchannel("A").getextrema()[0] != 255


def _eight_bits(file: PIL.Image.Image) -> PIL.Image.Image:
    """The colours of an opaque picture as L, RGB or CMYK."""
    if not file.mode.startswith("I"):
        return file.convert({"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(file.mode, "RGB"))
    samples = np.asarray(file) >> 8
    if getattr(file, "tag_v2", {}).get(262) == declared.WHITE_IS_ZERO:  # Pillow regards it at other depths alone
        samples = 255 - samples
    return PIL.Image.fromarray(samples.astype(np.uint8))


def png(image: Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def sha256(image: Image) -> str:
    """The identity of a picture, independent of its file: SHA-256 of its samples in C order, 64 hex digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()
