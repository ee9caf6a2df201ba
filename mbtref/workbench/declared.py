"""What picture files declare that Pillow doesn't read, or not right. `pngfile` is for PNG."""

import struct

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP", "GIF")
"""The formats that are read, by Pillow's names. For others Pillow may start a program, such as Ghostscript."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
"""Kinds of colour in TIFF."""
UNCOMPRESSED = 1
COMPRESSIONS = (UNCOMPRESSED, 5, 7, 8, 32773, 32946, 34925, 50000)
"""Of TIFF: none, LZW, JPEG, Deflate, PackBits, Deflate, LZMA, Zstandard. Damage to a fax isn't noticed."""

Faults = dict[str, object]
"""What isn't read, and whether a file has it."""


class Refused(ValueError):
    """A picture file that isn't read, though it needn't be damaged."""


def check(file: ImageFile, content: bytes) -> int:
    """The bits of a sample in an open file, whose bytes are `content`; 8 if it isn't a TIFF.

    Raises Refused, with what to do, if the file declares what isn't read right.
    """
    bits, faults = 8, {}
    if isinstance(file, TiffImageFile):
        bits = max(file.tag_v2.get(258, (1,)))
        faults = _tiff(file.tag_v2, file.width * file.height, bits)
    elif kind := KINDS.get(str(file.format)):
        faults = kind(file, content)
    for what, there in faults.items():
        if there:
            raise Refused(f"has {what}; save it as an 8-bit PNG first")
    return bits


def _tiff(tags: ImageFileDirectory_v2, pixels: int, bits: int) -> Faults:
    kind, samples, palette = tags.get(262), tags.get(277, 1), tags.get(320, ())
    compression, lengths = tags.get(259, UNCOMPRESSED), tags.get(279) or tags.get(325) or ()
    return {
        "samples of more than 16 bits": bits > 16,
        f"samples of {bits} bits": bits not in (1, 2, 4, 8, 16),
        "signed or float samples": set(tags.get(339, (1,))) != {1},
        "16-bit samples other than grey or RGB in one plane": bits == 16
        and (tags.get(284) == 2 or samples not in (1, 3)),
        "an unusual kind of colour": kind not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR),
        "inks other than CMYK": tags.get(332, 1) != 1,
        "YCbCr without compression": kind == YCBCR and compression == UNCOMPRESSED,
        "an unusual palette": kind == PALETTE and (len(palette) != 3 << min(bits, 8) or max(palette) < 256),
        "an unusual compression": compression not in COMPRESSIONS,
        "fewer bytes than pixels": compression == UNCOMPRESSED and sum(lengths) * 8 < pixels * bits * samples,
        "a preview in the place of the picture": tags.get(254, 0) & 1,
    }


def _ppm(file: ImageFile, content: bytes) -> Faults:
    (_, _, start, args), magic = file.tile[0], content[:2]
    most = args[-1] if isinstance(args, tuple) else 255
    row = {"1": (file.width + 7) // 8, "L": file.width, "I": 2 * file.width}.get(file.mode, 3 * file.width)
    end = start + row * file.height
    return {
        "samples that aren't those of a PBM, PGM or PPM": magic not in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
        f"samples to {most}": most > 255 and (most, file.mode) != (65535, "I"),
        "several pictures": magic in (b"P4", b"P5", b"P6") and content[end : end + 1] == b"P",
    }


def _bmp(file: ImageFile, content: bytes) -> Faults:
    header = content[14]
    bits = content[28 if header >= 40 else 24]
    return {
        "a palette for fewer bits": {"1": 1, "L": 8}.get(file.mode, bits) != bits,
        "run lengths": header >= 40 and content[30] in (1, 2),
        "a colour profile": header == 124 and content[70:74] in (b"DEBM", b"KNIL"),
    }


def _gif(file: ImageFile, content: bytes) -> Faults:
    screen = struct.unpack_from("<HH", content, 6)
    return {"a frame of another size": file.tile[0][1] != (0, 0, *screen)}


def _jpeg(file: ImageFile, content: bytes) -> Faults:
    return {
        "CMYK that may be negative, since it isn't Adobe's": file.mode == "CMYK" and "adobe" not in file.info,
        "a colour profile in an unusual place": getattr(file, "icclist", ()),
    }


KINDS = {"PPM": _ppm, "BMP": _bmp, "GIF": _gif, "JPEG": _jpeg, "MPO": _jpeg}
