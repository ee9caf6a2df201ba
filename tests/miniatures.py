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


class WrongMask(Reference):
    """Its context model takes the tap left of the centre for the one left of that."""

    name = "wrong-mask"

    def model(self, name: str) -> mbtref.Model:
        model = super().model(name)
        taps = model.entropy.context.weight.reshape(len(CONTEXT_TAPS), -1)
        wrong = copy.copy(model.entropy)
        wrong.context = copy.copy(wrong.context)
        wrong.context.weight = taps[[*range(len(taps) - 2), -1, -2]].reshape(model.entropy.context.weight.shape)
        return dataclasses.replace(model, entropy=wrong)


class WrongRounding(Reference):
    """Where it should round phi to the activation grid, it cuts off."""

    name = "wrong-rounding"

    def model(self, name: str) -> mbtref.Model:
        model = super().model(name)
        wrong = copy.copy(model.entropy)
        wrong.context = copy.copy(wrong.context)
        half = 2.0 ** (WEIGHT_BITS - 1)  # of a grid unit, in units of a sum
        wrong.context.bias = wrong.context.bias - half
        return dataclasses.replace(model, entropy=wrong)


class GoesAstray(Reference):
    """Its stages are right one by one, but its decoder runs with another context."""

    name = "goes-astray"

    def decode(self, model: str, stream: bytes) -> Values:
        return WrongMask().decode(model, stream)


class ForgetsTheMean(Reference):
    """Its stages are right, but in closed loop it hands k on where y_hat = k + mu is due."""

    name = "forgets-the-mean"

    def exact_symbols(self, model: str, k_z: Any, y: Any) -> Values:
        right = super().exact_symbols(model, k_z, y)
        return {**right, "y_hat": np.asarray(right["k"]) << ACTIVATION_BITS}

    def decode(self, model: str, stream: bytes) -> Values:
        raise Rejected("bad-final-state")


class Analysis(Reference):
    """An encoder with other transforms."""

    def model(self, name: str) -> mbtref.Model:
        model = super().model(name)
        networks = copy.copy(model.networks)
        networks._modules = {**networks._modules, "g_a": self.g(networks.g_a), "h_a": self.h(networks.h_a)}
        return dataclasses.replace(model, networks=networks, transforms=Whole(networks))

    def g(self, g_a: torch.nn.Module) -> torch.nn.Module:
        return g_a

    def h(self, h_a: torch.nn.Module) -> torch.nn.Module:
        return h_a


class After(torch.nn.Module):
    """A network whose input is changed first."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], network: torch.nn.Module) -> None:
        super().__init__()
        self.change, self.network = change, network

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(self.change(a))
        return result


class HalfPrecision(Analysis):
    """Its analysis has weights and activations of bfloat16, as an encoder may."""

    name = "half-precision"

    def g(self, g_a: torch.nn.Module) -> torch.nn.Module:
        return Half(g_a)

    def h(self, h_a: torch.nn.Module) -> torch.nn.Module:
        return Half(h_a)


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


class WrongColoursEncoded(Reference):
    """It encodes pictures as BGR."""

    name = "bgr-encoder"

    def encode(self, model: str, image: Any) -> Values:
        return super().encode(model, image[:, :, ::-1].copy())


class SwappedScaleAndMean(Reference):
    """It takes entropy_parameters to give the mean first."""

    name = "swapped"

    def parameters(self, model: str, z_hat: Any, y_hat: Any) -> Values:
        right = super().parameters(model, z_hat, y_hat)
        return {**right, "sigma": right["mu"], "mu": right["sigma"]}


class SwappedColours(Reference):
    """It takes pictures to be BGR."""

    name = "bgr"

    def g_a(self, model: str, x: Any) -> Values:
        return super().g_a(model, x[::-1].copy())


class NotANumber(Reference):
    """Its hyper-analysis has a NaN."""

    name = "nan"

    def h_a(self, model: str, y: Any) -> Values:
        z = np.array(super().h_a(model, y)["z"])
        z[1, 0, 0] = np.nan
        return {"z": z}


class OneTooMany(Reference):
    """It answers one array too many."""

    name = "one-too-many"

    def g_s(self, model: str, y_hat: Any) -> Values:
        return {**super().g_s(model, y_hat), "y_hat": y_hat}


class BareArray(Reference):
    """x_hat itself, in place of a mapping."""

    def g_s(self, model: str, y_hat: Any) -> Values:
        return super().g_s(model, y_hat)["x_hat"]  # type: ignore[return-value]


class WrongDtype(Reference):
    """It answers in float64."""

    name = "float64"

    def g_s(self, model: str, y_hat: Any) -> Values:
        return {"x_hat": np.asarray(super().g_s(model, y_hat)["x_hat"], np.float64)}


class Raises(Reference):
    """It raises."""

    name = "raises"

    def g_s(self, model: str, y_hat: Any) -> Values:
        raise ZeroDivisionError("division by zero")


class JunkAfterZlib(Reference):
    """It leaves bytes behind the zlib stream of a latent buffer."""

    name = "junk"

    def pack_zlib(self, y_hat: Any, z_hat: Any) -> Values:
        return {"buffer": bytes(super().pack_zlib(y_hat, z_hat)["buffer"]) + b"junk"}


class NoFloor(Reference):
    """Its small likelihoods go down to 0."""

    name = "no-floor"

    def forward(self, model: str, x: Any) -> Values:
        right = super().forward(model, x)
        p = np.asarray(right["y_likelihoods"])
        return {**right, "y_likelihoods": np.where(p < 2e-6, np.float32(0), p)}


class OffTheGrid(Reference):
    """Its latents lie half a unit beside the grid."""

    name = "off-the-grid"

    def decode(self, model: str, stream: bytes) -> Values:
        right = super().decode(model, stream)
        y_hat = np.asarray(right["y_hat"])
        return {**right, "y_hat": (y_hat + np.sign(y_hat) * np.float32(2**-11)).astype(np.float32)}


class RefusesAll(Reference):
    """It takes no stream for one of its own."""

    name = "refuses-all"

    def decompress(self, model: str, blob: bytes) -> Values:
        raise Rejected("bad-magic")


class Capricious(Reference):
    """It never gives the same bytes twice."""

    name = "capricious"
    calls = 0

    def compress(self, model: str, image: Any) -> Values:
        self.calls += 1
        return {"blob": bytes(super().compress(model, image)["blob"]) + bytes(self.calls % 7)}


class ForgetsZ(Reference):
    """Its buffers hold another z."""

    name = "forgets-z"

    def unpack_raw(self, buffer: bytes) -> Values:
        right = super().unpack_raw(buffer)
        return {**right, "z": np.full_like(right["z"], 7)}


class SpeaksInSurrogates(Reference):
    """Its messages can't be written as UTF-8, and have ends of lines of their own."""

    name = "surrogates"

    def g_s(self, model: str, y_hat: Any) -> Values:
        raise RuntimeError("bad \ud800 text\x85and more")


class Erratic(Reference):
    """Every network of its transforms ends in another way: it hangs, dies, or prints before it answers."""

    name = "erratic"

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

    name = "big-endian"

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        answer = super().call(operation, model, inputs)
        return {
            name: value if isinstance(value, bytes) else value.astype(value.dtype.newbyteorder(">"))
            for name, value in answer.items()
        }


class GoesAstrayElsewhere(Reference):
    """Its decoder finds other latents on one thread, where a float codec sums in another order."""

    name = "astray-elsewhere"

    def decompress(self, model: str, blob: bytes) -> Values:
        right = super().decompress(model, blob)
        if os.environ.get("OMP_NUM_THREADS") != "1":
            return right
        y_hat = np.array(right["y_hat"])
        y_hat[3, 1, 2] += 1
        return {**right, "y_hat": y_hat}


class DiesElsewhere(Reference):
    """It can't start on one thread."""

    name = "dies-elsewhere"

    def __init__(self) -> None:
        if os.environ.get("OMP_NUM_THREADS") == "1":
            os.abort()


class NotReproducible(Reference):
    """It promises pixels that don't depend on the machine, and computes them in float32."""

    name = "not-reproducible"

    def decode_reproducible(self, model: str, stream: bytes) -> Values:
        return {"image": super().decode(model, stream)["image"]}


class RoundedLatents(Analysis):
    """Its hyper-analysis sees rounded latents, as an encoder's may."""

    name = "rounded-latents"

    def h(self, h_a: torch.nn.Module) -> torch.nn.Module:
        return After(torch.round, h_a)


class AbsoluteLatents(Analysis):
    """Its hyper-analysis sees absolute values."""

    name = "absolute-latents"

    def h(self, h_a: torch.nn.Module) -> torch.nn.Module:
        return After(torch.abs, h_a)


class Darkens(Analysis):
    """It divides pixels by 256."""

    name = "darkens"

    def g(self, g_a: torch.nn.Module) -> torch.nn.Module:
        return After(lambda x: x * 255 / 256, g_a)


class DeadZone(Reference):
    """It rounds latents of y towards 0 if they are less than 0.7 away, to save bytes, as an encoder may."""

    name = "dead-zone"

    def encode(self, model: str, image: Any) -> Values:
        right = codec.nearest_symbol

        def nearest(units: torch.Tensor) -> torch.Tensor:
            of_y = units.dim() == 3
            return units.sign() * torch.floor(units.abs() / ONE + 0.3) if of_y else right(units)

        with mock.patch.object(codec, "nearest_symbol", nearest):
            return super().encode(model, image)


class PadsWithZeros(Reference):
    """It pads a picture with black."""

    name = "pads-with-zeros"

    def encode(self, model: str, image: Any) -> Values:
        height, width, _ = image.shape
        padded = np.pad(image, ((0, -height % 64), (0, -width % 64), (0, 0)))
        stream = bitstream.unpack(bytes(super().encode(model, padded)["stream"]))
        return {"stream": bitstream.pack(stream._replace(height=height, width=width))}


class SwapsSides(Reference):
    """It writes the width first."""

    name = "swaps-sides"

    def encode(self, model: str, image: Any) -> Values:
        stream = bitstream.unpack(bytes(super().encode(model, image)["stream"]))
        return {"stream": bitstream.pack(stream._replace(height=stream.width, width=stream.height))}


class OtherByteOrder(Reference):
    """Its decoder reads the sides as big-endian numbers."""

    name = "other-byte-order"

    def decode(self, model: str, stream: bytes) -> Values:
        raise Rejected("too-large")


class GridUnits(Reference):
    """Its latents are in grid units."""

    name = "grid-units"

    def decode(self, model: str, stream: bytes) -> Values:
        right = super().decode(model, stream)
        return {**right, "y_hat": np.asarray(right["y_hat"]) * np.float32(ONE)}


class OneSymbolOff(Reference):
    """In closed loop, one symbol is one too large."""

    name = "one-symbol-off"

    def exact_symbols(self, model: str, k_z: Any, y: Any) -> Values:
        wrong = y.copy()
        wrong[5, 2, 1] += 1
        return super().exact_symbols(model, k_z, wrong)


class OneLatentOff(Reference):
    """Its decoder has one latent that the encoder hadn't."""

    name = "one-latent-off"

    def decode(self, model: str, stream: bytes) -> Values:
        right = super().decode(model, stream)
        y_hat = np.array(right["y_hat"])
        y_hat[3, 1, 2] += 1
        return {**right, "y_hat": y_hat}


class ShowsNegatives(OneLatentOff):
    """The same, and its decoder shows another picture."""

    name = "shows-negatives"

    def decompress(self, model: str, blob: bytes) -> Values:
        wrong = super().decompress(model, blob)
        return {**wrong, "image": 255 - np.asarray(wrong["image"])}


class CompressesBlueFirst(Reference):
    """It compresses pictures as BGR."""

    name = "compresses-blue-first"

    def compress(self, model: str, image: Any) -> Values:
        return super().compress(model, image[:, :, ::-1].copy())


class SpoilsTheBorder(Reference):
    """Its decoder changes a pixel of pictures that have padding."""

    name = "spoils-the-border"

    def decompress(self, model: str, blob: bytes) -> Values:
        right = super().decompress(model, blob)
        image = np.array(right["image"])
        if image.shape[0] % 64 or image.shape[1] % 64:
            image[-1, 0, 2] ^= 1
        return {**right, "image": image}


class Remembers(Reference):
    """It compresses the first picture of a size, and gives its bytes again for any other one."""

    name = "remembers"

    def __init__(self) -> None:
        self.kept: dict[tuple[int, ...], Values] = {}

    def compress(self, model: str, image: Any) -> Values:
        if image.shape not in self.kept:
            self.kept[image.shape] = super().compress(model, image)
        return self.kept[image.shape]


class WrongOnce(Reference):
    """Its third answer alone is wrong."""

    name = "wrong-once"
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
