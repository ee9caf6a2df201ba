"""Every golden vector, one operation with its inputs and the right answer; and questions that no file holds."""

import pytest

from mbtref.suite.cases import Case, WrongAnswer, ask
from mbtref.suite.check import check, comparable
from mbtref.suite.difference import first_difference
from mbtref.suite.fresh import ASKED, questions
from mbtref.suite.operations import CLOSED_LOOP
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, frozen

CATCHES = "answers that are looked up among the golden vectors"


@pytest.mark.parametrize("vector", [Case(v.requirement, v.name, v.purpose).of(v) for v in frozen().vectors])
def test_vector(subject: Subject, vector: Vector) -> None:
    """A subject gives the right answer to a golden vector."""
    check(subject, vector)


@pytest.mark.parametrize("operation", [Case("FRESH-1", operation, CATCHES).of(operation) for operation in ASKED])
def test_fresh(subject: Subject, operation: str, seed: int) -> None:
    """A subject gives the right answer to a question that stands in no file."""
    for asked, right, tolerance, _ in questions(operation, seed):
        came, due = (comparable(operation, values) for values in (ask(subject, *asked), right))
        if difference := first_difference(came, due, tolerance, operation == CLOSED_LOOP):
            raise WrongAnswer(difference, asked, came, due)
