"""BUFFER: latents at the ends of int16, deflated in other ways, and buffers that break a rule."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np

from mbtref.errors import Kind
from mbtref.suite.check import digest_of
from mbtref.suite.generate import deflate
from mbtref.suite.generate.case import Case, Faults
from mbtref.suite.generate.deflate import header, stored_block, zlib_stream
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.textures import scatter

SHAPES = (1, 2, 4, 8, 1, 3, 1, 2)
"""Of y, then of z."""
COUNT = 2 * 4 * 8 + 3 * 1 * 2
HEADER = struct.pack("<8i", *SHAPES)
BODY = struct.pack(f"<{COUNT}h", *(7 * n - 200 for n in range(COUNT)))


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


@vector("BUFFER-4")
def headers(case: Case) -> None:
    """a zlib stream refused for its first two bytes: for a window below 32 KiB, or for another level"""
    for window, level in (*((window, window % 4) for window in range(7)), (7, 1), (7, 2)):
        begin = header(window, level)
        stream = zlib_stream(BODY, deflate.stored(BODY, last=True), begin=begin)
        case.but(name=f"{case.name}/{begin.hex()}").ask("unpack_zlib", {"buffer": HEADER + stream})


@vector("BUFFER-4")
def blocks(case: Case) -> None:
    """a block after the first left out; a Huffman code of the stream's own; a last block without bytes"""
    a, b, c = BODY[:58], BODY[58:120], BODY[120:]
    parts = deflate.stored(a), deflate.dynamic(b), deflate.fixed(c), deflate.stored(b"", last=True)
    case.ask("unpack_zlib", {"buffer": HEADER + zlib_stream(BODY, *parts)})


@vector("BUFFER-4")
def highest_bytes(case: Case) -> None:
    """an Adler-32 whose sums overflow 32 bits, as they are reduced too rarely, or are signed"""
    matches = 48
    body = bytes([255]) * (2 + 258 * matches)
    shapes = (1, 387, 4, 4, 1, 1, 1, 1)
    stream = zlib_stream(body, deflate.fixed([255, 255, *[deflate.MATCH] * matches], last=True))
    assert zlib.decompress(stream) == body, f"{case.name} inflates to something else"
    case.ask("unpack_zlib", {"buffer": struct.pack("<8i", *shapes) + stream})


@vector("BUFFER-1", "BUFFER-2", "BUFFER-4")
def noise(case: Case) -> None:
    """a deflated buffer longer than a raw one, or than 4 to 16 KiB, cut or refused; a z of -32768 clipped"""
    y_hat = (scatter(np.arange(513 * 16), 5) - (1 << 15)).astype(np.float32).reshape(513, 4, 4)
    z_hat = np.array([-32768.875, 32767.875], np.float32).reshape(2, 1, 1)
    latents = {"y_hat": case.store("y_hat", y_hat), "z_hat": case.store("z_hat", z_hat)}
    raw = case.but(requirement="BUFFER-1").ask("pack_raw", latents)["buffer"].data
    assert len(zlib.compress(raw[32:], 9)) > len(raw) - 32, f"{case.name} can be deflated"
    case.but(requirement="BUFFER-2").ask("pack_zlib", latents)
    deflated = case.but(requirement="BUFFER-4").store("deflated", raw[:32] + stored_block(raw[32:]))
    case.but(requirement="BUFFER-4").ask("unpack_zlib", {"buffer": deflated})


@vector("BUFFER-4")
def beyond_1_mib(case: Case) -> None:
    """only the first piece inflated, of 64 KiB to 1 MiB; values counted in 16 bits, or channels in 10"""
    shapes = (1, 1025, 32, 16, 1, 1, 8, 4)
    value, size = struct.pack("<h", -12345), 2 * (1025 * 32 * 16 + 8 * 4)
    matches, rest = divmod(size - len(value), 258)
    end = (2 * BODY)[:rest]
    body = value * (1 + 129 * matches) + end
    assert len(body) == size > 1 << 20, f"{case.name} inflates to {len(body)} bytes"
    assert any(end[-64:]), f"z of {case.name} is 0"
    symbols = (*value, *[deflate.MATCH] * matches, *end)
    stream = zlib_stream(body, deflate.fixed(symbols, last=True))
    buffer = case.store("buffer", struct.pack("<8i", *shapes) + stream)
    answer = case.answer("unpack_zlib", buffer=buffer.data)
    digest = {"y_hat": digest_of("y_hat", answer["y_hat"])}
    case.note("unpack_zlib", {"buffer": buffer}, expected={"z": case.store("z", answer["z"]).path}, sha256=digest)


@vector("BUFFER-1", "BUFFER-2", "BUFFER-3")
def beyond_64_kib(case: Case) -> None:
    """only the first 64 KiB packed or deflated; channels counted in 8 or 10 bits"""
    y_hat, z_hat = (
        np.resize(np.arange(-30, 31, dtype=np.float32) * 1001, shape) for shape in ((1025, 8, 4), (257, 2, 1))
    )
    latents = {"y_hat": y_hat, "z_hat": z_hat}
    assert 2 * y_hat.size > 1 << 16, f"y_hat of {case.name} is short"
    case.but(requirement="BUFFER-3").ask("unpack_raw", case.ask("pack_raw", latents))
    case.but(requirement="BUFFER-2").ask("pack_zlib", latents)


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
        "width_of_9: a ratio of columns rounded down": shaped(1, 2, 4, 9, 1, 3, 1, 2),
        "width_of_7: a ratio of columns rounded up": shaped(1, 2, 4, 7, 1, 3, 1, 2),
        "height_wraps: four times a height in 32 bits": shaped(1, 2, 4, 8, 1, 3, (1 << 30) + 1, 2),
        "width_wraps: four times a width in 32 bits": shaped(1, 2, 4, 8, 1, 3, 1, (1 << 30) + 2),
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
        "one_too_many: a number of latents in float32, where 2^26 + 1 is 2^26": (
            shaped(1, 1 << 22, 4, 4, 1, 1, 1, 1)
        ),
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
DICTIONARY = header(dictionary=True) + struct.pack(">I", zlib.adler32(BODY))
"""A header of zlib that asks for a dictionary."""


ONE_MORE = stored_block(BODY + b"\0")
THIRD_TYPE = deflate.number(1, 1) + deflate.number(3, 2)
"""The beginning of a block that doesn't exist."""


def wrong_end(stream: bytes, back: int = 1) -> bytes:
    """A zlib stream with another checksum. back: the byte of it, from the end."""
    return stream[:-back] + bytes([stream[-back] ^ 1]) + stream[len(stream) - back + 1 :]


def begun(begin: bytes) -> bytes:
    """The right stream with two other bytes before it."""
    return begin + WHOLE[2:]


ZLIB: Mapping[Kind, Faults] = {
    Kind.CHECKSUM_MISMATCH: {
        "not_zlib: a raw buffer taken for a deflated one": BODY,
        "wrong_adler: the checksum of the zlib stream not looked at": wrong_end(WHOLE),
        "gzip: gzip taken for zlib": GZIP_HEADER + DEFLATED + GZIP_END,
        "raw_deflate: a deflate stream without zlib's header and checksum": DEFLATED,
        "preset_dictionary: a zlib stream that asks for a dictionary": DICTIONARY + WHOLE[2:],
        "dictionary_flag_alone: the flag of a dictionary not looked at": begun(header(dictionary=True)),
        "wrong_adler_of_less: latents counted before the checksum of the zlib stream is looked at": (
            wrong_end(LESS)
        ),
        **{
            f"wrong_adler_{back}: the checksum of the zlib stream compared in part": wrong_end(WHOLE, back)
            for back in (2, 3, 4)
        },
        "wrong_adler_and_a_byte_after: bytes after the zlib stream looked for before its checksum": (
            wrong_end(WHOLE) + b"\0"
        ),
        "wrong_fcheck: the two bytes before the deflate stream not looked at": begun(b"\x78\x1e"),
        "no_header_alone: two bytes of no zlib stream called truncated": bytes(2),
        "method_7: a compression method other than deflate": begun(header(method=7)),
        "window_of_64_kib: a window that zlib doesn't have": begun(header(window=8)),
        "third_type: what follows the last latent not inflated, though the stream doesn't end there": (
            zlib_stream(BODY, deflate.stored(BODY), THIRD_TYPE)
        ),
        "wrong_complement: the length of a stored block not compared with its complement": (
            WHOLE[:5] + b"\0" + WHOLE[6:]
        ),
        "before_the_beginning: bytes before the beginning of a stream taken for 0": (
            zlib_stream(BODY, deflate.fixed([1, deflate.MATCH], last=True))
        ),
    },
    Kind.TRUNCATED: {
        "no_stream: a stream of no bytes taken for one of no latents": b"",
        "first_byte: a header of zlib judged by its first byte, or read beyond the end": WHOLE[:1],
        "wrong_first_byte: a header of zlib judged before it is there": b"\0",
        "zlib_header_alone: a zlib stream that has no block": WHOLE[:2],
        "half_an_adler: a checksum of fewer bytes compared as far as it goes": WHOLE[:-1],
        "no_end: a zlib stream without its end taken as complete, since all latents are there": WHOLE[:-4],
        "inflates_to_less: latents beyond the end of the zlib stream taken for 0": LESS,
        "less_and_a_byte_after: bytes after the zlib stream looked for before the latents are counted": (
            LESS + b"\0"
        ),
    },
    Kind.TRAILING_DATA: {
        "after_the_end: bytes after the zlib stream ignored": WHOLE + b"\0",
        "second_stream: a zlib stream after the first one inflated too, or left out": WHOLE + WHOLE,
        "one_byte_more: half a latent left out": ONE_MORE,
        "one_more_wrong_adler: the checksum of the zlib stream looked at before the latents are counted": (
            wrong_end(ONE_MORE)
        ),
        "many_more_wrong_adler: a stream inflated to its end, however long": wrong_end(stored_block(8 * BODY)),
        "one_more_without_end: the end of a stream looked for before the latents are counted": ONE_MORE[:-4],
        "one_more_and_third_type: a fault behind the latents looked for before they are counted": (
            zlib_stream(BODY, deflate.stored(BODY), deflate.fixed([0]), THIRD_TYPE)
        ),
        "inflates_to_more: inflating whatever comes, without an end": stored_block(BODY + bytes(2)),
    },
}
"""What follows the header of a deflated buffer, by the kind with which it must be refused."""


@vector("BUFFER-5")
def refused(case: Case) -> None:
    """buffers that break a rule"""
    for operation, begin, kinds in (("unpack_raw", b"", RAW), ("unpack_zlib", HEADER, ZLIB)):
        for kind, faults in kinds.items():
            case.refuse(kind, operation, {text: begin + data for text, data in faults.items()})
