"""Latent buffers: open-loop latents as plain int16, raw or deflated.

    byte  0  16  shape of y, four int32: 1, M, 4h, 4w
         16  16  shape of z, four int32: 1, N, h, w
         32      y, then z, int16; plain (raw) or as one zlib stream (zlib)

All numbers are little-endian. The buffer holds round(y), so g_s gives exactly the x_hat of `forward_pass`.
Medians aren't integers, so z is truncated toward zero. A buffer is enough for g_s, never for entropy decoding.
"""

import math
import struct
import zlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbtref.bitstream import STRIDE_Y, STRIDE_Z
from mbtref.brief import brief
from mbtref.errors import BitstreamError, Kind

_HEADER = struct.Struct("<8i")
_ITEM = np.dtype("<i2")
ZLIB_LEVEL = 9
ELEMENTS_MAX = 1 << 26
"""A buffer may announce at most this many latents: the y of an 8K picture at M = 320, with room to spare."""


class Latents(NamedTuple):
    """The latents in a buffer."""

    y_hat: Tensor
    """(1, M, 4h, 4w) float32 integers in [-32768, 32767]."""
    z: Tensor
    """(1, N, h, w) float32 integers in [-32768, 32767]."""

    def __repr__(self) -> str:
        return brief(self)


def pack_raw(y_hat: Tensor, z_hat: Tensor) -> bytes:
    """A raw buffer. y_hat: (1, M, 4h, 4w) float, z_hat: (1, N, h, w) float.

    Raises ValueError for other shapes, and for values that int16 can't hold.
    """
    return _header(y_hat, z_hat) + _body(y_hat, z_hat)


def pack_zlib(y_hat: Tensor, z_hat: Tensor) -> bytes:
    """The same, deflated. Arguments and errors as for `pack_raw`."""
    return _header(y_hat, z_hat) + zlib.compress(_body(y_hat, z_hat), ZLIB_LEVEL)


def unpack_raw(data: bytes) -> Latents:
    """The inverse of `pack_raw`. Raises BitstreamError truncated, trailing-data, bad-dimensions or too-large."""
    y_shape, z_shape = _shapes(data)
    return _split(data[_HEADER.size :], y_shape, z_shape, len(data))


def unpack_zlib(data: bytes) -> Latents:
    """The inverse of `pack_zlib`. Raises BitstreamError as `unpack_raw` does, and checksum-mismatch."""
    y_shape, z_shape = _shapes(data)
    size = (math.prod(y_shape) + math.prod(z_shape)) * _ITEM.itemsize
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(data[_HEADER.size :], size)
    except zlib.error as error:
        raise BitstreamError(Kind.CHECKSUM_MISMATCH, _HEADER.size, f"not a zlib stream: {error}") from error
    try:
        # one further byte reveals a longer stream, however much it would inflate to
        body += inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error:
        body += b"?"  # zlib has inflated that byte, and found a fault behind it
    latents = _split(body, y_shape, z_shape, len(data))
    if not inflate.eof:
        raise BitstreamError(Kind.TRUNCATED, len(data), "the zlib stream has no end")
    if inflate.unused_data:
        end = len(data) - len(inflate.unused_data)
        raise BitstreamError(Kind.TRAILING_DATA, end, "bytes follow the zlib stream")
    return latents


def _header(y_hat: Tensor, z_hat: Tensor) -> bytes:
    """The two shapes. Raises ValueError unless they can belong to one picture."""
    if not _fit(tuple(y_hat.shape), tuple(z_hat.shape)):
        shapes = f"{tuple(y_hat.shape)} and {tuple(z_hat.shape)}"
        raise ValueError(f"y and z are (1, M, 4h, 4w) and (1, N, h, w); these are {shapes}")
    return _HEADER.pack(*y_hat.shape, *z_hat.shape)


def _fit(y_shape: tuple[int, ...], z_shape: tuple[int, ...]) -> bool:
    """Whether these shapes can belong to the latents of one picture."""
    ratio = STRIDE_Z // STRIDE_Y
    return (
        len(y_shape) == len(z_shape) == 4
        and min(y_shape + z_shape) >= 1
        and y_shape[0] == z_shape[0] == 1
        and y_shape[2:] == tuple(ratio * n for n in z_shape[2:])
    )


def _body(y_hat: Tensor, z_hat: Tensor) -> bytes:
    """y, then z, truncated toward zero. Raises ValueError for a value that isn't finite or leaves int16."""
    parts = []
    for name, latent in (("y", y_hat), ("z", z_hat)):
        whole = torch.trunc(latent.detach().double()).cpu().numpy()
        if not (np.abs(whole + 0.5) < 2**15).all():
            raise ValueError(f"{name} has values outside int16; a latent buffer can't hold this picture")
        parts.append(whole.astype(_ITEM).tobytes())
    return b"".join(parts)


def _shapes(data: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if len(data) < _HEADER.size:
        raise BitstreamError(Kind.TRUNCATED, len(data), f"the header has {_HEADER.size} bytes")
    numbers = _HEADER.unpack_from(data)
    y_shape, z_shape = numbers[:4], numbers[4:]
    if not _fit(y_shape, z_shape):
        raise BitstreamError(Kind.BAD_DIMENSIONS, 0, f"no mbt2018 model has y {y_shape} with z {z_shape}")
    if math.prod(y_shape) + math.prod(z_shape) > ELEMENTS_MAX:
        raise BitstreamError(
            Kind.TOO_LARGE, 0, f"y {y_shape} and z {z_shape}; the limit is {ELEMENTS_MAX} latents"
        )
    return y_shape, z_shape


def _split(body: bytes, y_shape: tuple[int, ...], z_shape: tuple[int, ...], end: int) -> Latents:
    """Cuts an inflated body. end: length of the file, for error offsets."""
    count = math.prod(y_shape) + math.prod(z_shape)
    if len(body) < count * _ITEM.itemsize:
        raise BitstreamError(Kind.TRUNCATED, end, f"{count} latents are announced, but the data ends earlier")
    if len(body) > count * _ITEM.itemsize:
        raise BitstreamError(Kind.TRAILING_DATA, end, f"{count} latents are announced, but more data follows")
    values = torch.from_numpy(np.frombuffer(body, _ITEM).astype(np.float32))
    y, z = values.split([math.prod(y_shape), math.prod(z_shape)])
    return Latents(y.reshape(y_shape), z.reshape(z_shape))
