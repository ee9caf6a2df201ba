"""PNG files: what Pillow doesn't check, or compares at another depth."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFile

from mbtref.workbench.declared import Refused

CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
SRGB = b"\1\15\0\1"
"""The content of a cICP chunk that says sRGB."""
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes over the pixels: first column, first row, step of columns, step of rows."""
LOW = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""For Pillow's ways to unpack the high bytes of 16-bit samples: those that unpack the low ones."""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The type and the content of each chunk, to IEND. Raises ValueError or struct.error for a damaged one."""
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if struct.unpack_from(">I", data, at + 8 + length) != (zlib.crc32(kind + content),):
            raise ValueError(f"the checksum of {kind!r} is wrong")
        yield kind, content
        at += 12 + length


def check(data: bytes) -> tuple[int, bytes]:
    """The bits of a sample and the transparent colour (tRNS), if it isn't a palette's.

    Raises ValueError, struct.error or zlib.error if the file is damaged, and Refused if it isn't read.
    """
    width, height, bits, colour, *methods = struct.unpack_from(">IIBBBBB", data, 16)
    all_chunks = list(chunks(data))
    parts = dict(all_chunks)
    if all_chunks[0][0] != b"IHDR" or (colour == PALETTE and b"PLTE" not in parts):
        raise ValueError("its header or its palette is missing")
    if methods not in ([0, 0, 0], [0, 0, 1]) or any(kind[:1].isupper() for kind in parts.keys() - CRITICAL):
        raise Refused("has parts that no usual PNG has; save it as another PNG first")
    if parts.get(b"cICP", SRGB) != SRGB:
        raise Refused("has colours that aren't sRGB (cICP); convert it to sRGB first")
    expected = 0
    for column, row, columns, rows in ADAM7 if methods[2] else WHOLE:
        across, down = -((column - width) // columns), -((row - height) // rows)
        expected += bool(across) * down * (1 + (across * bits * SAMPLES[colour] + 7) // 8)
    stream = zlib.decompressobj()
    found = stream.decompress(b"".join(content for kind, content in all_chunks if kind == b"IDAT"), expected + 1)
    if len(found) != expected or not stream.eof:
        raise ValueError("its pixels end too early or too late")
    return bits, parts.get(b"tRNS", b"")[: 2 * SAMPLES[colour]] if colour in (GREY, RGB) else b""


def is_clear(file: PIL.ImageFile.ImageFile, data: bytes, bits: int, key: bytes) -> bool:
    """Whether a pixel of a loaded file, whose bytes are `data`, isn't opaque at the file's own depth.

    bits, key: of `check`. For alpha of 16 bits this looks at the low bytes alone.
    """
    if bits == 16 and file.mode == "RGBA":
        return bool((low_bytes(data)[..., 3] != 255).any())
    if not key:
        return False
    colour = np.frombuffer(key, ">u2") & (1 << bits) - 1
    if bits < 16:
        colour = colour * 255 // ((1 << bits) - 1)
    samples: npt.NDArray[Any] = np.asarray(file.convert("L") if file.mode == "1" else file)
    if bits == 16 and file.mode == "RGB":
        samples = samples.astype(np.uint16) << 8 | low_bytes(data)
    return bool((samples.reshape(-1, len(colour)) == colour).all(1).any())


def low_bytes(data: bytes) -> npt.NDArray[np.uint8]:
    """(H, W, C) uint8: the low bytes of a file of 16 bits; C is 3, or 4 with alpha as the last."""
    with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as file:
        assert isinstance(file, PIL.ImageFile.ImageFile)
        file.tile = [file.tile[0]._replace(args=LOW[str(file.tile[0].args)])]
        return np.array(file)
