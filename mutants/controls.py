"""Controls: right implementations that differ from the reference, of which the suite must say nothing wrong.

Each is made as a mutant is. It is asked all cases of the capabilities that it touches, and they must run each
function of its own. Otherwise it would be the reference under another name.
"""

import copy
import dataclasses
import functools
import math
import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref import codec, planes, rans, scan, surroundings, transforms
from mbtref.errors import BitstreamError, Kind
from mbtref.exact import EntropyNetworks, Linear, Parameters, leaky_relu
from mbtref.grid import LIMIT, ONE, requantize
from mbtref.image import Image
from mbtref.model import Model
from mbtref.networks import BETA_MIN, GDN, MBT2018, SIGMA_MIN, non_negative
from mbtref.openloop import buffers, forward, likelihoods
from mbtref.suite.generate.implementations import Changed, batch_of_two, channels_last
from mbtref.suite.operations import CAPABILITIES, Values
from mbtref.suite.subjects.float64 import Float64
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.subjects.reference import Reference, load
from mbtref.transforms import Run, Span, Tiled, Transforms
from mutants.gallery.pictures import drifting
from mutants.javascript import Program
from mutants.mutant import Change, around, install, instead
from mutants.run import LEFT_OUT, Failed


@dataclasses.dataclass
class Control:
    """One right implementation: a question to the suite."""

    name: str
    capabilities: tuple[str, ...]
    """Those that it touches."""
    about: str
    """How it differs."""
    changes: tuple[Change, ...]
    codec: type[Reference | Program] = Reference
    """What is changed."""
    idle: set[str] = dataclasses.field(default_factory=set)
    """Its functions that no case has run yet."""

    def subject(self) -> Subject:
        install([change._replace(value=self.watched(change)) for change in self.changes])
        right = self.codec()
        right.capabilities = self.capabilities
        return right

    def watched(self, change: Change) -> object:
        """A function that takes itself off `idle`; a constant as it is."""
        if not callable(right := change.value):
            return right
        self.idle.add(change.name)

        @functools.wraps(right)
        def called(*given: Any, **named: Any) -> object:
            self.idle.discard(change.name)
            return right(*given, **named)

        return called

    def order(self, cases: Sequence[str]) -> Iterator[str]:
        yield from cases
        if self.idle:
            raise AssertionError(f"no case runs what differs: {', '.join(sorted(self.idle))}")

    def enough(self, failed: Failed, case: str) -> bool:
        return False


def changed(change: Callable[[MBT2018], MBT2018]) -> Change:
    """Float networks that compute the same in another way."""
    models = functools.cache(lambda name: Changed({name: load(name)}, change).model(name))
    return instead(Reference.model, lambda self, name: models(name))


def coarse(model: MBT2018) -> MBT2018:
    """An encoder whose transforms have weights and activations in bfloat16. h_a gets rounded latents.

    Sums are float32: on processors with AMX, PyTorch 2.13's own convolutions in bfloat16 read memory that nobody
    has written, where a picture is one column of z wide.
    """
    model.h_a.register_forward_pre_hook(lambda part, given: given[0].round())
    for part in (model.g_a, model.h_a):
        part.bfloat16().float()
        for layer in part:
            layer.register_forward_hook(lambda layer, given, v: v.bfloat16().float())
    return model


def in_float64(self: Model) -> Model:
    """Plain float64 in place of exact sums."""
    parts = (self.networks.g_a, self.networks.h_a, self.networks.g_s)
    wide: list[list[Run]] = [[Tensor.double, copy.deepcopy(part).double()] for part in parts]
    return dataclasses.replace(self, transforms=Transforms(*wide))


def from_the_last_channel(
    right: Callable[..., Tensor], v: Tensor, weight: Tensor, *rest: Any, up: bool = False
) -> Tensor:
    """A convolution that adds the channels of its input in the other order."""
    return right(v.flip(1), weight.flip(0 if up else 1), *rest, up=up)


def tap_by_tap(v: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, *, up: bool = False) -> Tensor:
    """A convolution as a sum over taps; a transposed one is that of an input with zeros between its values."""
    b, c, h, w = v.shape
    size = weight.shape[2]
    if up:
        wide = v.new_zeros(b, c, stride * h, stride * w)
        wide[:, :, ::stride, ::stride] = v
        return tap_by_tap(wide, weight.flip(2, 3).transpose(0, 1), bias, 1, size - 1 - padding)
    v = F.pad(v, [padding] * 4)
    h, w = ((side - size) // stride + 1 for side in v.shape[2:])
    sums = bias[:, None, None]
    for i, j in np.ndindex(size, size):
        part = v[:, :, i : i + stride * h : stride, j : j + stride * w : stride]
        sums = sums + torch.einsum("oc,bchw->bohw", weight[:, :, i, j], part)
    return sums


def divided(self: GDN, x: Tensor) -> Tensor:
    """A GDN that divides by a root, in place of multiplying by its inverse."""
    beta, gamma = non_negative(self.beta, BETA_MIN), non_negative(self.gamma, 0.0)
    root = torch.sqrt(surroundings.convolve(x * x, gamma[:, :, None, None], beta, 1, 0))
    return x * root if self.inverse else x / root


def h_a_in_tiles(self: Any, y: Tensor) -> Tensor:
    return Tiled(self._h_a, "h_a", 4, 1)(y, lambda tiles, name: tiles)


def other_spans(size: int) -> list[Span]:
    """Tiles of 320 pixels that see three latents beyond their border."""
    return [Span(max(0, at - 3), at, min(at + 20, size), min(at + 23, size)) for at in range(0, size, 20)]


def half_up(x_hat: Tensor) -> Image:
    """The nearest picture, a half up."""
    return torch.floor(x_hat.double().clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()


def rows_and_columns(height: int, width: int, device: str = "cpu") -> list[tuple[Tensor, Tensor]]:
    """Row by row, each position alone."""
    return [(torch.tensor([row]), torch.tensor([column])) for row, column in np.ndindex(height, width)]


def row_by_row(right: Callable[..., object], *given: object, **named: object) -> object:
    """An encoder may visit latents row by row. So may a question that gives them all."""
    with patch.object(scan, "wavefronts", rows_and_columns):
        return right(*given, **named)


def in_coding_order(right: Callable[..., bytes], model: Model, picture: Image, *message: Any) -> bytes:
    """The file of a message whose latents stand row by row."""
    h, w = (-(-side // 64) for side in picture.shape[:2])
    places = sorted(np.ndindex(4 * h, 4 * w), key=lambda place: (place[1] + 3 * place[0], place[0]))
    order = [4 * w * row + column for row, column in places]
    of_z, channels = model.networks.N * h * w, model.networks.M
    return right(model, picture, *(
        np.append(v[:of_z], v[of_z:].reshape(-1, channels)[order]) for v in message
    ))  # fmt: skip


def one_by_one(right: Callable[..., Any], *size: Any) -> list[tuple[Tensor, Tensor]]:
    """Wavefronts of one position each."""
    return [place for rows, columns in right(*size) for place in zip(rows[:, None], columns[:, None], strict=True)]


def in_int64(self: Linear, inputs: Tensor) -> Tensor:
    return (inputs.long() @ self.weight.long().T + self.bias.long()).double()


def parameters_of_both(self: EntropyNetworks, psi: Tensor, phi: Tensor) -> Parameters:
    """entropy_parameters of psi and phi in one tensor."""
    a = leaky_relu(requantize(self.head_0(torch.cat((psi, phi), -1))))
    a = leaky_relu(requantize(self.head_2(a)))
    return Parameters(*requantize(self.head_4(a)).chunk(2, -1))


def leaky_relu_in_int64(units: Tensor) -> Tensor:
    v = units.long()
    return torch.where(v < 0, v * 1311 + (1 << 16) >> 17, v).double()


def push_halves(start: Any, freq: Any, bits: Any, words: Any) -> tuple[int, int]:
    """The encoder's loop with a state of two numbers of 32 bits."""
    high, low, count = 0, 1 << 31, 0
    for begin, f, b in reversed([*zip(start, freq, bits, strict=True)]):
        if high >> (31 - b) >= f:
            words[count] = low
            high, low, count = 0, high, count + 1
        above, rest = divmod(high, f)
        quotient, rest = divmod(rest << 32 | low, f)
        high = above << b | quotient >> (32 - b)
        low = (quotient << b & 0xFFFFFFFF) + rest + begin
    return high << 32 | low, count


def pop_halves(x: int, at: int, words: Any, indexes: Any, tables: Any, symbols: Any) -> tuple[int, int, int]:
    """The decoder's loop with such a state, and a search from the first bin on."""
    cdf, begin, escape, offset, _ = tables
    for i, index in enumerate(indexes):
        high, low = divmod(x, 1 << 32)
        slot = low % 65536
        place = next(place for place in range(begin[index], len(cdf)) if cdf[place + 1] > slot)
        f = cdf[place + 1] - cdf[place]
        product = f * (high % 65536 << 16 | low >> 16) + slot - cdf[place]
        x, at = rans.refill(f * (high >> 16) + (product >> 32) << 32 | product & 0xFFFFFFFF, at, words)
        if x < 1 << 31:
            return x, at, rans.TRUNCATED
        symbols[i] = offset[index] + place - begin[index]
        if place == escape[index]:
            x, at, raw = rans.pop_escaped(x, at, words)
            if raw < 0:
                return x, at, raw
            symbols[i] = offset[index] - (raw + 1) // 2 if raw % 2 else symbols[i] + raw // 2
    return x, at, 0


def deflated_quickly(y_hat: Tensor, z_hat: Tensor) -> bytes:
    raw, deflate = buffers.pack_raw(y_hat, z_hat), zlib.compressobj(1, wbits=9)
    return raw[:32] + deflate.compress(raw[32:]) + deflate.flush()


def inflated_in_pieces(data: bytes) -> buffers.Latents:
    """A reader that inflates some bytes at a time."""
    size = 2 * sum(map(math.prod, buffers._shapes(data)))
    inflate, body, piece, rest = zlib.decompressobj(), b"", b"", data[32:]
    try:
        while len(body) <= size and (piece or rest) and not inflate.eof:
            piece = inflate.decompress(rest, min(100, size - len(body)) or 1)
            body, rest = body + piece, inflate.unconsumed_tail
    except zlib.error as error:
        if len(body) < size:
            raise BitstreamError(Kind.CHECKSUM_MISMATCH, 32, str(error)) from error
        body += b"?"
    latents = buffers.unpack_raw(data[:32] + body)
    if inflate.unused_data or not inflate.eof:
        raise BitstreamError(Kind.TRAILING_DATA if inflate.unused_data else Kind.TRUNCATED, len(data), "")
    return latents


def normal(residual: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian likelihoods from logarithms of the distribution function, in float64."""
    distance, sigma = residual.double().abs(), sigma.double().clamp(SIGMA_MIN)
    upper, lower = (torch.special.log_ndtr((half - distance) / sigma) for half in (0.5, -0.5))
    p: Tensor = -upper.exp() * torch.expm1(lower - upper)
    return p.clamp(likelihoods.LIKELIHOOD_MIN).to(residual.dtype)


def on_the_smaller_side(prior: Any, v: Tensor) -> Tensor:
    """The likelihood of z as CompressAI computes it: with the sign under which both ends are small."""
    upper, lower = likelihoods.logits(prior, v + 0.5), likelihoods.logits(prior, v - 0.5)
    sign = -torch.sign(upper + lower)
    return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()


def with_dead_zone(right: Callable[[Tensor], Tensor], units: Tensor) -> Tensor:
    """Symbols of y that an encoder draws towards 0."""
    return units.sign() * torch.floor(units.abs() / ONE + 0.3) if units.dim() == 3 else right(units)


def remembered(right: Callable[..., Values], self: Reference, *asked: Any) -> Any:
    """Answers are kept, by all that a question holds."""
    answers, question = vars(self).setdefault("answers", {}), pickle.dumps(asked)
    if question not in answers:
        answers[question] = right(self, *asked)
    return answers[question]


FLOAT = ("transforms", "entropy-float", "encode", "decode", "roundtrip")
EXACT = ("entropy-exact", "encode", "decode", "roundtrip")
RANS = ("rans", "rejection", "encode", "decode", "roundtrip")
ALONE = tuple(name for name in CAPABILITIES if name not in (*LEFT_OUT, "roundtrip"))
"""Those that ask no pictures of many sizes."""


def control(name: str, capabilities: Sequence[str], differs: str, *changes: Change) -> Control:
    """A line of the list."""
    return Control(name, tuple(capabilities), differs, changes)


_ROWS = (
    # floats
    control("float64", ("transforms", "entropy-float", "entropy-exact"),
      "float networks in float64; the entropy path by PyTorch's convolutions, all positions at once",
      *(Change(Reference, name, getattr(Float64, name))
        for name in ("dtype", "model", "exact_parameters", "exact_symbols"))),
    control("channels_last", FLOAT, "channels come last in memory", changed(channels_last)),
    control("batch_of_two", FLOAT, "each network gets its input twice", changed(batch_of_two)),
    control("without_onednn", FLOAT, "PyTorch's own convolutions, without oneDNN",
      around(Reference.call, drifting)),
    control("from_the_last_channel", FLOAT, "float sums begin at the last channel",
      around(surroundings.convolve, from_the_last_channel)),
    control("tap_by_tap", FLOAT,
      "convolutions are sums over taps, transposed ones those of an input with zeros; GDN divides by a root; "
      "samples are rounded half up",
      instead(surroundings.convolve, tap_by_tap), instead(GDN.forward, divided),
      instead(planes.to_image, half_up)),
    control("other_tiles", FLOAT, "tiles of 320 pixels, with another border, h_a in tiles, too",
      instead(transforms.spans, other_spans), instead(Transforms.h_a, h_a_in_tiles)),
    control("other_likelihoods", ("entropy-float",),
      "likelihoods by logarithms and by signs; scales are bounded in the network",
      instead(likelihoods.gaussian_likelihoods, normal), instead(likelihoods.probability, on_the_smaller_side),
      around(forward.parameters_of_y, lambda right, *given: ((v := right(*given))[0].clamp(SIGMA_MIN), v[1]))),
    control("reproducible_in_float64", ("reproducible",), "reproducible transforms in plain float64",
      instead(Model.made_reproducible, in_float64)),
    # encoders
    control("coarse_encoder", ("encode", "roundtrip"), "g_a and h_a are bfloat16, and h_a gets rounded latents",
      changed(coarse)),
    control("dead_zone", ("encode", "roundtrip"), "an encoder draws symbols towards 0, by 0.2",
      around(codec.nearest_symbol, with_dead_zone)),
    # integers
    control("int64", EXACT,
      "integers of 64 bits in place of float64; psi and phi in one tensor; thresholds are counted",
      instead(Linear.__call__, in_int64), instead(EntropyNetworks.psi_sums, lambda self, psi: psi),
      instead(EntropyNetworks.parameters, parameters_of_both), instead(leaky_relu, leaky_relu_in_int64),
      instead(requantize, lambda sums: (sums.long() + (1 << 13) >> 14).clamp(-LIMIT, LIMIT - 1).double()),
      instead(codec.nearest_symbol, lambda units: (units.long() + (1 << 9) >> 10).double()),
      instead(Model.index, lambda self, sigma: (self.thresholds < sigma[..., None]).sum(-1))),
    control("one_by_one", EXACT, "one position at a time, in coding order", around(scan.wavefronts, one_by_one)),
    control("row_by_row", ("entropy-exact", "encode"),
      "one position at a time, row by row; an encoder then brings the symbols into coding order",
      around(Reference.exact_parameters, row_by_row), around(Reference.exact_symbols, row_by_row),
      around(codec.encode_batch_latents, row_by_row), around(codec._stream, in_coding_order)),
    # bytes
    control("rans_of_halves", RANS, "rANS with a state of two numbers of 32 bits, and a linear search",
      instead(rans.push, push_halves), instead(rans.pop, pop_halves)),
    control("other_zlib", ("buffers", "rejection", "roundtrip"),
      "buffers are deflated by level 1 with a window of 512 bytes, and inflated in pieces",
      instead(buffers.pack_zlib, deflated_quickly), instead(buffers.unpack_zlib, inflated_in_pieces)),
    control("own_format", ("roundtrip",), "compressed pictures have a header of their own, of 40 bytes",
      around(Reference.compress, lambda right, self, model, image:
             {"blob": bytes(40) + right(self, model, image)["blob"]}),
      around(Reference.decompress, lambda right, self, model, blob: right(self, model, blob[40:]))),
    Control("javascript", ALONE, "the JavaScript codec", (), Program),
    control("remembers", ("transforms", "entropy-float", "entropy-exact", "rans", "buffers"),
      "answers are kept, by all that a question holds", around(Reference.call, remembered)),
)  # fmt: skip
Judged = tuple[Control, Failed, int]
"""What the suite said of a control: the cases that failed, and how many passed."""
CONTROLS = {each.name: each for each in _ROWS}
"""By name."""
