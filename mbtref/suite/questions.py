"""Questions of one size, about which a subject that keeps something of an earlier question is wrong.

They differ from the first in one or two values, or in the model. Before each comes one of its size that must be
refused, where there is such a thing.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref import decoder
from mbtref.decoder import Array
from mbtref.suite.cases import NOTHING, Question, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.mistakes import HEADER, Layout, Writer, crc, sealed, walk
from mbtref.suite.operations import GRID, OPERATIONS, Values
from mbtref.suite.requirements import limit
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import Vector, frozen

F32 = npt.NDArray[np.float32]
MOST = 3
"""Vectors that are asked in between."""
FIRST = ("square", "improbable")
"""How names of vectors end that can be asked first: others have their shape."""
OTHER = {"lite-q3": "lite-q4", "filled": "edge"}
"""Models of the same widths."""
TOLERANCE = {
    "g_s": {"x_hat": limit("FRESH-1", "x_hat")},
    "decode": {"image": limit("FRESH-1", "level")},
}
"""Of answers of the one-file decoder, by operation and output. All others are equal."""
KNOWN = {"g_s", *(name for name in OPERATIONS if hasattr(one_file.OneFile, name))} - {"pack_zlib"}
"""Operations whose right answers the one-file decoder gives. zlib may deflate otherwise."""
MESSAGE: Values = {
    "symbols": np.array(10 * [5, 4, 3, 2] + [5, 2], np.int32),
    "indexes": np.array(10 * [0, 0, 1, 1] + [1, 1], np.int32),
    "cdf": np.array([[0, 30000, 40000, 65000, 65536, 0], [0, 1, 2, 65534, 65535, 65536]], np.int32),
    "length": np.array([5, 6], np.int32),
    "offset": np.array([3, 2], np.int32),
}
"""What `rans_encode` is asked. Symbols 2, 3 and 5 of the second table are so rare that streams whose last symbols
are such differ in their last word alone."""
Y: F32 = (7 * np.arange(160, dtype=np.float32) % 23 - 11).reshape(5, 4, 8)
LATENTS: Values = {"k_z": np.arange(-3, 3, dtype=np.int32).reshape(3, 1, 2), "y": Y}
"""What streams of the model `filled` are made of."""
GAUSSIAN: Values = {"y": Y / 8, "mu": np.flip(Y).copy() / 16, "sigma": 2 + Y / 16}
"""What `gaussian_likelihoods` is asked, since the scales of its vectors are too small."""
SEEDS: Mapping[str, tuple[str | None, Values]] = {
    "gaussian_likelihoods": (None, GAUSSIAN),
    **dict.fromkeys(("rans_encode", "rans_decode"), (None, MESSAGE)),
    **dict.fromkeys(("decode", "decode_reproducible"), ("filled", LATENTS)),
}
"""The model and the values of the first question. Other operations begin with a vector."""
MADE_OF = {
    **dict.fromkeys(("unpack_raw", "unpack_zlib"), "pack_raw"),
    **dict.fromkeys(("encode", "compress", "reconstruct", "decompress"), "encode_reproducible"),
}
"""Operations whose inputs, or the bytes in them, are made of the inputs of a vector of another one."""
DAMAGED = {
    **dict.fromkeys(("decode", "decode_reproducible"), (4, 16, HEADER + 7, -9, -1)),
    "rans_decode": (7, -9, -1),
    "unpack_raw": (3, 4, 8),
    "unpack_zlib": (4, 32, -1),
}
"""Bytes to change so that a question must be refused: those of a header, a checksum, the first state, a word."""


class Known(NamedTuple):
    """A question, and what is known of the right answer."""

    asked: Question
    due: Values = NOTHING
    tolerance: Mapping[str, float] = {}
    refused: str = ""
    """The kind with which it must be refused."""


def alike(subject: Subject, operation: str) -> Iterator[tuple[str, Known]]:
    """Questions of one size by name, in the order of asking."""
    source = MADE_OF.get(operation, operation)
    vectors = [v for v in frozen().vectors if v.operation == source and v.expected_files]
    first = next((v for v in vectors if v.name.endswith(FIRST)), vectors[0])
    model, seed = SEEDS.get(operation, (first.model, first.inputs))
    asked = made(subject, operation, model, seed)
    places = DAMAGED[operation] if may_refuse(subject, operation) else ()
    yield "the first", asked
    for place in places:
        yield damaged("the first", asked, place)
        yield "the first", asked
    if operation not in {*MADE_OF, *SEEDS}:
        similar = (v for v in vectors if only_values_differ(seed, v.inputs))
        yield from ((v.id, known(v)) for v in itertools.islice(similar, MOST))
    for (name, other), at in zip(siblings(subject, asked, seed), itertools.cycle(places or [None])):
        if at is not None:
            yield damaged(name, other, at)
        yield name, other


def may_refuse(subject: Subject, operation: str) -> bool:
    """Whether a subject must refuse malformed input of an operation."""
    return operation in DAMAGED and (OPERATIONS[operation].needs_model or "rejection" in subject.capabilities)


def siblings(subject: Subject, first: Known, seed: Values) -> Iterator[tuple[str, Known]]:
    """Questions that differ from the first in one or two values, in its model, or in its tables alone."""
    operation, model, inputs = first.asked
    for key in (key for key in seed if key not in ("cdf", "length")):
        # nothing follows from the last latent of a context
        last = -2 if operation.endswith("parameters") and key == "y_hat" else -1
        for name, array in changed(np.asarray(seed[key]), last):
            yield f"the first with {name} {key}", made(subject, operation, model, {**seed, key: array})
    if model in OTHER:
        yield f"the first of {OTHER[model]}", made(subject, operation, OTHER[model], seed)
    if "cdf" in inputs:
        cdf = np.where(MESSAGE["cdf"] == 30000, np.int32(20000), MESSAGE["cdf"])
        yield "the first under another table", made(subject, operation, None, {**seed, "cdf": cdf})
    if operation == "rans_decode":
        shifted = {**inputs, "offset": np.array([3, 4], np.int32)}
        yield "the first under another offset", answered(Question(operation, None, shifted))


def changed(array: Array, last: int) -> Iterator[tuple[str, Array]]:
    """The array with other values at its ends, and in the middle. last: the place of its last one."""
    flat = array.ravel()
    middle = flat.size // 2
    above, below, beside = (int(np.argmax(abs(flat.astype(np.float64) - flat[at]))) for at in (0, last, middle))
    for name, moves in (
        ("another last", {last: below}),
        ("another first", {0: above}),
        ("another middle", {middle: beside}),
        ("two exchanged values of", {last: below, below: last}),
    ):
        other = flat.copy()
        other[list(moves)] = flat[list(moves.values())]
        yield name, other.reshape(array.shape)


def made(subject: Subject, operation: str, model: str | None, seed: Values) -> Known:
    """The question whose inputs, or whose bytes, are made of these values."""
    inputs = seed
    if operation == "decompress":
        inputs = ask(subject, "compress", model, seed)
    elif operation.startswith("decode"):
        inputs = {"stream": stream(str(model), np.asarray(seed["k_z"]), np.asarray(seed["y"]))}
    elif operation in ("rans_decode", "unpack_raw", "unpack_zlib"):
        maker = operation.replace("unpack", "pack").replace("decode", "encode")
        rest = {key: value for key, value in seed.items() if key in OPERATIONS[operation].inputs}
        inputs = {**one_file.REFERENCE_DECODER.call(maker, None, seed), **rest}
    return answered(Question(operation, model, inputs))


def stream(name: str, k_z: Array, y: Array) -> bytes:
    """A stream of these symbols of z, and of the symbols that y then has. y: (M, 4h, 4w) float32."""
    writer, model = Writer(), one_file.load(name)
    walk(model, Layout(), k_z, decoder.saturate(np.floor(y * GRID).astype(np.int64)), writer)
    return writer.stream(model, 64 * k_z.shape[1], 64 * k_z.shape[2])


def answered(asked: Question) -> Known:
    """A question with the answer of the one-file decoder, as far as it has one."""
    if asked.operation not in KNOWN:
        return Known(asked)
    return Known(asked, right(*asked), TOLERANCE.get(asked.operation, {}))


def right(operation: str, model: str | None, inputs: Values) -> Values:
    """The answer of the one-file decoder."""
    if operation == "g_s":
        x_hat = decoder.synthesis(one_file.load(str(model)), np.asarray(inputs["y_hat"]))
        return {"x_hat": x_hat.astype(np.float32)}
    return one_file.REFERENCE_DECODER.call(operation, model, inputs)


def damaged(name: str, sound: Known, at: int) -> tuple[str, Known]:
    """A question with one other byte, that must be refused, and its name."""
    operation, model, inputs = sound.asked
    key = next(iter(inputs))
    data = bytearray(bytes(inputs[key]))
    data[at] ^= 0x80
    whole = bytes(data)
    if model and at != 16:
        whole = sealed(whole, crc(whole))
    asked = Question(operation, model, {**inputs, key: whole})
    try:
        right(*asked)
    except Rejected as rejected:
        return f"{name}, damaged so that it must be refused,", Known(asked, refused=rejected.kind)
    raise AssertionError(f"{operation}: {name} with another byte {at} is right")


def known(vector: Vector) -> Known:
    """The question of a vector. Pictures may differ near ties, and buffers be deflated otherwise: no answers."""
    due = {key: value for key, value in vector.expected.items() if key not in ("image", "buffer")}
    return Known(Question(vector.operation, vector.model, vector.inputs), due, vector.tolerance)


def only_values_differ(inputs: Values, others: Values) -> bool:
    """Whether arrays have the same shapes, but not all the same values."""
    same_shapes = all(np.shape(value) == np.shape(others[key]) for key, value in inputs.items())
    return same_shapes and first_difference(others, inputs, {}) is not None
