"""Encode and decode: the whole story on one page.

    x --g_a--> y --h_a--> z --round--> k_z ------------> rANS      k_z --> z_hat --h_s--> psi
                          wavefronts:  k = round(y - mu), y_hat = k + mu, context of y_hat --> phi
                          (psi, phi) --entropy_parameters--> (sigma, mu);  k under table(sigma) --> rANS
    y_hat --g_s--> x_hat

This is the *closed loop*: the encoder rounds y - mu. So the decoder knows y_hat bit for bit, though it never
knows y. g_a, h_a and g_s are float32. The first two are the encoder's choice. The result of g_s is a picture,
where an ulp stays an ulp. Everything between runs in exact arithmetic. (In a model that is loaded as
`reproducible`, g_a, h_a and g_s are the same on every machine too.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mbtref import bitstream, image, rans
from mbtref.errors import BitstreamError, Kind
from mbtref.grid import ONE, from_activation, round_half_up, saturate
from mbtref.image import Image
from mbtref.model import STRIDE_Z
from mbtref.scan import Step, scan
from mbtref.surroundings import undisturbed
from mbtref.weights import Model


class Encoded(NamedTuple):
    """A stream, and the latents and symbols in it."""

    data: bytes
    y_hat: Tensor
    """(1, M, 4h, 4w) float32, closed-loop: the latents of every decoder."""
    symbols: list[int]
    """The message: z by channel, row and column, then y in the order of `scan.wavefronts`."""
    indexes: list[int]
    """The table of each symbol."""


def encode(model: Model, picture: Image) -> bytes:
    """The `.mbt` stream of a picture.

    picture: (H, W, 3) uint8 RGB. Raises ValueError if it has another form, is too large (`bitstream.PIXELS_MAX`)
    or makes the model overflow.
    """
    return encode_latents(model, picture).data


def decode(model: Model, data: bytes) -> Image:
    """The picture of a `.mbt` stream: (H, W, 3) uint8 RGB.

    Raises BitstreamError, of any kind.
    """
    return decode_batch(model, [data])[0]


@undisturbed()
def encode_latents(model: Model, picture: Image) -> Encoded:
    """`encode`, with the latents. Arguments and errors as for `encode`."""
    image.check(picture)
    height, width, _ = picture.shape
    bitstream.check_dimensions(height, width)
    y = model.transforms.g_a(image.pad(image.to_tensor(picture)))
    z = model.transforms.h_a(y)
    if not (torch.isfinite(y).all() and torch.isfinite(z).all()):
        raise ValueError(f"{model.name} gives latents that aren't finite for this picture; use another model")
    y_units = grid_units(y)
    z_units = grid_units(z)

    k_z = nearest_symbol(z_units - model.entropy.medians)
    symbols = k_z.permute(0, 3, 1, 2).flatten().int().tolist()
    indexes = z_indexes(k_z.shape[1:])

    def choose(step: Step) -> Tensor:
        k = nearest_symbol(step.of(y_units) - step.mu)
        symbols.extend(k.flatten().int().tolist())
        indexes.extend(_y_indexes(model, step).flatten().tolist())
        return step.y_hat(k)

    y_hat = scan(model.entropy, model.entropy.z_hat(k_z), choose)
    payload = rans.encode(symbols, indexes, model.tables)
    data = bitstream.pack(bitstream.Stream(model.fingerprint, height, width, payload))
    return Encoded(data, channels_first(y_hat), symbols, indexes)


@undisturbed()
def decode_latents(model: Model, streams: Sequence[bytes]) -> Tensor:
    """The latents of streams whose padded pictures have one size: (B, M, 4h, 4w) float32.

    Raises BitstreamError, of any kind; ValueError if the sizes differ.
    """
    return _latents(model, [open_stream(model, data) for data in streams])


def _latents(model: Model, streams: Sequence[bitstream.Stream]) -> Tensor:
    """`decode_latents` of parsed streams of this model."""
    shapes = {z_shape(model, stream) for stream in streams}
    if len(shapes) != 1:
        raise ValueError("a batch takes one or more streams of one padded size; decode them one by one")
    ((h, w, n),) = shapes
    decoders = [rans.Decoder(stream.payload, bitstream.HEADER_BYTES) for stream in streams]

    indexes = z_indexes((h, w, n))
    raster = [decoder.pop(indexes, model.tables) for decoder in decoders]
    k_z = model.entropy.medians.new_tensor(raster).reshape(len(streams), n, h, w).permute(0, 2, 3, 1)

    def choose(step: Step) -> Tensor:
        rows = _y_indexes(model, step).flatten(1).tolist()
        k = [decoder.pop(row, model.tables) for decoder, row in zip(decoders, rows, strict=True)]
        return step.y_hat(step.mu.new_tensor(k).reshape(step.mu.shape))

    y_hat = scan(model.entropy, model.entropy.z_hat(k_z), choose)
    for decoder in decoders:
        decoder.finish()
    return channels_first(y_hat)


@undisturbed()
def decode_batch(model: Model, streams: Sequence[bytes]) -> list[Image]:
    """The pictures of streams whose padded pictures have one size. Errors as for `decode_latents`."""
    parsed = [open_stream(model, data) for data in streams]
    x_hat = model.transforms.g_s(_latents(model, parsed))
    return [image.to_image(x[:, : s.height, : s.width]) for x, s in zip(x_hat, parsed, strict=True)]


def open_stream(model: Model, data: bytes) -> bitstream.Stream:
    """Parses a stream and checks that it names this model."""
    stream = bitstream.unpack(data)
    if stream.fingerprint != model.fingerprint:
        reason = f"made with model {stream.fingerprint.hex()}; {model.name} is {model.fingerprint.hex()}"
        raise BitstreamError(Kind.UNKNOWN_MODEL, bitstream.FINGERPRINT_AT, reason)
    return stream


def z_shape(model: Model, stream: bitstream.Stream) -> tuple[int, int, int]:
    """(h, w, N) of the hyper-latents: ceil(side / STRIDE_Z) of them cover a side."""
    return -(-stream.height // STRIDE_Z), -(-stream.width // STRIDE_Z), model.networks.N


def z_indexes(shape: Sequence[int]) -> list[int]:
    """The table of each hyper-latent is its channel. The order is channel, row, column. shape: (h, w, N)."""
    h, w, n = shape
    return [channel for channel in range(n) for _ in range(h * w)]


def _y_indexes(model: Model, step: Step) -> Tensor:
    """The table of each latent of a step: (B, P, M) int64. The tables of y come after the N tables of z."""
    return model.networks.N + model.gaussian.index(step.sigma)


def grid_units(latent: Tensor) -> Tensor:
    """(B, C, H, W) float32 -> (B, H, W, C) grid units, rounded down and saturated.

    Rounding down first moves no symbol: for integers n and m, floor((floor(v) + n) / m) = floor((v + n) / m).
    """
    return saturate(torch.floor(latent.permute(0, 2, 3, 1).double() * ONE))


def nearest_symbol(units: Tensor) -> Tensor:
    """The nearest whole symbol, a half up, of a difference in grid units: float64 integers, the same shape."""
    return round_half_up(units / ONE)


def channels_first(units: Tensor) -> Tensor:
    """(B, H, W, C) grid units -> (B, C, H, W) float32 values."""
    return from_activation(units).permute(0, 3, 1, 2)
