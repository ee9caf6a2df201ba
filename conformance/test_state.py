"""STATE: an answer depends on its question alone, not on questions before it."""

from collections.abc import Iterator

import numpy as np
import pytest

from mbtref.conformance.cases import ask, failed
from mbtref.conformance.difference import first_difference
from mbtref.conformance.operations import OPERATIONS, TABLES, Value, Values
from mbtref.conformance.pictures import draw
from mbtref.conformance.subjects.protocol import Subject
from mbtref.conformance.vectors import Vector, frozen

MODEL = "lite-q3"
"""Of pictures that are drawn here."""


def case(operation: str) -> object:
    """An operation as a parameter of pytest."""
    return pytest.param(operation, id=operation, marks=pytest.mark.case("STATE-1", operation))


@pytest.mark.parametrize("operation", [case(operation) for operation in OPERATIONS])
def test_state(subject: Subject, operation: str) -> None:
    """A question gets the same answer again after another one of its shape, which gets another answer."""
    model, first, other = questions(subject, operation)
    answer, different, again = (ask(subject, operation, model, inputs) for inputs in (first, other, first))
    if difference := first_difference(again, answer, {}):
        failed(f"asked again after another question, {difference}")
    if first_difference(different, answer, {}) is None:
        failed("two questions of one shape get one answer: that of the first, kept")


def questions(subject: Subject, operation: str) -> tuple[str | None, Values, Values]:
    """A model, and two inputs of one shape."""
    if operation == "decompress":
        first, other = (ask(subject, "compress", MODEL, {"image": p}) for p in pictures())
        return MODEL, first, other
    vectors = [v for v in frozen().vectors if v.operation == operation and not v.rejected and v.expected_files]
    if not vectors:
        first, other = ({"image": picture} for picture in pictures())
        return MODEL, first, other
    vector = next(v for v in vectors if v.name.endswith(("square", "gdn", "small_scales", "improbable", "mixed")))
    if any(isinstance(value, bytes) for value in vector.inputs.values()):
        return vector.model, vector.inputs, next(like(vector, vectors)).inputs
    return vector.model, vector.inputs, {key: mirrored(key, value) for key, value in vector.inputs.items()}


def pictures() -> Iterator[Value]:
    """Two pictures of one size."""
    yield from (draw(content, 64, 64) for content in ("gradient", "noise"))


def like(vector: Vector, others: list[Vector]) -> Iterator[Vector]:
    """Vectors of the same model whose arrays have the same shapes, but whose bytes differ."""
    for other in others:
        pairs = [(value, other.inputs[key]) for key, value in vector.inputs.items()]
        alike = all(np.shape(a) == np.shape(b) for a, b in pairs if not isinstance(a, bytes))
        if other.model == vector.model and alike and any(isinstance(a, bytes) and a != b for a, b in pairs):
            yield other


def mirrored(name: str, value: Value) -> Value:
    """An input the other way round. Tables stay as they are."""
    return value if name in TABLES else np.flip(np.asarray(value)).copy()
