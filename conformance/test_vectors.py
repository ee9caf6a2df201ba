"""Every golden vector: one operation, its inputs and the right answer."""

import pytest

from mbtref.suite.check import check
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen


def case(vector: Vector) -> object:
    """A vector as a parameter of pytest."""
    marker = pytest.mark.case(vector.requirement, vector.name)
    return pytest.param(vector, id=vector.id, marks=marker)


@pytest.mark.parametrize("vector", [case(vector) for vector in frozen().vectors])
def test_vector(subject: Subject, vector: Vector) -> None:
    """A subject gives the right answer to a golden vector."""
    check(subject, vector)
