"""Fake implementations that no mutant can be, to try the suite on: each differs from the reference in one way.

They crash, hang, print, answer malformed or in two ways, or are other machines.
"""

import copy
import dataclasses
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import mbtref
from mbtref import bitstream
from mbtref.grid import ACTIVATION_BITS, ONE
from mbtref.suite.difference import first_difference
from mbtref.suite.mistakes import to_decoder
from mbtref.suite.operations import CAPABILITIES, OPERATIONS, Values
from mbtref.suite.pictures import tensor
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Methods, Rejected
from mbtref.suite.subjects.reference import Reference
from mbtref.suite.vectors import frozen

Change = Callable[[Any], Any]


def differs(**changes: Change) -> type[Reference]:
    """The reference with other answers. changes: by operation, what makes the answer of the right one."""

    def method(operation: str, change: Change) -> Callable[..., object]:
        return lambda self, *given, **inputs: change(getattr(Reference, operation)(self, *given, **inputs))

    return type("Miniature", (Reference,), {name: method(name, change) for name, change in changes.items()})


def value(name: str, change: Change) -> Change:
    """Changes one value of an answer."""
    return lambda right: {**right, name: change(right[name])}


def raising(error: Exception) -> Change:
    """Raises in place of an answer."""

    def answer(right: object) -> object:
        raise error

    return answer


def added(place: tuple[int, ...], more: float = 1) -> Change:
    """Adds something at one place of an array."""

    def change(array: Any) -> Any:
        changed = np.array(array)
        changed[place] += more
        return changed

    return change


def indexes(values: Any, side: Any = "left") -> Any:
    """Indexes of tables, looked up by these values."""
    return np.searchsorted(one_file.load("lite-q3").thresholds, values, side).astype(np.int32)


LATENT_OFF = value("y_hat", added((3, 1, 2)))

NotANumber = differs(h_a=value("z", added((1, 0, 0), np.nan)))
OneTooMany = differs(g_s=lambda right: {**right, "y_hat": right["x_hat"]})
BareArray = differs(g_s=lambda right: right["x_hat"])
WrongDtype = differs(g_s=value("x_hat", lambda x_hat: x_hat.astype(np.float64)))
Raises = differs(g_s=raising(ZeroDivisionError("division by zero")))
SpeaksInSurrogates = differs(g_s=raising(RuntimeError("bad \ud800 text\x85and more")))
"""Its messages can't be written as UTF-8, and have ends of lines of their own."""
JunkAfterZlib = differs(pack_zlib=value("buffer", lambda buffer: buffer + b"junk"))
ForgetsZ = differs(unpack_raw=value("z", lambda z: np.full_like(z, 7)))
OffTheGrid = differs(decode=value("y_hat", lambda y_hat: y_hat + np.sign(y_hat) * np.float32(2**-11)))
"""Its latents lie half a unit off the grid."""
GridUnits = differs(decode=value("y_hat", lambda y_hat: y_hat * np.float32(ONE)))
OneLatentOff = differs(decode=LATENT_OFF)
OneSymbolOff = differs(exact_symbols=value("k", added((5, 2, 1))))
ForgetsTheMean = differs(
    exact_symbols=lambda right: {**right, "y_hat": right["k"] << ACTIVATION_BITS},
    decode=raising(Rejected("bad-final-state")),
)
"""In closed loop it hands k on where y_hat = k + mu is due."""
OtherByteOrder = differs(decode=raising(Rejected("too-large")))
"""Its decoder reads the sides as big-endian numbers."""
RefusesAll = differs(decompress=raising(Rejected("bad-magic")))
OneChannelLess = differs(h_a=value("z", lambda z: z[:-1]))
WrongAlways = differs(
    g_s=value("x_hat", lambda x_hat: x_hat + 1), encode=lambda right: {"stream": b"always the same"}
)
Chance = differs(h_a=value("z", lambda z: z + np.random.default_rng().normal(size=z.shape).astype(np.float32)))
BoundsSigma = differs(parameters=value("sigma", lambda sigma: sigma.clip(np.float32(0.11))))
OfMu = differs(exact_parameters=lambda right: {**right, "index": indexes(right["mu"])})
AtThreshold = differs(exact_parameters=lambda right: {**right, "index": indexes(right["sigma"], "right")})
ShowsNegatives = differs(decode=LATENT_OFF, decompress=value("image", lambda image: 255 - image))


class BlueFirst(Reference):
    """Its encoder takes the colours in the wrong order."""

    def encode(self, model: str, image: Any) -> Values:
        return super().encode(model, image[:, :, ::-1].copy())

    def compress(self, model: str, image: Any) -> Values:
        return {"blob": self.encode(model, image)["stream"]}


class Writes(Reference):
    """Its streams have a mistake, by the first words that tell it."""

    def __init__(self, words: str) -> None:
        self.words = words

    def encode(self, model: str, image: Any) -> Values:
        right = bytes(super().encode(model, image)["stream"])
        return next({"stream": wrong} for mistake, wrong, _ in to_decoder(model, right) if self.words in mistake)


ExchangesSides, InRows, UnderMu, ChecksPayload = (
    Writes(words) for words in ("width are exchanged", "row by row", "by mu", "payload alone")
)


class PadsWithZeros(Reference):
    """Its reproducible encoder pads a picture with zeros."""

    def encode_reproducible(self, model: str, image: Any) -> Values:
        height, width, _ = image.shape
        padded = np.pad(image, ((0, -height % 64), (0, -width % 64), (0, 0)))
        stream = bitstream.unpack(bytes(super().encode_reproducible(model, padded)["stream"]))
        return {"stream": bitstream.pack(stream._replace(height=height, width=width))}


class HalfPrecision(Reference):
    """The weights of its float networks are float16."""

    def model(self, name: str) -> mbtref.Model:
        right = super().model(name)
        return dataclasses.replace(right, networks=copy.deepcopy(right.networks).half().float())


class Remembers(Reference):
    """It compresses the first picture of a size, and gives its bytes again for any other one."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, ...], Values] = {}

    def compress(self, model: str, image: Any) -> Values:
        return self.kept.setdefault(image.shape, super().compress(model, image))


class LooksUp(Methods):
    """It knows the golden vectors alone. Any other question gets the answer of a vector, too."""

    name = "looks up"
    version = "0"
    capabilities = CAPABILITIES

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        others = [v for v in frozen().vectors if (v.operation, v.model, v.sha256) == (operation, model, {})]
        known = [v for v in others if first_difference(inputs, v.inputs, {}) is None]
        if known and known[0].rejected:
            raise Rejected(known[0].rejected)
        answers = [v.expected for v in (*known, *others)]
        return next(answer for answer in answers if answer.keys() == OPERATIONS[operation].outputs.keys())


class WrongOnce(Reference):
    """Its third answer alone is wrong."""

    calls = 0

    def decompress(self, model: str, blob: bytes) -> Values:
        self.calls += 1
        if self.calls == 3:
            raise Rejected("bad-magic")
        return super().decompress(model, blob)


class Erratic(Reference):
    """It dies, or prints before it answers."""

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


class Loops(Reference):
    """A float codec whose loops go from position to position. Its blob holds symbols that aren't coded."""

    masked = (True, True)
    """Whether the kernel of the context is masked in the encoder's loop, which has y where it hasn't been, and in
    the decoder's, which has zeros there."""

    @torch.no_grad()
    def loop(self, model: str, z_hat: torch.Tensor, start: torch.Tensor, of: Any, masked: bool) -> torch.Tensor:
        """The latents y_hat, (1, M, 4h, 4w). start: what stands in their places. of: k of (row, column, mu)."""
        networks = self.model(model).networks
        psi, context = networks.h_s(z_hat), networks.context_prediction
        kernel = context.weight * context.mask if masked else context.weight
        y_hat = torch.nn.functional.pad(start, (2, 2, 2, 2))
        for row, column in np.ndindex(start.shape[2:]):
            phi = torch.nn.functional.conv2d(y_hat[..., row : row + 5, column : column + 5], kernel, context.bias)
            both = torch.cat([psi[..., row : row + 1, column : column + 1], phi], 1)
            mu = networks.entropy_parameters(both).chunk(2, 1)[1][..., 0, 0]
            y_hat[..., row + 2, column + 2] = of(row, column, mu) + mu
        return y_hat[..., 2:-2, 2:-2]

    def encoded(self, model: str, image: Any) -> tuple[Values, torch.Tensor]:
        """What is stored, and y_hat."""
        y = torch.from_numpy(self.g_a(model, tensor(image))["y"])[None]
        z = np.asarray(self.h_a(model, y[0].numpy())["z"])
        k_z, k = np.round(z), torch.zeros_like(y)

        def of(row: int, column: int, mu: torch.Tensor) -> torch.Tensor:
            k[..., row, column] = torch.round(y[..., row, column] - mu)
            return k[..., row, column]

        y_hat = self.loop(model, torch.from_numpy(k_z)[None], y, of, self.masked[0])
        return {"size": np.array(image.shape[:2]), "k_z": k_z, "k": k.numpy()}, y_hat

    def compress(self, model: str, image: Any) -> Values:
        return {"blob": pickle.dumps(self.encoded(model, image)[0])}

    def reconstruct(self, model: str, image: Any) -> Values:
        return self.shown(model, self.encoded(model, image)[1], *image.shape[:2])

    def decompress(self, model: str, blob: bytes) -> Values:
        stored = pickle.loads(blob)
        k, k_z = torch.from_numpy(stored["k"]), torch.from_numpy(stored["k_z"])[None]
        y_hat = self.loop(model, k_z, torch.zeros_like(k), lambda i, j, _: k[..., i, j], self.masked[1])
        return self.shown(model, y_hat, *stored["size"])


class UnmaskedEncoder(Loops):
    masked = (False, True)


class Unmasked(Loops):
    masked = (False, False)


ELSEWHERE = os.environ.get("ONEDNN_MAX_CPU_ISA") == "SSE41"
"""Whether this is a process on the simulated processor sse4."""


class GoesAstrayElsewhere(Reference):
    """Its decoder finds other latents on an old processor, where a float codec sums in another order."""

    def decompress(self, model: str, blob: bytes) -> Values:
        right = super().decompress(model, blob)
        return LATENT_OFF(right) if ELSEWHERE else right


class DiesElsewhere(Reference):
    """It can't start on an old processor."""

    def __init__(self) -> None:
        if ELSEWHERE:
            os.abort()


class Nothing(Methods):
    """It declares everything and does nothing."""

    name = "nothing"
    version = "0"
    capabilities = CAPABILITIES
