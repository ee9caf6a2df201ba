"""What is timed of one picture at one model: whole calls of both codecs, their parts, and batches."""

import copy
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from mbtref import bitstream, codec, planes, rans
from mbtref.bitstream import STRIDE_Z
from mbtref.image import Image
from mbtref.model import Model
from mbtref.suite.subjects.compressai import compressai

Call = Callable[[], object]
Strings = tuple[int, int, bytes, bytes]
"""A picture coded by CompressAI: height, width, y, z."""

ENCODE, DECODE = "encode", "decode"
COMPRESS, DECOMPRESS = "CompressAI compress", "CompressAI decompress"
WHOLES = (ENCODE, DECODE, COMPRESS, DECOMPRESS)
G_A = ("g_a, torch", "g_a, torch channels last", "g_a, mbtref")
"""A transform three times: by torch with either order in memory, and as mbtref runs it."""
G_S = ("g_s, torch", "g_s, torch channels last", "g_s, mbtref")
H_A = "h_a"
LATENTS = "latents of a stream"
RANS_ENCODE, RANS_DECODE = "rANS encode", "rANS decode"
PARTS = (*G_A, H_A, RANS_ENCODE, RANS_DECODE, LATENTS, *G_S)

BATCH = 8  # pictures
ENCODES, ENCODE_BATCH = f"encode, {BATCH} times", f"encode_batch of {BATCH}"
DECODES, DECODE_BATCH = f"decode, {BATCH} times", f"decode_batch of {BATCH}"

COMPARED_UP_TO = 1024 * 1024
"""Pixels of the largest picture that CompressAI codes and whose parts are timed. More would take it minutes."""
BATCHES_UP_TO = 256 * 256  # pixels of the largest picture that is coded in batches


class CompressAI:
    """CompressAI's model as its users call it, with the weights of any model file."""

    def __init__(self, file: Path) -> None:
        google = compressai("models.google")
        state = safetensors.torch.load_file(file)
        self._network = google.JointAutoregressiveHierarchicalPriors.from_state_dict(state).eval()
        self._network.update()

    @torch.no_grad()
    def compress(self, picture: Image) -> Strings:
        x = planes.pad(planes.to_tensor(picture)).contiguous()  # plane by plane: its decoder begins in this order
        (y,), (z,) = self._network.compress(x)["strings"]
        return *picture.shape[:2], y, z

    @torch.no_grad()
    def decompress(self, strings: Strings) -> Image:
        height, width, y, z = strings
        shape = (-(-height // STRIDE_Z), -(-width // STRIDE_Z))
        x_hat: Tensor = self._network.decompress([[y], [z]], shape)["x_hat"]
        return planes.to_image(x_hat[0, :, :height, :width])


def all_calls(model: Model, file: Path, picture: Image, encoded: codec.Encoded) -> dict[str, Call]:
    """All calls for a picture of this size. file: the model's. encoded: the picture, coded by mbtref."""
    pixels, data = picture.shape[0] * picture.shape[1], encoded.data
    calls: dict[str, Call] = {
        ENCODE: lambda: codec.encode(model, picture),
        DECODE: lambda: codec.decode(model, data),
    }
    if pixels <= COMPARED_UP_TO:
        other = CompressAI(file)
        strings = other.compress(picture)
        calls |= {COMPRESS: lambda: other.compress(picture), DECOMPRESS: lambda: other.decompress(strings)}
        calls |= parts(model, picture, encoded)
    if pixels <= BATCHES_UP_TO:
        pictures, streams = [picture] * BATCH, [data] * BATCH
        calls |= {
            ENCODES: lambda: [codec.encode(model, one) for one in pictures],
            ENCODE_BATCH: lambda: codec.encode_batch(model, pictures),
            DECODES: lambda: [codec.decode(model, one) for one in streams],
            DECODE_BATCH: lambda: codec.decode_batch(model, streams),
        }
    return calls


def parts(model: Model, picture: Image, encoded: codec.Encoded) -> dict[str, Call]:
    """The parts of encoding and decoding, each alone."""
    networks, transforms = model.networks, model.transforms
    x = planes.pad(planes.to_tensor(picture))
    y = networks.g_a(x)
    payload = bitstream.unpack(encoded.data).payload
    calls: dict[str, Call] = {
        H_A: lambda: transforms.h_a(y),
        RANS_ENCODE: lambda: rans.encode(encoded.symbols, encoded.indexes, model.tables),
        RANS_DECODE: lambda: rans.Decoder(payload, bitstream.HEADER_BYTES).pop(encoded.indexes, model.tables),
        LATENTS: lambda: codec.decode_latents(model, [encoded.data]),
    }
    calls |= zip(G_A, three_times(networks.g_a, transforms.g_a, x), strict=True)
    calls |= zip(G_S, three_times(networks.g_s, transforms.g_s, encoded.y_hat), strict=True)
    return {name: calls[name] for name in PARTS}


def three_times(network: nn.Module, own: Callable[[Tensor], Tensor], a: Tensor) -> tuple[Call, Call, Call]:
    """A transform as torch runs it, in both orders, and as mbtref does (own). a: its input (1, C, H, W)."""
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain, a_last = a.contiguous(), a.contiguous(memory_format=torch.channels_last)
    return lambda: network(plain), lambda: last(a_last), lambda: own(a)
