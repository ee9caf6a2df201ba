"""Latent buffers: byte for byte those of the notebook that they come from."""

import math
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mbtref.errors import BitstreamError, Kind
from mbtref.openloop import buffers
from mbtref.openloop.buffers import ELEMENTS_MAX, Latents
from tests.support import refused

Unpack = Callable[[bytes], Latents]
SHAPES = (1, 2, 4, 8, 1, 3, 1, 2)
"""Of the small buffers below: y, then z."""
BODY = np.arange(-35, 35, dtype="<i2").tobytes()
RAW = struct.pack("<8i", *SHAPES) + BODY
DEFLATED = struct.pack("<8i", *SHAPES) + zlib.compress(BODY, 9)


@pytest.mark.parametrize("value", [32768.0, -32769.0, 1e30, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("pack", [buffers.pack_raw, buffers.pack_zlib])
def test_values_outside_int16_are_refused(pack: Callable[[Tensor, Tensor], bytes], value: float) -> None:
    """A latent that 16 bits can't hold is a ValueError that says whether it is of y or of z."""
    fine, bad = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), value)
    with pytest.raises(ValueError, match="y has values outside int16"):
        pack(bad, fine[:, :, :1, :1])
    with pytest.raises(ValueError, match="z has values outside int16"):
        pack(fine, bad[:, :, :1, :1])


def test_a_cut_buffer_is_truncated() -> None:
    """A buffer cut anywhere is refused as truncated, at its end."""
    for whole, unpack in ((RAW, buffers.unpack_raw), (DEFLATED, buffers.unpack_zlib)):
        for length in range(len(whole)):
            with refused(Kind.TRUNCATED, length):
                unpack(whole[:length])


HUGE = struct.pack("<8i", 1, ELEMENTS_MAX // 16, 4, 4, 1, 1, 1, 1) + BODY


@pytest.mark.parametrize(
    ("unpack", "data", "kind", "offset"),
    [
        (buffers.unpack_raw, RAW + b"\0", Kind.TRAILING_DATA, len(RAW) + 1),
        (buffers.unpack_zlib, DEFLATED + b"\0", Kind.TRAILING_DATA, len(DEFLATED)),
        (buffers.unpack_zlib, RAW, Kind.CHECKSUM_MISMATCH, 32),
        (buffers.unpack_raw, struct.pack("<8i", 2, *SHAPES[1:]) + BODY, Kind.BAD_DIMENSIONS, 0),
        (buffers.unpack_raw, HUGE, Kind.TOO_LARGE, 0),
        (buffers.unpack_zlib, HUGE, Kind.TOO_LARGE, 0),
    ],
)
def test_a_refusal_says_where(unpack: Unpack, data: bytes, kind: Kind, offset: int) -> None:
    """A wrong body or shape is refused at its byte; BUFFER-5 has all kinds."""
    with refused(kind, offset):
        unpack(data)


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED])
@pytest.mark.parametrize("level", [0, 9])
def test_values_are_counted_before_the_checksum(level: int, strategy: int) -> None:
    """A byte too many is trailing-data whatever follows; a wrong checksum of no more bytes is named."""
    for body, kind in (
        (BODY[:-2], Kind.CHECKSUM_MISMATCH),
        (BODY, Kind.CHECKSUM_MISMATCH),
        (BODY + b"\0", Kind.TRAILING_DATA),
        (BODY + bytes(2), Kind.TRAILING_DATA),
        (BODY + bytes(100_000), Kind.TRAILING_DATA),
    ):
        deflate = zlib.compressobj(level, strategy=strategy)
        stream = RAW[:32] + deflate.compress(body) + deflate.flush()
        wrong, cut = stream[:-1] + bytes([stream[-1] ^ 1]), stream[:-4]
        with refused(kind, 32 if kind == Kind.CHECKSUM_MISMATCH else len(wrong)):
            buffers.unpack_zlib(wrong)
        with refused(Kind.TRAILING_DATA if len(body) > len(BODY) else Kind.TRUNCATED, len(cut)):
            buffers.unpack_zlib(cut)


def test_a_zlib_bomb_stays_small() -> None:
    """A stream that would inflate to 100 MB is refused after as much as its header announces."""
    bomb = struct.pack("<8i", *SHAPES) + zlib.compress(bytes(100_000_000), 9)
    tracemalloc.start()
    with refused(Kind.TRAILING_DATA, len(bomb)):
        buffers.unpack_zlib(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000, f"{peak} bytes were allocated for a buffer of {len(BODY)}"


def test_a_flipped_bit_is_refused_or_without_effect() -> None:
    """Any flipped bit of a deflated buffer is refused, except bits that deflate leaves unused."""
    right = buffers.unpack_zlib(DEFLATED).y_hat
    for bit in range(8 * len(DEFLATED)):
        damaged = bytearray(DEFLATED)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = buffers.unpack_zlib(bytes(damaged))
        except BitstreamError:
            continue
        assert torch.equal(found.y_hat, right), f"bit {bit} changes y unseen"
