"""STATE: an answer depends on its question alone, not on questions before it."""

import pytest

from mbtref.suite.cases import Case, WrongAnswer, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import OPERATIONS
from mbtref.suite.questions import alike
from mbtref.suite.subjects.protocol import Subject


@pytest.mark.parametrize("operation", [Case("STATE-1", operation).of(operation) for operation in OPERATIONS])
def test_state(subject: Subject, operation: str) -> None:
    """A question gets the same answer again after others of its shape, which get answers of their own."""
    first, *others = alike(subject, operation)
    answer = ask(subject, *first.asked)
    for other in others:
        different = ask(subject, *other.asked)
        if first_difference(different, answer, {}) is None:
            raise WrongAnswer("two questions of one shape get one answer: that of the first, kept")
        if difference := first_difference(different, other.due, other.tolerance):
            raise WrongAnswer(f"asked after another question, {difference}\nit keeps something of that question")
    if difference := first_difference(ask(subject, *first.asked), answer, {}):
        raise WrongAnswer(f"asked again after another question, {difference}")
