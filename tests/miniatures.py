"""Fake implementations, each wrong in one named way, to try the suite on."""

import copy
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch

import mbtref
from mbtref import bitstream, codec
from mbtref.exact import CONTEXT_TAPS
from mbtref.grid import ACTIVATION_BITS, ONE, WEIGHT_BITS
from mbtref.suite.generate.implementations import Whole
from mbtref.suite.operations import CAPABILITIES, Values
from mbtref.suite.subjects.protocol import Methods, Rejected, Unsupported
from mbtref.suite.subjects.reference import Reference

Transform = Callable[[torch.nn.Module], torch.nn.Module]


def answers(operation: str, change: Callable[[Any], Any]) -> type[Reference]:
    """The reference with another answer to one operation. change: makes it of the right one."""

    def method(self: Reference, *given: object, **inputs: object) -> object:
        return change(getattr(Reference, operation)(self, *given, **inputs))

    return type("Miniature", (Reference,), {operation: method})


def alters(operation: str, name: str, change: Callable[[Any], Any]) -> type[Reference]:
    """The same, with one other value in its answer."""
    return answers(operation, lambda right: {**right, name: change(right[name])})


def hears(operation: str, name: str, change: Callable[[Any], Any]) -> type[Reference]:
    """The reference, which takes an input of one operation for another one."""

    def method(self: Reference, *given: object, **inputs: object) -> Values:
        answer: Values = getattr(Reference, operation)(self, *given, **inputs | {name: change(inputs[name])})
        return answer

    return type("Miniature", (Reference,), {operation: method})


def raises(operation: str, error: Exception) -> type[Reference]:
    """The reference, but one operation raises."""

    def method(self: Reference, *given: object, **inputs: object) -> Values:
        raise error

    return type("Miniature", (Reference,), {operation: method})


def put(array: Any, place: tuple[int, ...], change: float) -> Any:
    """An array with something added at one place."""
    changed = np.array(array)
    changed[place] += change
    return changed


def with_spoiled_border(image: Any) -> Any:
    """Another sample in the last row, if the picture has padding."""
    changed = np.array(image)
    changed[-1, 0, 2] ^= any(side % 64 for side in image.shape[:2])
    return changed


def blue_first(image: Any) -> Any:
    """(H, W, 3) with the colours in the wrong order."""
    return image[:, :, ::-1].copy()


SwappedScaleAndMean = answers("parameters", lambda right: {**right, "sigma": right["mu"], "mu": right["sigma"]})
"""It takes entropy_parameters to give the mean first."""
NotANumber = alters("h_a", "z", lambda z: put(z, (1, 0, 0), np.nan))
OneTooMany = answers("g_s", lambda right: {**right, "y_hat": right["x_hat"]})
BareArray = answers("g_s", lambda right: right["x_hat"])
"""x_hat itself, in place of a mapping."""
WrongDtype = alters("g_s", "x_hat", lambda x_hat: x_hat.astype(np.float64))
JunkAfterZlib = alters("pack_zlib", "buffer", lambda buffer: buffer + b"junk")
NoFloor = alters("forward", "y_likelihoods", lambda p: np.where(p < 2e-6, np.float32(0), p))
"""Its small likelihoods go down to 0."""
OffTheGrid = alters("decode", "y_hat", lambda y_hat: y_hat + np.sign(y_hat) * np.float32(2**-11))
"""Its latents lie half a unit off the grid."""
GridUnits = alters("decode", "y_hat", lambda y_hat: y_hat * np.float32(ONE))
ForgetsZ = alters("unpack_raw", "z", lambda z: np.full_like(z, 7))
SwappedColours = hears("g_a", "x", lambda x: x[::-1].copy())
WrongColoursEncoded = hears("encode", "image", blue_first)
CompressesBlueFirst = hears("compress", "image", blue_first)
OneSymbolOff = hears("exact_symbols", "y", lambda y: put(y, (5, 2, 1), 1))
"""In closed loop, one symbol is one too large."""
SpoilsTheBorder = alters("decompress", "image", with_spoiled_border)
"""Its decoder changes a pixel of pictures that have padding."""
Raises = raises("g_s", ZeroDivisionError("division by zero"))
SpeaksInSurrogates = raises("g_s", RuntimeError("bad \ud800 text\x85and more"))
"""Its messages can't be written as UTF-8, and have ends of lines of their own."""
RefusesAll = raises("decompress", Rejected("bad-magic"))
OtherByteOrder = raises("decode", Rejected("too-large"))
"""Its decoder reads the sides as big-endian numbers."""


class WithContext(Reference):
    """The reference with another layer as its context model."""

    def model(self, name: str) -> mbtref.Model:
        model = super().model(name)
        wrong = copy.copy(model.entropy)
        wrong.context = copy.copy(wrong.context)
        self.spoil(wrong.context)
        return dataclasses.replace(model, entropy=wrong)

    def spoil(self, context: Any) -> None:
        """Changes the layer."""


class WrongMask(WithContext):
    """Its context model takes the tap left of the centre for the one left of that."""

    def spoil(self, context: Any) -> None:
        taps = context.weight.reshape(len(CONTEXT_TAPS), -1)
        context.weight = taps[[*range(len(taps) - 2), -1, -2]].reshape(context.weight.shape)


class WrongRounding(WithContext):
    """Where it should round phi to the activation grid, it cuts off."""

    def spoil(self, context: Any) -> None:
        context.bias = context.bias - 2.0 ** (WEIGHT_BITS - 1)  # half a grid unit, in units of a sum


class GoesAstray(Reference):
    """Its stages are right one by one, but its decoder runs with another context."""

    def decode(self, model: str, stream: bytes) -> Values:
        return WrongMask().decode(model, stream)


class ForgetsTheMean(Reference):
    """Its stages are right, but in closed loop it hands k on where y_hat = k + mu is due."""

    def exact_symbols(self, model: str, k_z: Any, y: Any) -> Values:
        right = super().exact_symbols(model, k_z, y)
        return {**right, "y_hat": np.asarray(right["k"]) << ACTIVATION_BITS}

    def decode(self, model: str, stream: bytes) -> Values:
        raise Rejected("bad-final-state")


class After(torch.nn.Module):
    """A network whose input is changed first."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], network: torch.nn.Module) -> None:
        super().__init__()
        self.change, self.network = change, network

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(self.change(a))
        return result


class Half(torch.nn.Module):
    """The layers of a network with all that they hold and hand on rounded to bfloat16.

    The sums are float32. PyTorch 2.13's own convolutions in bfloat16 read memory that nobody has written, on
    processors with AMX, where a picture is one column of z wide.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).bfloat16().float()

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        for layer in self.network.children():
            a = layer(a.bfloat16().float())
        return a.bfloat16().float()


def unchanged(network: torch.nn.Module) -> torch.nn.Module:
    return network


def analysis(g: Transform = unchanged, h: Transform = unchanged) -> type[Reference]:
    """The reference with other networks in its encoder. g, h: make them of g_a and h_a."""

    class Analysis(Reference):
        def model(self, name: str) -> mbtref.Model:
            model = super().model(name)
            networks = copy.copy(model.networks)
            networks._modules = {**networks._modules, "g_a": g(networks.g_a), "h_a": h(networks.h_a)}
            return dataclasses.replace(model, networks=networks, transforms=Whole(networks))

    return Analysis


HalfPrecision = analysis(g=Half, h=Half)
"""Its analysis has weights and activations of bfloat16, as an encoder may."""
RoundedLatents = analysis(h=lambda h_a: After(torch.round, h_a))
"""Its hyper-analysis sees rounded latents, as an encoder's may."""
AbsoluteLatents = analysis(h=lambda h_a: After(torch.abs, h_a))
Darkens = analysis(g=lambda g_a: After(lambda x: x * 255 / 256, g_a))
"""It divides pixels by 256."""


class Capricious(Reference):
    """It never gives the same bytes twice."""

    calls = 0

    def compress(self, model: str, image: Any) -> Values:
        self.calls += 1
        return {"blob": bytes(super().compress(model, image)["blob"]) + bytes(self.calls % 7)}


class Erratic(Reference):
    """Every network of its transforms ends in another way: it hangs, dies, or prints before it answers."""

    def g_a(self, model: str, x: Any) -> Values:
        time.sleep(3600)
        raise AssertionError

    def h_a(self, model: str, y: Any) -> Values:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError

    def g_s(self, model: str, y_hat: Any) -> Values:
        print("a warning that nobody reads")
        return super().g_s(model, y_hat)


class BigEndian(Reference):
    """Its arrays are in the byte order of other machines."""

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        answer = super().call(operation, model, inputs)
        return {
            name: value if isinstance(value, bytes) else value.astype(value.dtype.newbyteorder(">"))
            for name, value in answer.items()
        }


class GoesAstrayElsewhere(Reference):
    """Its decoder finds other latents on one thread, where a float codec sums in another order."""

    def decompress(self, model: str, blob: bytes) -> Values:
        right = super().decompress(model, blob)
        if os.environ.get("OMP_NUM_THREADS") != "1":
            return right
        return {**right, "y_hat": put(right["y_hat"], (3, 1, 2), 1)}


class DiesElsewhere(Reference):
    """It can't start on one thread."""

    def __init__(self) -> None:
        if os.environ.get("OMP_NUM_THREADS") == "1":
            os.abort()


class NotReproducible(Reference):
    """It promises pixels that don't depend on the machine, and computes them in float32."""

    def decode_reproducible(self, model: str, stream: bytes) -> Values:
        return {"image": super().decode(model, stream)["image"]}


class DeadZone(Reference):
    """It rounds latents of y towards 0 if they are less than 0.7 away, to save bytes, as an encoder may."""

    def encode(self, model: str, image: Any) -> Values:
        right = codec.nearest_symbol

        def nearest(units: torch.Tensor) -> torch.Tensor:
            of_y = units.dim() == 3
            return units.sign() * torch.floor(units.abs() / ONE + 0.3) if of_y else right(units)

        with mock.patch.object(codec, "nearest_symbol", nearest):
            return super().encode(model, image)


class PadsWithZeros(Reference):
    """It pads a picture with black."""

    def encode(self, model: str, image: Any) -> Values:
        height, width, _ = image.shape
        padded = np.pad(image, ((0, -height % 64), (0, -width % 64), (0, 0)))
        stream = bitstream.unpack(bytes(super().encode(model, padded)["stream"]))
        return {"stream": bitstream.pack(stream._replace(height=height, width=width))}


class SwapsSides(Reference):
    """It writes the width first."""

    def encode(self, model: str, image: Any) -> Values:
        stream = bitstream.unpack(bytes(super().encode(model, image)["stream"]))
        return {"stream": bitstream.pack(stream._replace(height=stream.width, width=stream.height))}


class OneLatentOff(Reference):
    """Its decoder has one latent that the encoder hadn't."""

    def decode(self, model: str, stream: bytes) -> Values:
        right = super().decode(model, stream)
        return {**right, "y_hat": put(right["y_hat"], (3, 1, 2), 1)}


class ShowsNegatives(OneLatentOff):
    """The same, and its decoder shows another picture."""

    def decompress(self, model: str, blob: bytes) -> Values:
        wrong = super().decompress(model, blob)
        return {**wrong, "image": 255 - np.asarray(wrong["image"])}


class Remembers(Reference):
    """It compresses the first picture of a size, and gives its bytes again for any other one."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, ...], Values] = {}

    def compress(self, model: str, image: Any) -> Values:
        if image.shape not in self.kept:
            self.kept[image.shape] = super().compress(model, image)
        return self.kept[image.shape]


class WrongOnce(Reference):
    """Its third answer alone is wrong."""

    calls = 0

    def decompress(self, model: str, blob: bytes) -> Values:
        self.calls += 1
        if self.calls == 3:
            raise Rejected("bad-magic")
        return super().decompress(model, blob)


class Nothing(Methods):
    """It declares everything and does nothing."""

    name = "nothing"
    version = "0"
    capabilities = CAPABILITIES

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        raise Unsupported(operation)
