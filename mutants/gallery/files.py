"""What goes wrong in files: streams and what is refused of them (§§6 and 7), latent buffers (§8)."""

import contextlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mbtref import bitstream, codec
from mbtref.bitstream import Stream
from mbtref.errors import BitstreamError, Kind
from mbtref.model import Model
from mbtref.openloop import buffers
from mbtref.suite.subjects.protocol import Rejected
from mutants.mutant import around, constant, decoder, instead, mutant, one_file


def whole(data: bytes) -> bytes:
    """A stream, with the checksum that it should have."""
    checksum = zlib.crc32(data[:16] + data[20:]).to_bytes(4, "little")
    return data[:16] + checksum[: max(0, len(data) - 16)] + data[20:]


def damaged(data: bytes) -> bool:
    """Whether this is a stream with another checksum."""
    return len(data) >= 20 and data[:4] == b"MBT\1" and data != whole(data)


def early(kind: Kind, broken: Callable[[bytes], bool]) -> Callable[..., object]:
    """A reader that makes one check before all others."""

    def wrong(right: Callable[..., object], *given: Any) -> object:
        if broken(given[-1]):
            raise decoder.Rejected(kind) if right.__module__ == "mbtref.decoder" else BitstreamError(kind, 0, "")
        return right(*given)

    return wrong


def fingerprint_first(right: Callable[..., Stream], model: Model, data: bytes) -> Stream:
    """A reader that compares the fingerprint of a whole header before anything else."""
    if len(data) >= 20 and data[4:12] != model.fingerprint:
        raise BitstreamError(Kind.UNKNOWN_MODEL, 4, "")
    return right(model, data)


def exchanged(stream: Stream) -> Stream:
    return stream._replace(height=stream.width, width=stream.height)


def padded(stream: Stream) -> Stream:
    return stream._replace(height=stream.height + -stream.height % 64, width=stream.width + -stream.width % 64)


def count(buffer: bytes) -> int:
    """The latents that the header of a buffer announces."""
    shape = struct.unpack("<8i", buffer[:32].ljust(32, b"\0"))
    return abs(int(np.prod(shape[:4], dtype=object))) + abs(int(np.prod(shape[4:], dtype=object)))


def inflated(wbits: int, skip: int = 32) -> Callable[..., object]:
    """A reader of deflated buffers that ignores zlib's checks. wbits: what it expects, from byte `skip` on."""

    def wrong(right: Callable[..., object], buffer: bytes) -> object:
        limit = 2 * min(count(buffer), 1 << 26) + 1
        with contextlib.suppress(zlib.error):
            buffer = buffer[:32] + zlib.compress(zlib.decompressobj(wbits).decompress(buffer[skip:], limit))
        return right(buffer)

    return wrong


def first_piece(right: Callable[..., object], buffer: bytes) -> object:
    """A reader of deflated buffers that inflates 64 KiB, and takes what is behind them for 0."""
    if 1 << 16 < (size := 2 * count(buffer)) < 1 << 27:
        buffer = buffer[:32] + zlib.compress(zlib.decompress(buffer[32:])[: 1 << 16].ljust(size, b"\0"))
    return right(buffer)


def wrong_adler(buffer: bytes) -> bool:
    """Whether a deflated buffer is whole, however long, but for its checksum."""
    inflater = zlib.decompressobj(-15)
    with contextlib.suppress(zlib.error):
        body = inflater.decompress(buffer[34:])
        adler = inflater.unused_data[:4]
        return len(adler) == 4 and adler != zlib.adler32(body).to_bytes(4, "big")
    return False


def all_truncated(right: Callable[..., object], *given: object) -> object:
    """A check that has one kind for what is too short and for what is too long."""
    try:
        return right(*given)
    except Rejected as error:
        raise Rejected("truncated") from error


MUTANTS = (
    # §6: the header
    mutant("checksum_of_payload", "DECODE-1", "payload alone", "the checksum is that of the payload alone",
      around(bitstream.unpack, lambda right, data: early(
          Kind.CHECKSUM_MISMATCH, lambda data: data[16:20] != zlib.crc32(data[20:]).to_bytes(4, "little")
      )(lambda data: right(whole(data)), data))),
    mutant("checksum_of_64_kib", "DECODE-1", "checksum-mismatch", "the checksum is that of the first 64 KiB",
      around(bitstream.unpack, early(
          Kind.CHECKSUM_MISMATCH, lambda data: damaged(data) != damaged(data[: 1 << 16])))),
    mutant("width_first", "DECODE-1", "exchanged", "the width is read before the height",
      around(bitstream.unpack, lambda right, data: exchanged(right(data)))),
    mutant("blocks_of_the_floor", "DECODE-1", "blocks", "blocks are counted by floor",
      instead(Stream.z_size, lambda self: (max(1, self.height // 64), max(1, self.width // 64)))),
    mutant("padded_size", "ROUNDTRIP-1", "picture", "the header holds the padded picture's size",
      around(bitstream.pack, lambda right, stream: right(padded(stream)))),
    # §7: what is refused
    mutant("magic_unchecked", "DECODE-2", "bad-magic", "the magic isn't looked at",
      around(bitstream.unpack, lambda right, data: right(whole(b"MBT"[: len(data)] + data[3:])))),
    mutant("version_unchecked", "DECODE-2", "unsupported-version", "the version isn't looked at",
      around(bitstream.unpack, lambda right, data: right(whole(data[:3] + b"\1"[: len(data) - 3] + data[4:])))),
    mutant("checksum_unchecked", "DECODE-2", "checksum-mismatch", "the checksum isn't looked at",
      around(bitstream.unpack, lambda right, data: right(whole(data)))),
    mutant("area_of_2_26", "DECODE-2", "too-large", "2^26 pixels are the limit",
      constant(bitstream, "PIXELS_MAX", 1 << 26)),
    mutant("area_in_float32", "DECODE-2", "too-large", "2^25 + 1 pixels are taken, as 2^25 are in float32",
      constant(bitstream, "PIXELS_MAX", (1 << 25) + 1)),
    mutant("any_model", "DECODE-2", "unknown-model", "the fingerprint isn't looked at",
      instead(codec.open_stream, lambda model, data: bitstream.unpack(data))),
    # §7: the order of the checks
    mutant("version_before_magic", "DECODE-2", "bad-magic", "the version is looked at before the magic",
      around(bitstream.unpack, early(Kind.UNSUPPORTED_VERSION, lambda data: data[3:4] not in (b"", b"\1")))),
    mutant("length_before_version", "DECODE-2", "unsupported-version",
      "the length is looked at before the version",
      around(bitstream.unpack, early(Kind.TRUNCATED, lambda data: data[:3] == b"MBT" and len(data) < 20))),
    mutant("fingerprint_first", "DECODE-2", "too-large", "the fingerprint is looked at before all else",
      around(codec.open_stream, fingerprint_first)),
    mutant("decoder_checksum_before_sizes", "DECODE-2", "bad-dimensions",
      "the checksum is looked at before the sides",
      around(decoder.parse, early(Kind.CHECKSUM_MISMATCH, damaged))),
    # §8: packing latents
    mutant("z_before_y", "BUFFER-1", "buffer", "z is packed before y",
      around(buffers.pack_raw, lambda right, y, z:
             (b := right(y, z))[:32] + b[32 + 2 * y.numel() :] + b[32 : 32 + 2 * y.numel()])),
    mutant("z_rounded", "BUFFER-1", "buffer", "z is rounded, not truncated",
      around(buffers.pack_raw, lambda right, y, z: right(y, torch.round(z).clamp(-(2**15), 2**15 - 1)))),
    mutant("items_big_endian", "BUFFER-1", "buffer", "latents are big-endian",
      around(buffers.pack_raw, lambda right, *given:
             (b := right(*given))[:32] + np.frombuffer(b[32:], "<i2").byteswap().tobytes())),
    mutant("header_deflated", "BUFFER-2", "buffer", "the header is deflated too",
      instead(buffers.pack_zlib, lambda *given: zlib.compress(buffers.pack_raw(*given)))),
    # §8: unpacking them
    mutant("read_unsigned", "BUFFER-3", "y_hat", "latents are read as unsigned numbers",
      around(buffers.unpack_raw, lambda right, b: (a := right(b))._replace(y_hat=a.y_hat % 65536))),
    mutant("level_9_alone", "BUFFER-4", "checksum-mismatch", "only level 9 is understood",
      around(buffers.unpack_zlib, early(Kind.CHECKSUM_MISMATCH, lambda b: b[33:34] != b"\xda"))),
    mutant("window_of_32_kib_alone", "BUFFER-4", "checksum-mismatch", "zlib streams begin with 0x78",
      around(buffers.unpack_zlib, early(Kind.CHECKSUM_MISMATCH, lambda b: b[32:33] not in (b"", b"\x78")))),
    mutant("inflated_64_kib", "BUFFER-4", "y_hat", "64 KiB are inflated, and nothing of what follows",
      around(buffers.unpack_zlib, first_piece)),
    mutant("zlib_header_unchecked", "BUFFER-5", "checksum-mismatch", "the header of zlib is skipped",
      around(buffers.unpack_zlib, lambda right, b: right(b[:32] + b"\x78\x01"[: len(b) - 32] + b[34:]))),
    mutant("adler_before_values", "BUFFER-5", "trailing-data", "the Adler-32 is looked at before the values",
      around(buffers.unpack_zlib, early(Kind.CHECKSUM_MISMATCH, wrong_adler))),
    mutant("short_zlib_header", "BUFFER-5", "truncated", "less than a header of zlib is taken for a wrong one",
      around(buffers.unpack_zlib, early(Kind.CHECKSUM_MISMATCH, lambda b: len(b) in (32, 33)))),
    mutant("adler_unchecked", "BUFFER-5", "checksum-mismatch",
      "the header and the Adler-32 of zlib aren't looked at",
      around(buffers.unpack_zlib, inflated(-15, 34))),
    mutant("zlib_end_unchecked", "BUFFER-5", "truncated", "a zlib stream may lack its end",
      around(buffers.unpack_zlib, inflated(15))),
    mutant("more_latents_ignored", "BUFFER-5", "trailing-data", "data after the last latent is ignored",
      around(buffers.unpack_raw, lambda right, b: right(b[: 32 + 2 * count(b)]))),
    mutant("limit_before_shapes", "BUFFER-5", "bad-dimensions",
      "the number of latents is looked at before the shapes",
      around(buffers.unpack_raw, early(Kind.TOO_LARGE, lambda b: count(b) > 1 << 26))),
    mutant("decoder_shapes_unchecked", "BUFFER-5", "bad-dimensions", "the shapes aren't looked at",
      instead(one_file.shape_of, lambda buffer: struct.unpack("<8i", buffer[:32].ljust(32, b"\0")))),
    mutant("decoder_one_kind_of_length", "BUFFER-5", "trailing-data", "too many latents are called truncated",
      around(one_file.unpack, all_truncated)),
)  # fmt: skip
