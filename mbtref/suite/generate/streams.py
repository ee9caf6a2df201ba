"""DECODE-1: streams that no picture gives."""

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from mbtref import Model, bitstream, codec, rans
from mbtref.grid import LIMIT, ONE
from mbtref.scan import wavefronts
from mbtref.suite.check import digest_of
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.exact import MOST, assert_saturates
from mbtref.suite.generate.rans import Interval, Message, code
from mbtref.suite.generate.registry import LITE, WIDE, vector
from mbtref.suite.generate.textures import Size, picture, scatter
from mbtref.suite.pictures import CONTENTS, draw
from mbtref.suite.subjects.reference import units_in
from mbtref.suite.subjects.tensors import I32
from mbtref.suite.subjects.trace import trace
from mbtref.tables import z_indexes

Places = Iterable[tuple[Tensor, Tensor]]
"""Groups of positions, rows and columns of each, in the order of a stream."""


def steps(model: Model, k_z: I32, k: I32, places: Places | None = None) -> list[Interval]:
    """The coding steps of symbols. k_z: (N, h, w); k: (M, 4h, 4w), closed-loop. places: default: the format's."""
    symbols, z_hat = units_in(k), model.entropy.z_hat(units_in(k_z))
    sigma = trace(model.entropy, z_hat, lambda step: step.y_hat(step.of(symbols))).sigma
    index = model.networks.N + model.index(sigma)
    message, indexes = k_z.flatten().tolist(), z_indexes((*k_z.shape[1:], len(k_z))).tolist()
    _, height, width = k.shape
    for rows, columns in places or wavefronts(height, width):
        message += symbols[0, rows, columns].flatten().int().tolist()
        indexes += index[0, rows, columns].flatten().tolist()
    return Message(message, indexes, model.tables).steps


def stream(model: Model, k_z: I32, k: I32, size: Size | None = None) -> bytes:
    """The file of these symbols, see `steps`. size: of the picture; default: not padded."""
    height, width = size or (64 * side for side in k_z.shape[1:])
    payload = code(steps(model, k_z, k))
    return bitstream.pack(bitstream.Stream(model.fingerprint, height, width, payload))


@vector("DECODE-1", models=LITE)
def pixel(case: Case) -> None:
    """a picture of one pixel refused, or a crop of the padded one off by something"""
    case.ask("decode", {"stream": case.encode(picture(Size(1, 1), 1))})


@vector("DECODE-1", models=LITE)
def far_symbols(case: Case) -> None:
    """escapes of seven digits; k times 2^10 in 32 bits; y_hat or z_hat that doesn't saturate"""
    model = case.model
    k_z = np.zeros((model.networks.N, 1, 1), np.int32)
    k = np.zeros((model.networks.M, 4, 4), np.int32)
    # the last latents: they are the context of no other
    k[:4, 3, 3] = [MOST - 2000, -MOST + 2000, LIMIT // ONE - 1, -LIMIT // ONE]
    k_z[:2, 0, 0] = [MOST - 2000, -MOST + 2000]
    answer = case.ask("decode", {"stream": stream(model, k_z, k)}, outputs=("y_hat",))
    assert_saturates(answer["y_hat"].array * ONE, f"y_hat of {case.name}")


@vector("DECODE-1", models=(*LITE, *WIDE))
def scattered_symbols(case: Case) -> None:
    """escapes of few digits in the midst of a stream, of both signs, in y and in z"""
    model = case.model
    k_z = (scatter(*np.indices((model.networks.N, 1, 3)), 1) % 9 - 4).astype(np.int32)
    k = (scatter(*np.indices((model.networks.M, 4, 12)), 2) % 9 - 4).astype(np.int32)
    assert len(steps(model, k_z, k)) > k_z.size + k.size, f"{case.name} has no escape"
    case.ask("decode", {"stream": stream(model, k_z, k, Size(33, 150))}, outputs=("y_hat",))


@vector("DECODE-1", models=LITE[:1])
def long_payload(case: Case) -> None:
    """a checksum of the first 64 KiB alone; words or bytes of a payload counted in 14 or 16 bits"""
    model = case.model
    k_z, k = (
        ((scatter(*np.indices(shape), 3) << 11) - MOST // 2).astype(np.int32)
        for shape in ((model.networks.N, 1, 11), (model.networks.M, 4, 44))
    )
    data = stream(model, k_z, k)
    assert len(data) > 1 << 16, f"{case.name} has {len(data)} bytes"
    stored = case.store("", data, ".mbt")
    y_hat = case.answer("decode", stream=data)["y_hat"]
    case.note("decode", {"stream": stored}, sha256={"y_hat": digest_of("y_hat", y_hat)})


@vector("DECODE-1", models=LITE)
def every_bin_of_z(case: Case) -> None:
    """a count of a table of z one off: every table is read on one side or the other of each count"""
    model = case.model
    bins = [len(table.cdf) - 1 for table in model.tables[: model.networks.N]]
    w = max(count // 2 + 1 for count in bins)
    k_z = np.zeros((model.networks.N, 1, w), np.int32)
    for c, (count, table) in enumerate(zip(bins, model.tables, strict=False)):
        k_z[c, 0] = table.offset + np.minimum(2 * np.arange(w), count - 1)
    k = np.zeros((model.networks.M, 4, 4 * w), np.int32)
    case.ask("decode", {"stream": stream(model, k_z, k)}, outputs=("y_hat",))


@vector("DECODE-1", models=WIDE)
def escapes_of_a_picture(case: Case) -> None:
    """an escape refused, or one digit too few, where a picture needs it: hard edges are a surprise to the model"""
    golden = case.out.bench.golden.model(case.model_name)
    for content in sorted(CONTENTS):
        coded = codec.encode_latents(golden, draw(content, 64, 64))
        if len(rans.steps(coded.symbols, coded.indexes, golden.tables).start) > len(coded.symbols):
            case.ask("decode", {"stream": coded.data})
            return
    raise AssertionError(f"no picture needs an escape at {case.model_name}; try others")
