"""Every golden vector: one operation, its inputs and the right answer."""

import pytest

from mbtref.suite.cases import Case
from mbtref.suite.check import check
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen


@pytest.mark.parametrize("vector", [Case(v.requirement, v.name, v.purpose).of(v) for v in frozen().vectors])
def test_vector(subject: Subject, vector: Vector) -> None:
    """A subject gives the right answer to a golden vector."""
    check(subject, vector)
