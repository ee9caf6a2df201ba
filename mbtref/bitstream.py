"""The bytes of a `.mbt` file: a 20-byte header, then one rANS stream.

    byte  0   3  magic "MBT"
          3   1  version
          4   8  fingerprint: the first bytes of the SHA-256 of the model file
         12   2  height in pixels, 1 to 65535
         14   2  width in pixels
         16   4  CRC-32 (zlib's) of all other bytes: 0 to 15, then the payload
         20      payload, whole 32-bit words

All numbers are little-endian. The checksum covers the header too: otherwise a flipped bit in the height would
give another crop of the same latents.
"""

import struct
import zlib
from typing import NamedTuple, TypeAlias

from mbtref.brief import brief
from mbtref.errors import BitstreamError, Kind

MAGIC = b"MBT"
VERSION = 1
FINGERPRINT_AT, FINGERPRINT_BYTES = 4, 8
DIMENSIONS_AT = FINGERPRINT_AT + FINGERPRINT_BYTES
_FIELDS = struct.Struct(f"<3sB{FINGERPRINT_BYTES}sHH")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size
DIMENSION_MAX = (1 << 16) - 1
"""Largest height or width, pixels."""
PIXELS_MAX = 1 << 25
"""Largest height times width, pixels; 8K UHD fits. It bounds the memory that a header can make a decoder allocate:
decoding takes about 40 bytes a pixel at a lite model."""
STRIDE_Y = 2**4
"""Pixels of x per column of y: g_a halves the resolution four times."""
STRIDE_Z = STRIDE_Y * 2**2
"""Pixels of x per column of z: h_a halves it twice more. Pictures are padded to a multiple of it."""
BytesLike: TypeAlias = bytes | bytearray | memoryview


class Stream(NamedTuple):
    """A parsed file."""

    fingerprint: bytes
    """FINGERPRINT_BYTES bytes that name the model."""
    height: int
    width: int
    payload: bytes

    def __repr__(self) -> str:
        return brief(self)

    @property
    def z_size(self) -> tuple[int, int]:
        """(h, w) of the hyper-latents: ceil(side / STRIDE_Z) of them cover a side."""
        return -(-self.height // STRIDE_Z), -(-self.width // STRIDE_Z)


def check_dimensions(height: int, width: int) -> None:
    """Raises ValueError for a picture that a stream can't describe. height, width: pixels."""
    if not (1 <= height <= DIMENSION_MAX and 1 <= width <= DIMENSION_MAX and height * width <= PIXELS_MAX):
        raise ValueError(
            f"a picture of {width}×{height} pixels can't be coded: sides go from 1 to {DIMENSION_MAX}, the area "
            f"goes to {PIXELS_MAX} pixels; cut it into tiles"
        )


def pack(stream: Stream) -> bytes:
    """The file of a stream. Raises ValueError as `check_dimensions` does."""
    check_dimensions(stream.height, stream.width)
    fields = _FIELDS.pack(MAGIC, VERSION, stream.fingerprint, stream.height, stream.width)
    checksum = zlib.crc32(stream.payload, zlib.crc32(fields))
    return fields + _CHECKSUM.pack(checksum) + stream.payload


def _whole(data: BytesLike) -> bytes:
    """The bytes of a file. Raises ValueError, which says what to pass, if these aren't bytes."""
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        fix = "read a file with pathlib.Path(...).read_bytes()"
        raise ValueError(f"a stream is bytes, not a {type(data).__name__}: {fix}") from error


def unpack(data: BytesLike) -> Stream:
    """The inverse of `pack`; it doesn't check the payload's words.

    Raises BitstreamError bad-magic, unsupported-version, truncated, bad-dimensions, too-large or
    checksum-mismatch, in that order; ValueError if these aren't bytes.
    """
    data = _whole(data)
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise BitstreamError(Kind.BAD_MAGIC, 0, "this isn't an .mbt file")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        reason = f"this is version {data[len(MAGIC)]}; the decoder knows version {VERSION}"
        raise BitstreamError(Kind.UNSUPPORTED_VERSION, len(MAGIC), reason)
    if len(data) < HEADER_BYTES:
        raise BitstreamError(Kind.TRUNCATED, len(data), f"the header has {HEADER_BYTES} bytes")
    _, _, fingerprint, height, width = _FIELDS.unpack_from(data)
    if height == 0 or width == 0:
        raise BitstreamError(Kind.BAD_DIMENSIONS, DIMENSIONS_AT, f"a picture of {width}×{height} pixels")
    if height * width > PIXELS_MAX:
        reason = f"a picture of {width}×{height} pixels; the limit is {PIXELS_MAX} pixels"
        raise BitstreamError(Kind.TOO_LARGE, DIMENSIONS_AT, reason)
    payload = data[HEADER_BYTES:]
    if _CHECKSUM.unpack_from(data, _FIELDS.size)[0] != zlib.crc32(payload, zlib.crc32(data[: _FIELDS.size])):
        reason = "header or payload is damaged, or the file was cut short"
        raise BitstreamError(Kind.CHECKSUM_MISMATCH, _FIELDS.size, reason)
    return Stream(fingerprint, height, width, payload)
