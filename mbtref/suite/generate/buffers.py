"""BUFFER: latents at the ends of int16, deflated in other ways, and buffers that break a rule."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np

from mbtref.errors import Kind
from mbtref.suite.generate.case import Case, Faults
from mbtref.suite.generate.registry import vector

SHAPES = (1, 2, 4, 8, 1, 3, 1, 2)
"""Of y, then of z."""
COUNT = 2 * 4 * 8 + 3 * 1 * 2
HEADER = struct.pack("<8i", *SHAPES)
BODY = struct.pack(f"<{COUNT}h", *(7 * n - 200 for n in range(COUNT)))


def stored_block(body: bytes) -> bytes:
    """A zlib stream of one stored block: the same bytes for every build of zlib. body: less than 2^16 bytes."""
    block = struct.pack("<BHH", 1, len(body), len(body) ^ 0xFFFF) + body
    return b"\x78\x01" + block + struct.pack(">I", zlib.adler32(body))


@vector("BUFFER-1", "BUFFER-2", "BUFFER-3", "BUFFER-4")
def extremes(case: Case) -> None:
    """-32768 or 32767 clipped or wrapped; z rounded or floored in place of truncated toward zero"""
    y_hat = np.resize(np.array([-32768, 32767, -32767, -1, 0, 1, 255, 256, -256], np.float32), SHAPES[1:4])
    z_hat = np.array([-32767.75, 32767.75, -0.75, -1.5, 1.5, 0.999], np.float32).reshape(SHAPES[5:])
    latents = {"y_hat": y_hat, "z_hat": z_hat}
    raw = case.but(requirement="BUFFER-1").ask("pack_raw", latents)
    case.but(requirement="BUFFER-3").ask("unpack_raw", raw)
    deflated = case.but(requirement="BUFFER-2").ask("pack_zlib", latents)
    case.but(requirement="BUFFER-4").ask("unpack_zlib", deflated)


@vector("BUFFER-4")
def stored(case: Case) -> None:
    """a deflated buffer understood at level 9 only"""
    case.ask("unpack_zlib", {"buffer": HEADER + stored_block(BODY)})


def shaped(*shapes: int) -> bytes:
    """A raw buffer that announces other shapes."""
    return struct.pack("<8i", *shapes) + BODY


RAW: Mapping[Kind, Faults] = {
    Kind.TRUNCATED: {
        "short_header: fields beyond the end taken for 0": HEADER[:-1],
        "header_of_28: a last field beyond the end taken for 0, which is no width": HEADER[:28],
        "short_body: latents beyond the end taken for 0": HEADER + BODY[:-2],
        "most: 2^26 latents refused, by >= in place of >": shaped(1, 15, 2048, 2048, 1, 16, 512, 512),
    },
    Kind.TRAILING_DATA: {"long_body: bytes after the last latent ignored": HEADER + BODY + bytes(2)},
    Kind.BAD_DIMENSIONS: {
        "no_channels: a latent without channels": shaped(1, 0, 4, 8, 1, 3, 1, 2),
        "no_channels_of_z: a hyper-latent without channels": shaped(1, 2, 4, 8, 1, 0, 1, 2),
        "no_sides: latents without rows and columns, and no body": struct.pack("<8i", 1, 2, 0, 0, 1, 3, 0, 0),
        "negative_height: a shape read as unsigned, or two negative sides whose product is right": (
            shaped(1, 2, -4, -8, 1, 3, 1, 2)
        ),
        "negative_sides: negative sides whose ratio and products are right": shaped(1, 2, -4, -8, 1, 3, -1, -2),
        "negative_channels: a number of channels read as unsigned": shaped(1, -2, 4, 8, 1, 3, 1, 2),
        "batch: a batch of two taken for one picture": shaped(2, 1, 4, 8, 1, 3, 1, 2),
        "batch_of_z: the batch of z not looked at": shaped(1, 2, 4, 8, 2, 3, 1, 2),
        "batch_of_both: batches of one length taken": shaped(2, 2, 4, 8, 2, 3, 1, 2),
        "other_ratio: y and z of different pictures": shaped(1, 2, 8, 4, 1, 3, 1, 2),
        "other_height: the heights of y and z not compared": shaped(1, 2, 8, 8, 1, 3, 1, 2),
        "other_width: the widths of y and z not compared": shaped(1, 2, 4, 4, 1, 3, 1, 2),
        "height_of_5: a ratio of sides rounded down": shaped(1, 2, 5, 8, 1, 3, 1, 2),
        "height_of_3: a ratio of sides rounded up": shaped(1, 2, 3, 8, 1, 3, 1, 2),
        "other_ratio_too_large: the number of latents looked at before the ratio": (
            shaped(1, 320, 2048, 2048, 1, 192, 512, 256)
        ),
    },
    Kind.TOO_LARGE: {
        "too_large: memory taken for what a header claims: 2^26 latents and more": (
            shaped(1, 320, 2048, 2048, 1, 192, 512, 512)
        ),
        "too_many_together: y and z compared with the limit one by one": (
            shaped(1, 15, 2048, 2048, 1, 17, 512, 512)
        ),
        "too_many_in_y: z alone compared with the limit": shaped(1, 17, 2048, 2048, 1, 1, 512, 512),
        "wraps_at_32: numbers of latents in 32 bits: both are 2^32, which is 0 there": (
            shaped(1, 1 << 12, 1 << 10, 1 << 10, 1, 1 << 16, 1 << 8, 1 << 8)
        ),
        "wraps_at_64: numbers of latents in 64 bits: both are 2^64, which is 0 there": (
            shaped(1, 1 << 24, 1 << 20, 1 << 20, 1, 1 << 28, 1 << 18, 1 << 18)
        ),
    },
}
"""Raw buffers, by the kind with which they must be refused."""

WHOLE, LESS = stored_block(BODY), stored_block(BODY[:-2])
DEFLATED = WHOLE[2:-4]
"""Without zlib's header and checksum."""
GZIP_HEADER, GZIP_END = b"\x1f\x8b\x08" + bytes(6) + b"\xff", struct.pack("<II", zlib.crc32(BODY), len(BODY))
DICTIONARY = b"\x78\x20" + struct.pack(">I", zlib.adler32(BODY))
"""A header of zlib that asks for a dictionary."""


def wrong_end(stream: bytes) -> bytes:
    """A zlib stream with another checksum."""
    return stream[:-1] + bytes([stream[-1] ^ 1])


ZLIB: Mapping[Kind, Faults] = {
    Kind.CHECKSUM_MISMATCH: {
        "not_zlib: a raw buffer taken for a deflated one": BODY,
        "wrong_adler: the checksum of the zlib stream not looked at": wrong_end(WHOLE),
        "gzip: gzip taken for zlib": GZIP_HEADER + DEFLATED + GZIP_END,
        "raw_deflate: a deflate stream without zlib's header and checksum": DEFLATED,
        "preset_dictionary: a zlib stream that asks for a dictionary": DICTIONARY + WHOLE[2:],
        "wrong_adler_of_less: latents counted before the checksum of the zlib stream is looked at": (
            wrong_end(LESS)
        ),
    },
    Kind.TRUNCATED: {
        "no_end: a zlib stream without its end taken as complete, since all latents are there": WHOLE[:-4],
        "inflates_to_less: latents beyond the end of the zlib stream taken for 0": LESS,
        "less_and_a_byte_after: bytes after the zlib stream looked for before the latents are counted": (
            LESS + b"\0"
        ),
    },
    Kind.TRAILING_DATA: {
        "after_the_end: bytes after the zlib stream ignored": WHOLE + b"\0",
        "inflates_to_more: inflating whatever comes, without an end": stored_block(BODY + bytes(2)),
    },
}
"""What follows the header of a deflated buffer, by the kind with which it must be refused."""


@vector("BUFFER-5")
def refused(case: Case) -> None:
    """buffers that break a rule"""
    for operation, header, kinds in (("unpack_raw", b"", RAW), ("unpack_zlib", HEADER, ZLIB)):
        for kind, faults in kinds.items():
            case.refuse(kind, operation, {text: header + data for text, data in faults.items()})
