"""The questions of STATE-1: they differ in what a cache with too coarse a key doesn't see."""

import numpy as np
import pytest

from mbtref.suite.cases import Question
from mbtref.suite.operations import OPERATIONS
from mbtref.suite.questions import DAMAGED, Known, alike
from mbtref.suite.subjects.reference import Reference


def asked(operation: str) -> dict[str, Known]:
    """The questions about an operation, by name."""
    return dict(alike(Reference(), operation))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_question_is_the_first_one_again(operation: str) -> None:
    """Each question that has another name differs from the first."""
    first, *others = (known.asked for known in asked(operation).values())

    def content(question: Question) -> object:
        inputs = question.inputs.items()
        return question.model, {name: v if isinstance(v, bytes) else v.tobytes() for name, v in inputs}

    assert len(others) >= 3, f"{operation} has only {len(others)} other questions"
    assert content(first) not in map(content, others), f"{operation}: a question is asked twice"


@pytest.mark.parametrize("operation", DAMAGED)
def test_a_refused_question_has_the_size_of_the_one_after_it(operation: str) -> None:
    """Each question that is answered comes after one of its size that must be refused."""
    questions = [known for _, known in alike(Reference(), operation)][1:]
    pairs = list(zip(questions[::2], questions[1::2], strict=True))
    assert all(bad.refused and not good.refused for bad, good in pairs), "they don't take turns"
    for bad, good in pairs:
        before, after = (
            {name: np.asarray(value).nbytes for name, value in known.asked.inputs.items()} for known in (bad, good)
        )
        assert before == after, f"sizes are {before}, then {after}"


def test_streams_differ_in_their_last_word_alone() -> None:
    """Another last symbol changes the last word of a stream, and nothing before it."""
    questions = asked("rans_decode")
    first, other = (
        bytes(questions[name].asked.inputs["stream"])
        for name in ("the first", "the first with another last symbols")
    )
    assert first[:-4] == other[:-4], "the streams differ before their last word"
    assert first != other, "the streams are equal"
