"""STATE: an answer depends on its question alone, not on questions before it."""

import pytest

from mbtref.suite.cases import Case, WrongAnswer, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import OPERATIONS
from mbtref.suite.options import anew
from mbtref.suite.questions import alike
from mbtref.suite.subjects.protocol import Subject


@pytest.mark.parametrize("operation", [Case("STATE-1", operation).of(operation) for operation in OPERATIONS])
def test_state(subject: Subject, pytestconfig: pytest.Config, operation: str) -> None:
    """A question gets the same answer again after others of its shape, which get those that they get alone."""
    (name, first), *others = alike(subject, operation).items()
    answer, before, is_wrong_alone = ask(subject, *first.asked), name, False
    for other, (asked, due, tolerance) in [*others, (name, first)]:
        after = ask(subject, *asked)
        changed = first_difference(after, answer, {})
        is_due = is_wrong_alone or not first_difference(after, due, tolerance)
        if is_due and bool(changed) != (other == name):
            before = other
            continue
        # a wrong answer isn't a sign of memory yet
        with anew(pytestconfig) as fresh:
            alone, again = ask(fresh, *asked), ask(fresh, *asked)
        if difference := first_difference(again, alone, {}):
            raise WrongAnswer(f"{other}, asked twice of a new process, has two answers: {difference}")
        if difference := changed if other == name else first_difference(after, alone, tolerance):
            what = "something" if changed else "the whole answer"
            raise WrongAnswer(
                f"{other} has another answer after {before} than alone: {difference}\n{what} is kept"
            )
        before, is_wrong_alone = other, True
