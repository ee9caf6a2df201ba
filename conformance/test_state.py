"""STATE: an answer depends on its question alone, not on questions before it."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from mbtref.suite.cases import ask, failed
from mbtref.suite.difference import first_difference
from mbtref.suite.header import sides
from mbtref.suite.operations import OPERATIONS, Value, Values
from mbtref.suite.pictures import draw
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen

MODELS = ("lite-q3", "lite-q4")
"""Of pictures that are drawn here."""
MOST = 3
"""Vectors that are asked in between."""


def case(operation: str) -> object:
    """An operation as a parameter of pytest."""
    return pytest.param(operation, id=operation, marks=pytest.mark.case("STATE-1", operation))


@pytest.mark.parametrize("operation", [case(operation) for operation in OPERATIONS])
def test_state(subject: Subject, operation: str) -> None:
    """A question gets the same answer again after others of its shape, which get answers of their own."""
    first, *others = questions(subject, operation)
    answer = ask(subject, operation, first.model, first.inputs)
    for other in others:
        different = ask(subject, operation, other.model, other.inputs)
        if first_difference(different, answer, {}) is None:
            failed("two questions of one shape get one answer: that of the first, kept")
        if difference := first_difference(different, other.expected, other.tolerance):
            failed(f"asked after another question, {difference}\nsomething is kept of the question before")
    if difference := first_difference(ask(subject, operation, first.model, first.inputs), answer, {}):
        failed(f"asked again after another question, {difference}")


class Question(NamedTuple):
    """A question, and what is known of the right answer."""

    model: str | None
    inputs: Values
    expected: Values = MappingProxyType({})
    tolerance: Mapping[str, float] = MappingProxyType({})


def questions(subject: Subject, operation: str) -> list[Question]:
    """Questions of one shape: two about one model, and the first about another model."""
    if operation == "decompress":
        return [Question(MODELS[0], ask(subject, "compress", MODELS[0], {"image": p})) for p in pictures()]
    vectors = [v for v in frozen().vectors if v.operation == operation and not v.rejected and v.expected_files]
    if not vectors:
        return [Question(model, {"image": p}) for model, p in itertools.product(MODELS, pictures())]
    vector = next(v for v in vectors if v.name.endswith(("square", "gdn", "small_scales", "improbable", "rare")))
    known = [asked(other) for other in itertools.islice(alike(vector, vectors), MOST)]
    if any(isinstance(value, bytes) for value in vector.inputs.values()) or "cdf" in vector.inputs:
        return [asked(vector), *known]
    flipped = {key: np.flip(np.asarray(value)).copy() for key, value in vector.inputs.items()}
    exact = OPERATIONS[operation].capability == "entropy-exact"
    right = one_file.REFERENCE_DECODER.call(operation, str(vector.model), flipped) if exact else {}
    return [asked(vector), Question(vector.model, flipped, right), *known]


def asked(vector: Vector) -> Question:
    """The question of a vector. Pictures may differ near ties, and buffers be deflated otherwise: no answers."""
    expected = {key: value for key, value in vector.expected.items() if key not in ("image", "buffer")}
    return Question(vector.model, vector.inputs, expected, vector.tolerance)


def alike(vector: Vector, others: Iterable[Vector]) -> Iterator[Vector]:
    """Vectors with arrays of the same shapes, or a stream of the same sides, but other values."""
    inputs = vector.inputs
    for other in others:
        values = other.inputs
        same = all(shape(inputs[key]) == shape(values[key]) for key in inputs)
        if same and any(not np.array_equal(np.asarray(inputs[key]), np.asarray(values[key])) for key in inputs):
            yield other


def shape(value: Value) -> object:
    """The shape of an array; the sides of a stream; None for other bytes."""
    if not isinstance(value, bytes):
        return np.shape(value)
    return sides(value) if value.startswith(b"MBT") else None


def pictures() -> Iterator[Value]:
    """Two pictures of one size."""
    yield from (draw(content, 64, 64) for content in ("gradient", "noise"))
