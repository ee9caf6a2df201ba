"""What is timed of one picture at one model: whole calls of both codecs, their parts, and batches."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.compressai import CompressAI
from benchmarks.timing import Call
from mbtref import bitstream, codec, planes, rans
from mbtref.image import Image
from mbtref.model import Model

ENCODE, DECODE = "encode", "decode"
COMPRESS, DECOMPRESS = "CompressAI compress", "CompressAI decompress"
G_A = ("g_a, torch", "g_a, torch channels last", "g_a, mbtref")
"""One transform in the ways that there are: torch with either order in memory, and as mbtref runs it."""
G_S = ("g_s, torch", "g_s, torch channels last", "g_s, mbtref")
H_A = "h_a"
LATENTS = "latents of a stream"
RANS_ENCODE, RANS_DECODE = "rANS encode", "rANS decode"
PARTS = (*G_A, H_A, RANS_ENCODE, RANS_DECODE, LATENTS, *G_S)

BATCH = 8
"""Pictures in a batch."""
ENCODES, ENCODE_BATCH = f"encode, {BATCH} times", f"encode_batch of {BATCH}"
DECODES, DECODE_BATCH = f"decode, {BATCH} times", f"decode_batch of {BATCH}"

COMPARED_UP_TO = 1024 * 1024
"""Pixels of the largest picture that CompressAI codes and whose parts are timed: it takes minutes for more."""
BATCHES_UP_TO = 256 * 256
"""Pixels of the largest picture that is coded in batches."""


def all_calls(model: Model, file: Path, picture: Image, encoded: codec.Encoded) -> dict[str, Call]:
    """All calls that the picture isn't too large for. file: the model's. encoded: the picture, coded by mbtref."""
    pixels = picture.shape[0] * picture.shape[1]
    calls = wholes(model, picture, encoded.data)
    if pixels <= COMPARED_UP_TO:
        calls |= rival(file, picture) | parts(model, picture, encoded)
    if pixels <= BATCHES_UP_TO:
        calls |= batches(model, picture, encoded.data)
    return calls


def wholes(model: Model, picture: Image, data: bytes) -> dict[str, Call]:
    """From a picture to its stream, and back."""
    return {ENCODE: lambda: codec.encode(model, picture), DECODE: lambda: codec.decode(model, data)}


def rival(file: Path, picture: Image) -> dict[str, Call]:
    """The same with CompressAI."""
    other = CompressAI(file)
    strings = other.compress(picture)
    return {COMPRESS: lambda: other.compress(picture), DECOMPRESS: lambda: other.decompress(strings)}


def parts(model: Model, picture: Image, encoded: codec.Encoded) -> dict[str, Call]:
    """What encoding and decoding consist of, each alone."""
    x = planes.pad(planes.to_tensor(picture))
    y = model.networks.g_a(x)
    payload = bitstream.unpack(encoded.data).payload
    return {
        **ways(G_A, model.networks.g_a, model.transforms.g_a, x),
        H_A: lambda: model.transforms.h_a(y),
        RANS_ENCODE: lambda: rans.encode(encoded.symbols, encoded.indexes, model.tables),
        RANS_DECODE: lambda: rans.Decoder(payload, bitstream.HEADER_BYTES).pop(encoded.indexes, model.tables),
        LATENTS: lambda: codec.decode_latents(model, [encoded.data]),
        **ways(G_S, model.networks.g_s, model.transforms.g_s, encoded.y_hat),
    }


def ways(
    names: tuple[str, ...], network: nn.Module, own: Callable[[Tensor], Tensor], a: Tensor
) -> dict[str, Call]:
    """The three ways of a transform. network: as torch runs it. own: as mbtref does. a: its input (1, C, H, W)."""
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain, a_last = a.contiguous(), a.contiguous(memory_format=torch.channels_last)
    return dict(zip(names, (lambda: network(plain), lambda: last(a_last), lambda: own(a)), strict=True))


def batches(model: Model, picture: Image, data: bytes) -> dict[str, Call]:
    """Several pictures of one size, one by one and together."""
    pictures, streams = [picture] * BATCH, [data] * BATCH
    return {
        ENCODES: lambda: [codec.encode(model, one) for one in pictures],
        ENCODE_BATCH: lambda: codec.encode_batch(model, pictures),
        DECODES: lambda: [codec.decode(model, one) for one in streams],
        DECODE_BATCH: lambda: codec.decode_batch(model, streams),
    }
