"""DECODE-1: streams that no picture gives.

The docstring of each function that makes a vector is the bug that the vector catches.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mbtref import Model, bitstream, codec, rans
from mbtref.grid import LIMIT, ONE
from mbtref.scan import wavefronts
from mbtref.suite.generate.entropy_coder import Interval, code, intervals
from mbtref.suite.generate.exact import MOST
from mbtref.suite.generate.textures import Size, picture, scatter
from mbtref.suite.generate.vectorset import Stored, VectorSet
from mbtref.suite.pictures import CONTENTS, draw
from mbtref.suite.subjects.trace import trace
from mbtref.tables import z_indexes

REQUIREMENTS = ("DECODE-1",)
I32 = npt.NDArray[np.int32]
Places = Iterable[tuple[Tensor, Tensor]]
"""Groups of positions, rows and columns of each, in the order of a stream."""


def steps(model: Model, k_z: I32, k: I32, places: Places) -> list[Interval]:
    """The coding steps of symbols. k_z: (N, h, w); k: (M, 4h, 4w), in closed loop; places: the order of y."""
    symbols = torch.from_numpy(k.transpose(1, 2, 0)[None]).double()
    z_hat = model.entropy.z_hat(torch.from_numpy(k_z.transpose(1, 2, 0)[None]).double())
    sigma = trace(model.entropy, z_hat, lambda step: step.y_hat(step.of(symbols))).sigma
    index = model.networks.N + model.index(sigma)
    message, indexes = k_z.flatten().tolist(), z_indexes((*k_z.shape[1:], len(k_z))).tolist()
    for rows, columns in places:
        message += symbols[0, rows, columns].flatten().int().tolist()
        indexes += index[0, rows, columns].flatten().tolist()
    return intervals(message, indexes, model.tables)


def stream(model: Model, size: Size, payload: bytes) -> bytes:
    """A whole file."""
    return bitstream.pack(bitstream.Stream(model.fingerprint, size.height, size.width, payload))


def pixel(out: VectorSet, name: str, model: Model) -> None:
    """a picture of one pixel refused, or a crop of the padded one off by something"""
    data = out.encode(name, picture(Size(1, 1), 1))
    decode(out, name, pixel, data)


def far_symbols(out: VectorSet, name: str, model: Model) -> None:
    """escapes of seven digits; k times 2^10 in 32 bits; y_hat or z_hat that doesn't saturate"""
    k_z = np.zeros((model.networks.N, 1, 1), np.int32)
    k = np.zeros((model.networks.M, 4, 4), np.int32)
    # the last latents: they are the context of no other
    k[:4, 3, 3] = [MOST - 2000, -MOST + 2000, LIMIT // ONE - 1, -LIMIT // ONE]
    k_z[:2, 0, 0] = [MOST - 2000, -MOST + 2000]
    payload = code(steps(model, k_z, k, wavefronts(4, 4))).data
    decoded = decode(out, name, far_symbols, stream(model, Size(64, 64), payload), outputs=("y_hat",))
    y_hat = np.asarray(decoded["y_hat"].array) * ONE
    assert (y_hat.min(), y_hat.max()) == (-LIMIT, LIMIT - 1), f"y_hat of {name} doesn't saturate both ways"


def scattered_symbols(out: VectorSet, name: str, model: Model) -> None:
    """escapes of few digits in the midst of a stream, of both signs, in y and in z"""
    k_z = (scatter(*np.indices((model.networks.N, 1, 3)), 1) % 9 - 4).astype(np.int32)
    k = (scatter(*np.indices((model.networks.M, 4, 12)), 2) % 9 - 4).astype(np.int32)
    coded = steps(model, k_z, k, wavefronts(4, 12))
    assert len(coded) > k_z.size + k.size, f"{name} has no escape"
    data = stream(model, Size(33, 150), code(coded).data)
    decode(out, name, scattered_symbols, data, outputs=("y_hat",))


def every_bin_of_z(out: VectorSet, name: str, model: Model) -> None:
    """a count of a table of z one off: every table is read on one side or the other of each count"""
    bins = [len(table.cdf) - 1 for table in model.tables[: model.networks.N]]
    w = max(count // 2 + 1 for count in bins)
    k_z = np.zeros((model.networks.N, 1, w), np.int32)
    for c, (count, table) in enumerate(zip(bins, model.tables, strict=False)):
        k_z[c, 0] = table.offset + np.minimum(2 * np.arange(w), count - 1)
    k = np.zeros((model.networks.M, 4, 4 * w), np.int32)
    data = stream(model, Size(64, 64 * w), code(steps(model, k_z, k, wavefronts(4, 4 * w))).data)
    decode(out, name, every_bin_of_z, data, outputs=("y_hat",))


def escapes_of_a_picture(out: VectorSet, name: str, model: Model) -> None:
    """an escape refused, or one digit too few, where a picture needs it: hard edges are a surprise to the model"""
    golden = out.bench.golden.model(name)
    for content in sorted(CONTENTS):
        coded = codec.encode_latents(golden, draw(content, 64, 64))
        if len(rans.steps(coded.symbols, coded.indexes, golden.tables).start) > len(coded.symbols):
            decode(out, name, escapes_of_a_picture, coded.data)
            return
    raise ValueError(f"no picture needs an escape at {name}; try others")


def decode(
    out: VectorSet, name: str, make: Callable[..., object], data: bytes, outputs: Sequence[str] | None = None
) -> dict[str, Stored]:
    """Adds a stream to be decoded. outputs: those that are expected, default: all."""
    folder = f"streams/{name}/{make.__name__}"
    inputs = {"stream": out.store(f"{folder}/stream", data, ".mbt")}
    return out.add(
        "DECODE-1", f"{name}/{make.__name__}", "decode", inputs,
        made=make, folder=folder, model=name, outputs=outputs,
    )  # fmt: skip


VECTORS: tuple[Callable[[VectorSet, str, Model], None], ...] = (
    pixel,
    far_symbols,
    scattered_symbols,
    every_bin_of_z,
)
"""Each makes a vector for one model."""
OF_LARGER = (scattered_symbols, escapes_of_a_picture)
"""Those that a model with larger symbols has."""
