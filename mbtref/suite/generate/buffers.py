"""BUFFER: latents at the ends of int16, deflated in other ways, and buffers that break a rule.

The docstring of each function that makes a vector is the bug that the vector catches.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mbtref.errors import Kind
from mbtref.suite.generate.vectorset import VectorSet

REQUIREMENTS = ("BUFFER-1", "BUFFER-2", "BUFFER-3", "BUFFER-4", "BUFFER-5")
SHAPES = (1, 2, 4, 8, 1, 3, 1, 2)
"""Of y, then of z."""
COUNT = 2 * 4 * 8 + 3 * 1 * 2
HEADER = struct.pack("<8i", *SHAPES)
BODY = struct.pack(f"<{COUNT}h", *(7 * n - 200 for n in range(COUNT)))


def stored_block(body: bytes) -> bytes:
    """A zlib stream of one stored block: the same bytes for every build of zlib. body: less than 2^16 bytes."""
    block = struct.pack("<BHH", 1, len(body), len(body) ^ 0xFFFF) + body
    return b"\x78\x01" + block + struct.pack(">I", zlib.adler32(body))


def shaped(*shapes: int) -> bytes:
    """A raw buffer that announces other shapes."""
    return struct.pack("<8i", *shapes) + BODY


# Latents that no picture gives


def extremes(out: VectorSet) -> None:
    """-32768 or 32767 clipped or wrapped; z rounded or floored in place of truncated toward zero"""
    y_hat = np.resize(np.array([-32768, 32767, -32767, -1, 0, 1, 255, 256, -256], np.float32), SHAPES[1:4])
    z_hat = np.array([-32767.75, 32767.75, -0.75, -1.5, 1.5, 0.999], np.float32).reshape(SHAPES[5:])
    folder = "buffers/extremes"
    latents = out.store_all(folder, {"y_hat": y_hat, "z_hat": z_hat})
    raw = out.add("BUFFER-1", "extremes", "pack_raw", latents, made=extremes, folder=folder)
    out.add("BUFFER-3", "extremes", "unpack_raw", raw, made=extremes, folder=folder)
    deflated = out.add("BUFFER-2", "extremes", "pack_zlib", latents, made=extremes, folder=folder, suffix=".zlib")
    out.add("BUFFER-4", "extremes", "unpack_zlib", deflated, made=extremes, folder=folder)


def stored(out: VectorSet) -> None:
    """a deflated buffer understood at level 9 only"""
    inputs = {"buffer": out.store("buffers/stored/buffer", HEADER + stored_block(BODY))}
    out.add("BUFFER-4", "stored", "unpack_zlib", inputs, made=stored, folder="buffers/stored")


# Faults of a buffer, raw or deflated


def short_header() -> bytes:
    """fields beyond the end taken for 0"""
    return HEADER[:-1]


def header_of_28() -> bytes:
    """a last field beyond the end taken for 0, which is no width"""
    return HEADER[:28]


def short_body() -> bytes:
    """latents beyond the end taken for 0"""
    return HEADER + BODY[:-2]


def long_body() -> bytes:
    """bytes after the last latent ignored"""
    return HEADER + BODY + bytes(2)


def no_channels() -> bytes:
    """a latent without channels"""
    return shaped(1, 0, 4, 8, 1, 3, 1, 2)


def negative_height() -> bytes:
    """a shape read as unsigned, or two negative sides whose product is right"""
    return shaped(1, 2, -4, -8, 1, 3, 1, 2)


def negative_sides() -> bytes:
    """negative sides whose ratio and products are right"""
    return shaped(1, 2, -4, -8, 1, 3, -1, -2)


def negative_channels() -> bytes:
    """a number of channels read as unsigned"""
    return shaped(1, -2, 4, 8, 1, 3, 1, 2)


def no_channels_of_z() -> bytes:
    """a hyper-latent without channels"""
    return shaped(1, 2, 4, 8, 1, 0, 1, 2)


def no_sides() -> bytes:
    """latents without rows and columns, and no body"""
    return struct.pack("<8i", 1, 2, 0, 0, 1, 3, 0, 0)


def batch_of_both() -> bytes:
    """batches of one length taken"""
    return shaped(2, 2, 4, 8, 2, 3, 1, 2)


def batch_of_z() -> bytes:
    """the batch of z not looked at"""
    return shaped(1, 2, 4, 8, 2, 3, 1, 2)


def height_of_5() -> bytes:
    """a ratio of sides rounded down"""
    return shaped(1, 2, 5, 8, 1, 3, 1, 2)


def height_of_3() -> bytes:
    """a ratio of sides rounded up"""
    return shaped(1, 2, 3, 8, 1, 3, 1, 2)


def other_ratio_too_large() -> bytes:
    """the number of latents looked at before the ratio"""
    return shaped(1, 320, 2048, 2048, 1, 192, 512, 256)


def batch() -> bytes:
    """a batch of two taken for one picture"""
    return shaped(2, 1, 4, 8, 1, 3, 1, 2)


def other_ratio() -> bytes:
    """y and z of different pictures"""
    return shaped(1, 2, 8, 4, 1, 3, 1, 2)


def too_large() -> bytes:
    """memory taken for what a header claims: 2^26 latents and more"""
    return shaped(1, 320, 2048, 2048, 1, 192, 512, 512)


def other_height() -> bytes:
    """the heights of y and z not compared"""
    return shaped(1, 2, 8, 8, 1, 3, 1, 2)


def other_width() -> bytes:
    """the widths of y and z not compared"""
    return shaped(1, 2, 4, 4, 1, 3, 1, 2)


def most() -> bytes:
    """2^26 latents refused, by >= in place of >"""
    return shaped(1, 15, 2048, 2048, 1, 16, 512, 512)


def too_many_together() -> bytes:
    """y and z compared with the limit one by one"""
    return shaped(1, 15, 2048, 2048, 1, 17, 512, 512)


def too_many_in_y() -> bytes:
    """z alone compared with the limit"""
    return shaped(1, 17, 2048, 2048, 1, 1, 512, 512)


def wraps_at_32() -> bytes:
    """numbers of latents in 32 bits: both are 2^32, which is 0 there"""
    return shaped(1, 1 << 12, 1 << 10, 1 << 10, 1, 1 << 16, 1 << 8, 1 << 8)


def wraps_at_64() -> bytes:
    """numbers of latents in 64 bits: both are 2^64, which is 0 there"""
    return shaped(1, 1 << 24, 1 << 20, 1 << 20, 1, 1 << 28, 1 << 18, 1 << 18)


def gzip() -> bytes:
    """gzip taken for zlib"""
    head, end = b"\x1f\x8b\x08" + bytes(6) + b"\xff", struct.pack("<II", zlib.crc32(BODY), len(BODY))
    return HEADER + head + stored_block(BODY)[2:-4] + end


def raw_deflate() -> bytes:
    """a deflate stream without zlib's header and checksum"""
    return HEADER + stored_block(BODY)[2:-4]


def preset_dictionary() -> bytes:
    """a zlib stream that asks for a dictionary"""
    return HEADER + b"\x78\x20" + struct.pack(">I", zlib.adler32(BODY)) + stored_block(BODY)[2:]


def wrong_adler_of_less() -> bytes:
    """latents counted before the checksum of the zlib stream is looked at"""
    stream = stored_block(BODY[:-2])
    return HEADER + stream[:-1] + bytes([stream[-1] ^ 1])


def not_zlib() -> bytes:
    """a raw buffer taken for a deflated one"""
    return HEADER + BODY


def wrong_adler() -> bytes:
    """the checksum of the zlib stream not looked at"""
    stream = stored_block(BODY)
    return HEADER + stream[:-1] + bytes([stream[-1] ^ 1])


def no_end() -> bytes:
    """a zlib stream without its end taken as complete, since all latents are there"""
    return HEADER + stored_block(BODY)[:-4]


def after_the_end() -> bytes:
    """bytes after the zlib stream ignored"""
    return HEADER + stored_block(BODY) + b"\0"


def inflates_to_less() -> bytes:
    """latents beyond the end of the zlib stream taken for 0"""
    return HEADER + stored_block(BODY[:-2])


def less_and_a_byte_after() -> bytes:
    """bytes after the zlib stream looked for before the latents are counted"""
    return HEADER + stored_block(BODY[:-2]) + b"\0"


def inflates_to_more() -> bytes:
    """inflating whatever comes, without an end"""
    return HEADER + stored_block(BODY + bytes(2))


FAULTS_RAW: Mapping[Kind, Sequence[Callable[[], bytes]]] = {
    Kind.TRUNCATED: (short_header, header_of_28, short_body, most),
    Kind.TRAILING_DATA: (long_body,),
    Kind.BAD_DIMENSIONS: (
        no_channels, no_channels_of_z, no_sides, negative_height, negative_sides, negative_channels, batch,
        batch_of_z, batch_of_both, other_ratio, other_height, other_width, height_of_5, height_of_3,
        other_ratio_too_large,
    ),
    Kind.TOO_LARGE: (too_large, too_many_together, too_many_in_y, wraps_at_32, wraps_at_64),
}  # fmt: skip
FAULTS_ZLIB: Mapping[Kind, Sequence[Callable[[], bytes]]] = {
    Kind.CHECKSUM_MISMATCH: (
        not_zlib, wrong_adler, gzip, raw_deflate, preset_dictionary, wrong_adler_of_less,
    ),
    Kind.TRUNCATED: (no_end, inflates_to_less, less_and_a_byte_after),
    Kind.TRAILING_DATA: (after_the_end, inflates_to_more),
}  # fmt: skip


def all_vectors(out: VectorSet) -> None:
    """Makes the vectors of REQUIREMENTS, except those of pictures."""
    extremes(out)
    stored(out)
    for form, faults in (("raw", FAULTS_RAW), ("zlib", FAULTS_ZLIB)):
        for kind, makers in faults.items():
            for make in makers:
                inputs = {"buffer": out.store(f"buffers/{make.__name__}", make())}
                out.add("BUFFER-5", make.__name__, f"unpack_{form}", inputs, made=make, rejected=kind)
