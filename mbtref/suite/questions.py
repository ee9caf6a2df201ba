"""Questions of one shape, about which a subject that keeps something of an earlier question is wrong."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mbtref.suite.cases import NOTHING, Question, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.mistakes import sides
from mbtref.suite.operations import OPERATIONS, Value, Values
from mbtref.suite.pictures import draw
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen

MODELS = ("lite-q3", "lite-q4")
"""Of pictures that are drawn here."""
PICTURES: Mapping[str, Value] = {content: draw(content, 64, 64) for content in ("gradient", "noise")}
MOST = 3
"""Vectors that are asked in between."""
FIRST = ("square", "gdn", "small_scales", "improbable", "rare")
"""How names of vectors end that can be asked first: others have their shape."""


class Known(NamedTuple):
    """A question, and what is known of the right answer."""

    asked: Question
    due: Values = NOTHING
    tolerance: Mapping[str, float] = {}


def alike(subject: Subject, operation: str) -> dict[str, Known]:
    """Questions of one shape, by name: the first, others about its model, and one about another model."""
    if operation == "decompress":
        blobs = {name: ask(subject, "compress", MODELS[0], {"image": image}) for name, image in PICTURES.items()}
        return {f"the {name}": Known(Question(operation, MODELS[0], blob)) for name, blob in blobs.items()}
    vectors = [v for v in frozen().vectors if v.operation == operation and not v.rejected and v.expected_files]
    if not vectors:
        both = itertools.product(MODELS, PICTURES)
        return {f"the {n} at {m}": Known(Question(operation, m, {"image": PICTURES[n]})) for m, n in both}
    first = next(v for v in vectors if v.name.endswith(FIRST))
    inputs = first.inputs
    similar = (v for v in vectors if only_values_differ(inputs, v.inputs))
    others = {v.id: known(v) for v in itertools.islice(similar, MOST)}
    if "cdf" in inputs or any(isinstance(value, bytes) for value in inputs.values()):
        return {first.id: known(first), **others}
    flipped = {key: np.flip(np.asarray(value)).copy() for key, value in inputs.items()}
    is_exact = OPERATIONS[operation].capability == "entropy-exact"
    right = one_file.REFERENCE_DECODER.call(operation, str(first.model), flipped) if is_exact else NOTHING
    turned = Known(Question(operation, first.model, flipped), right)
    return {first.id: known(first), f"{first.id} with its axes turned": turned, **others}


def known(vector: Vector) -> Known:
    """The question of a vector. Pictures may differ near ties, and buffers be deflated otherwise: no answers."""
    due = {key: value for key, value in vector.expected.items() if key not in ("image", "buffer")}
    return Known(Question(vector.operation, vector.model, vector.inputs), due, vector.tolerance)


def only_values_differ(inputs: Values, others: Values) -> bool:
    """Whether arrays have the same shapes, or streams the same sides, but not all the same values."""
    same_shapes = all(shape(value) == shape(others[key]) for key, value in inputs.items())
    return same_shapes and first_difference(others, inputs, {}) is not None


def shape(value: Value) -> object:
    """The shape of an array; the sides of a stream; None for other bytes."""
    if not isinstance(value, bytes):
        return np.shape(value)
    return sides(value) if value.startswith(b"MBT") else None
