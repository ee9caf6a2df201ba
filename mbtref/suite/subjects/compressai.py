"""CompressAI 1.2.8 as a subject, on the same weights: the library that most users of mbt2018 have.

Only the files of the weights are mbtref's. A fork of CompressAI is a class that makes another `network`.
"""

import functools
import importlib
import importlib.metadata
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref.suite.operations import Values
from mbtref.suite.subjects.protocol import Methods, Unsupported
from mbtref.suite.subjects.tensors import F32, I32, U8, batch, single
from mbtref.suite.subjects.weights import NETWORKS, by_position, widths

SHAPES = struct.Struct("<8i")
"""A latent buffer's header: the shapes of y and z."""
ANY = "lite-q3"
"""The model that is asked where an operation names none."""
CONTAINER = struct.Struct("<HHI")
"""The adapter's header before CompressAI's two strings: height and width in pixels, length of the string of y."""


@functools.cache
def compressai(name: str) -> ModuleType:
    """A module of CompressAI. name: its path below `compressai`, as in "models.google".

    CompressAI imports torchvision, whose compiled operators can't be loaded beside a CPU-only PyTorch; its Python
    half then asks for operators that aren't there. Nothing here calls them: declaring them is enough.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        return importlib.import_module(f"compressai.{name}")


def filled(model: str, made: Callable[[int, int], Any]) -> Any:
    """A network with the weights of a model of the vectors, ready to code.

    made: makes it from N and M, as CompressAI's class and its forks' do. Its parts have CompressAI's names.
    """
    network = made(*widths(model))
    by_position(model, **{name: getattr(network, name) for name in NETWORKS})
    network.update()
    return network.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Uses one thread: if encoder and decoder sum in different orders, an ulp in a mean breaks the stream."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class CompressAI(Methods):
    """CompressAI as it is. Inputs that would break its coder are answered as unsupported."""

    name = "CompressAI"
    order = torch.contiguous_format
    """The order of a picture's values in memory: plane by plane."""
    capabilities: Collection[str] = (
        "transforms", "entropy-float", "rans", "buffers", "roundtrip", "portable", "kodak",
    )  # fmt: skip

    @property
    def version(self) -> str:
        return importlib.metadata.version("compressai")

    @functools.cached_property
    def loaded(self) -> Callable[[str], Any]:
        """`network`, made once for each model."""
        return functools.cache(self.network)

    def network(self, model: str) -> Any:
        """CompressAI's network with the weights of a model of the vectors. A fork's subject returns another."""
        return filled(model, compressai("models").JointAutoregressiveHierarchicalPriors)

    @torch.no_grad()
    def g_a(self, model: str, x: F32) -> Values:
        return {"y": single(self.loaded(model).g_a(batch(x)))}

    @torch.no_grad()
    def h_a(self, model: str, y: F32) -> Values:
        return {"z": single(self.loaded(model).h_a(batch(y)))}

    @torch.no_grad()
    def g_s(self, model: str, y_hat: F32) -> Values:
        return {"x_hat": single(self.loaded(model).g_s(batch(y_hat)))}

    @torch.no_grad()
    def parameters(self, model: str, z_hat: F32, y_hat: F32) -> Values:
        net = self.loaded(model)
        psi, phi = net.h_s(batch(z_hat)), net.context_prediction(batch(y_hat))
        sigma, mu = net.entropy_parameters(torch.cat((psi, phi), dim=1)).chunk(2, 1)
        return {"psi": single(psi), "phi": single(phi), "sigma": single(sigma), "mu": single(mu)}

    @torch.no_grad()
    def forward(self, model: str, x: F32) -> Values:
        net, picture = self.loaded(model), batch(x)
        result = net(picture)
        # it doesn't return its latents: the same calls compute them again
        y = net.g_a(picture)
        z_hat, _ = net.entropy_bottleneck(net.h_a(y))
        return {
            "z_hat": single(z_hat),
            "z_likelihoods": single(result["likelihoods"]["z"]),
            "y_hat": single(net.gaussian_conditional.quantize(y, "dequantize")),
            "y_likelihoods": single(result["likelihoods"]["y"]),
            "x_hat": single(result["x_hat"]),
        }

    @torch.no_grad()
    def gaussian_likelihoods(self, y: F32, mu: F32, sigma: F32) -> Values:
        gaussian = self.loaded(ANY).gaussian_conditional
        return {"y_likelihoods": single(gaussian(batch(y), batch(sigma), batch(mu))[1])}

    @torch.no_grad()
    def factorized_likelihoods(self, model: str, z_hat: F32) -> Values:
        return {"z_likelihoods": single(self.loaded(model).entropy_bottleneck(batch(z_hat))[1])}

    def rans_encode(self, symbols: I32, indexes: I32, cdf: I32, length: I32, offset: I32) -> Values:
        refuse_what_breaks_the_encoder(symbols, indexes, length, offset)
        arguments = (array.tolist() for array in (symbols, indexes, cdf, length, offset))
        return {"stream": compressai("ans").RansEncoder().encode_with_indexes(*arguments)}

    def rans_decode(self, stream: bytes, indexes: I32, cdf: I32, length: I32, offset: I32) -> Values:
        arguments = (array.tolist() for array in (indexes, cdf, length, offset))
        symbols = compressai("ans").RansDecoder().decode_with_indexes(stream, *arguments)
        return {"symbols": np.array(symbols, np.int32)}

    def pack_raw(self, y_hat: F32, z_hat: F32) -> Values:
        return {"buffer": shapes(y_hat, z_hat) + int16(y_hat) + int16(z_hat)}

    def pack_zlib(self, y_hat: F32, z_hat: F32) -> Values:
        return {"buffer": shapes(y_hat, z_hat) + zlib.compress(int16(y_hat) + int16(z_hat), 9)}

    def unpack_raw(self, buffer: bytes) -> Values:
        return latents(buffer, buffer[SHAPES.size :])

    def unpack_zlib(self, buffer: bytes) -> Values:
        return latents(buffer, zlib.decompress(buffer[SHAPES.size :]))

    @torch.no_grad()
    def compress(self, model: str, image: U8) -> Values:
        height, width, _ = image.shape
        x = batch(image).permute(0, 3, 1, 2).float() / 255
        padded = F.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate").contiguous(memory_format=self.order)
        with one_thread():
            (y_string,), (z_string,) = self.loaded(model).compress(padded)["strings"]
        return {"blob": CONTAINER.pack(height, width, len(y_string)) + y_string + z_string}

    @torch.no_grad()
    def reconstruct(self, model: str, image: U8) -> Values:
        net, y_hats = self.loaded(model), []
        loop = getattr(net, "_compress_ar", None)
        if loop is None:
            raise Unsupported("its encoder has no loop _compress_ar, which would show its latents")

        def kept(y: Tensor, *rest: object) -> object:
            y_hats.append(y)  # the loop writes y_hat into y, inside a border of 2
            return loop(y, *rest)

        with mock.patch.object(net, "_compress_ar", kept):
            self.compress(model, image)
        y_hat = F.pad(y_hats[0], (-2, -2, -2, -2))
        with one_thread():
            return {"y_hat": single(y_hat), "image": shown(net.g_s(y_hat).clamp(0, 1), *image.shape[:2])}

    @torch.no_grad()
    def decompress(self, model: str, blob: bytes) -> Values:
        height, width, length = CONTAINER.unpack_from(blob)
        strings = blob[CONTAINER.size :]
        shape = (-(-height // 64), -(-width // 64))
        y_hats: list[Tensor] = []
        net = self.loaded(model)
        # its decoder doesn't return the latents: the hook takes the input of g_s
        hook = net.g_s.register_forward_pre_hook(lambda _, inputs: y_hats.append(inputs[0]))
        with one_thread():
            x_hat = net.decompress([[strings[:length]], [strings[length:]]], shape)["x_hat"]
        hook.remove()
        return {"y_hat": single(y_hats[0]), "image": shown(x_hat, height, width)}


class ChannelsLast(CompressAI):
    """CompressAI with pictures stored pixel by pixel, as in image files and for fast convolutions.

    Its encoder passes this order on to its latents, but its decoder begins with latents in the other order. They
    sum in different orders, and the decoder goes astray on some pictures, on one machine, in one process.
    """

    name = "CompressAI, channels last"
    order = torch.channels_last


def refuse_what_breaks_the_encoder(symbols: I32, indexes: I32, length: I32, offset: I32) -> None:
    """Raises Unsupported for inputs that break CompressAI's coder without an exception."""
    escapes = length[indexes].astype(np.int64) - 2
    if (escapes == 0).any():
        raise Unsupported("CompressAI keeps a frequency in 16 bits, divides by 0 for one of 65536")
    value = symbols.astype(np.int64) - offset[indexes]
    # below the table odd numbers, from its escape bin on even ones
    raw = np.where(value < 0, -2 * value - 1, 2 * (value - escapes))
    if (raw >= 1 << 28).any():
        raise Unsupported("CompressAI never ends for an escape of more than 7 digits")
    # a symbol is one step; an escaped one also takes the count of its digits, and each digit in base 16
    if sum(1 if r < 0 else 2 + -(-r.bit_length() // 4) for r in raw.tolist()) < 3:
        raise Unsupported("CompressAI writes before its buffer for fewer than 3 coding steps")


def shown(x_hat: Tensor, height: int, width: int) -> U8:
    """The picture of a result in [0, 1], (1, 3, H, W), cropped."""
    image: U8 = (x_hat[0, :, :height, :width] * 255).round().byte().permute(1, 2, 0).numpy()
    return image


def shapes(y_hat: F32, z_hat: F32) -> bytes:
    """The header of a latent buffer."""
    return SHAPES.pack(1, *y_hat.shape, 1, *z_hat.shape)


def int16(latent: F32) -> bytes:
    """A latent as int16, truncated toward zero like a cast."""
    return latent.astype("<i2").tobytes()


def latents(buffer: bytes, body: bytes) -> Values:
    """The latents in a buffer. body: its bytes after the header, inflated."""
    shape = SHAPES.unpack_from(buffer)
    values = np.frombuffer(body, "<i2").astype(np.float32)
    count = int(np.prod(shape[:4]))
    return {"y_hat": values[:count].reshape(shape[1:4]), "z": values[count:].reshape(shape[5:])}
