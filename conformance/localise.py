"""Finds where a decoder first went wrong: which symbol, and which stage computed it.

In a free run one wrong latent spoils the context of all later ones, and the entropy coder loses its place: the end
of a stream shows nothing. So the suite asks the subject twice more about the same picture:

- teacher-forced, with the right latents as context: a wrong answer shows a wrong network;
- in closed loop without the coder: a wrong answer shows a fault in what one step hands to the next.

If both answers are right, the coder or the order of the symbols is wrong.
"""

from mbtref.conformance.cases import Verdict, ask
from mbtref.conformance.difference import Difference, first_difference
from mbtref.conformance.operations import OPERATIONS
from mbtref.conformance.subjects.protocol import Subject
from mbtref.conformance.vectors import Vector, frozen

TEACHER_FORCED, FREE_RUNNING = "EXACT-1", "EXACT-2"
"""Requirements whose vectors have the name of the picture, like the vectors of streams."""


def explain(subject: Subject, vector: Vector, difference: Difference | None) -> list[str]:
    """Lines that explain the failure of a vector with closed-loop latents.

    difference: the first one in the latents; None if the subject refused the stream.
    """
    twins = {v.requirement: v for v in frozen().vectors if v.name == vector.name}
    if not twins.keys() >= {TEACHER_FORCED, FREE_RUNNING}:
        return []
    lines = [f"the first wrong value in coding order is {place(difference)}"] if difference else []
    if OPERATIONS[twins[TEACHER_FORCED].operation].capability not in subject.capabilities:
        return [*lines, f"{subject.name} doesn't declare entropy-exact, so its stages can't be asked one by one"]
    try:
        forced = compare(subject, twins[TEACHER_FORCED])
        if forced:
            return [*lines, f"teacher-forced, the first wrong stage is {forced.stage}: {forced}"]
        free = compare(subject, twins[FREE_RUNNING])
    except Verdict as verdict:
        return [*lines, f"its stages give no comparison: {verdict}"]
    lines.append("teacher-forced, every stage is right")
    if free:
        return [
            *lines,
            f"in closed loop without the coder, the first wrong value is {place(free)}: {free}",
            "look at what a step hands on: y_hat = saturate(k + mu), and which neighbours the context takes",
        ]
    return [
        *lines,
        "in closed loop without the coder, every stage is right",
        "look at the entropy coder, its tables and the order of the symbols; or decode runs other networks",
    ]


def compare(subject: Subject, vector: Vector) -> Difference | None:
    """The first difference in the answer to another vector. Raises Verdict if there is no answer."""
    answer = ask(subject, vector.operation, vector.model, vector.inputs)
    return first_difference(answer, vector.expected, vector.tolerance)


def place(difference: Difference) -> str:
    """The place of a difference, in words."""
    if len(difference.where) != 3:
        return difference.stage
    channel, row, column = difference.where
    return f"{difference.stage} at channel {channel}, row {row}, column {column}"
