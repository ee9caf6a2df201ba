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

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from mbtref import bitstream, image, planes, rans
from mbtref.bitstream import BytesLike
from mbtref.brief import brief
from mbtref.compiled import Array
from mbtref.errors import BitstreamError, Kind
from mbtref.grid import ONE, from_activation, round_half_up, saturate
from mbtref.image import Image
from mbtref.model import Model, check_model
from mbtref.progress import Watch, unwatched
from mbtref.scan import Step, scan
from mbtref.surroundings import undisturbed
from mbtref.tables import z_indexes


class Encoded(NamedTuple):
    """A stream, and the latents and symbols in it. A notebook shows the picture that a decoder makes of it."""

    data: bytes
    y_hat: Tensor
    """(1, M, 4h, 4w) float32, closed-loop: the latents of every decoder."""
    symbols: Array
    """(S,) the message: z by channel, row and column, then y in the order of `scan.wavefronts`."""
    indexes: Array
    """(S,) the table of each symbol."""
    model: Model

    def __repr__(self) -> str:
        return brief(self)

    def _repr_png_(self) -> bytes | None:
        return PIL.Image.fromarray(decode(self.model, self.data))._repr_png_()


def encode(model: Model, picture: Image, watch: Watch = unwatched) -> bytes:
    """The `.mbt` stream of a picture.

    picture: (H, W, 3) uint8 RGB. watch: sees the loops `g_a` and `latents`. Raises ValueError if the picture has
    another form, is too large (`bitstream.PIXELS_MAX`) or makes the model overflow.
    """
    return encode_latents(model, picture, watch).data


def decode(model: Model, data: BytesLike, watch: Watch = unwatched) -> Image:
    """The picture of a `.mbt` stream: (H, W, 3) uint8 RGB.

    watch: sees the loops `latents` and `g_s`. Raises BitstreamError, of any kind, or ValueError.
    """
    return decode_batch(model, [data], watch)[0]


def encode_batch(model: Model, pictures: Sequence[Image], watch: Watch = unwatched) -> list[bytes]:
    """The streams of pictures that have one padded size: those of `encode`, in less time for small pictures.

    Raises ValueError as `encode` does, and if the sizes differ.
    """
    return [encoded.data for encoded in encode_batch_latents(model, pictures, watch)]


def encode_latents(model: Model, picture: Image, watch: Watch = unwatched) -> Encoded:
    """`encode`, with the latents. Arguments and errors as for `encode`."""
    return encode_batch_latents(model, [picture], watch)[0]


@undisturbed
def encode_batch_latents(model: Model, pictures: Sequence[Image], watch: Watch = unwatched) -> list[Encoded]:
    """`encode_batch`, with the latents. Arguments and errors as for it."""
    check_model(model)
    for picture in pictures:
        image.check(picture)
        bitstream.check_dimensions(*picture.shape[:2])
    x = [planes.pad(planes.to_tensor(picture).to(model.device)) for picture in pictures]
    _check_batch([v.shape for v in x])
    y = torch.cat([model.transforms.g_a(v, watch) for v in x])
    z = model.transforms.h_a(y)
    if not (torch.isfinite(y).all() and torch.isfinite(z).all()):
        raise ValueError(f"{model.name} gives latents that aren't finite for this picture; use another model")
    y_units = grid_units(y)
    z_units = grid_units(z)

    k_z = nearest_symbol(z_units - model.entropy.medians)
    # on the device: a copy to the CPU waits for it
    symbols = [k_z.permute(0, 3, 1, 2).flatten(1)]
    indexes = [torch.from_numpy(z_indexes(k_z.shape[1:])).to(model.device).expand(len(x), -1)]

    def choose(step: Step) -> Tensor:
        k = nearest_symbol(step.of(y_units) - step.mu)
        symbols.append(k.flatten(1))
        indexes.append(_y_indexes(model, step))
        return step.y_hat(k)

    y_hat = channels_first(scan(model.entropy, model.entropy.z_hat(k_z), choose, watch))
    k, tables = (torch.cat(parts, 1).long().cpu().numpy() for parts in (symbols, indexes))
    messages = zip(k, tables, strict=True)
    return [
        Encoded(_stream(model, picture, *message), y_hat[i : i + 1], *message, model)
        for i, (picture, message) in enumerate(zip(pictures, messages, strict=True))
    ]


def _stream(model: Model, picture: Image, symbols: Array, indexes: Array) -> bytes:
    """The file of a message."""
    height, width, _ = picture.shape
    payload = rans.encode(symbols, indexes, model.tables)
    return bitstream.pack(bitstream.Stream(model.fingerprint, height, width, payload))


@undisturbed
def decode_latents(model: Model, streams: Sequence[BytesLike]) -> Tensor:
    """The latents of streams whose padded pictures have one size: (B, M, 4h, 4w) float32.

    Raises BitstreamError, of any kind; ValueError if the sizes differ.
    """
    return _latents(model, [open_stream(model, data) for data in streams], unwatched)


def _latents(model: Model, streams: Sequence[bitstream.Stream], watch: Watch) -> Tensor:
    """`decode_latents` of parsed streams of this model."""
    _check_batch([stream.z_size for stream in streams])
    h, w = streams[0].z_size
    n = model.networks.N
    decoders = [rans.Decoder(stream.payload, bitstream.HEADER_BYTES) for stream in streams]

    def read(indexes: Iterable[Array]) -> Tensor:
        symbols = [decoder.pop(own, model.tables) for decoder, own in zip(decoders, indexes, strict=True)]
        return torch.from_numpy(np.stack(symbols)).double().to(model.device)

    indexes = z_indexes((h, w, n))
    k_z = read([indexes] * len(streams)).reshape(len(streams), n, h, w).permute(0, 2, 3, 1)

    def choose(step: Step) -> Tensor:
        return step.y_hat(read(_y_indexes(model, step).cpu().numpy()).reshape(step.mu.shape))

    y_hat = scan(model.entropy, model.entropy.z_hat(k_z), choose, watch)
    for decoder in decoders:
        decoder.finish()
    return channels_first(y_hat)


@undisturbed
def decode_batch(model: Model, streams: Sequence[BytesLike], watch: Watch = unwatched) -> list[Image]:
    """The pictures of streams whose padded pictures have one size. Errors as for `decode_latents`."""
    parsed = [open_stream(model, data) for data in streams]
    latents = _latents(model, parsed, watch).split(1)
    return [
        planes.to_image(model.transforms.g_s(y_hat, watch)[0, :, : stream.height, : stream.width])
        for y_hat, stream in zip(latents, parsed, strict=True)
    ]


def _check_batch(sizes: Sequence[tuple[int, ...]]) -> None:
    """Raises ValueError unless all padded pictures of a batch have one size."""
    if len(set(sizes)) != 1:
        raise ValueError("a batch takes one or more pictures of one padded size; code them one by one")


def open_stream(model: Model, data: BytesLike) -> bitstream.Stream:
    """Parses a stream and checks that it names this model."""
    check_model(model)
    stream = bitstream.unpack(data)
    if stream.fingerprint != model.fingerprint:
        reason = f"made with model {stream.fingerprint.hex()}; {model.name} is {model.fingerprint.hex()}"
        raise BitstreamError(Kind.UNKNOWN_MODEL, bitstream.FINGERPRINT_AT, reason)
    return stream


def _y_indexes(model: Model, step: Step) -> Tensor:
    """The table of each latent of a step: (B, P·M) int64. The tables of y come after the N tables of z."""
    return model.networks.N + model.index(step.sigma).flatten(1)


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
