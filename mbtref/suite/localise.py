"""Finds where a codec first went wrong: which field, which symbol, and which stage computed it.

In a free run one wrong latent spoils the context of all later ones, and the entropy coder loses its place: the end
of a stream shows nothing. The one-file decoder finds what the stream holds. With these latents the suite asks the
subject twice more:

- teacher-forced, with the right latents as context: a wrong answer shows a wrong network;
- in closed loop without the coder: a wrong answer shows a fault in what one step hands to the next.

If both answers are right, the coder or the order of the symbols is wrong.
"""

import numpy as np

from mbtref.suite.cases import Verdict, ask
from mbtref.suite.difference import Difference, coding_order, first_difference
from mbtref.suite.header import HEADER, field, sides
from mbtref.suite.operations import CLOSED_LOOP, GRID, OPERATIONS, Values
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject

TEACHER_FORCED = "exact_parameters"
HANDED_ON = "look at what a step hands on: y_hat = saturate(k + mu), and which neighbours the context takes"
LOOK_AT_PADDING = "look at the padding (§3)"
LATENT = 16
"""Pixels in a row or column of one latent."""
BLOCK = 64
"""Pixels in a row or column of one hyper-latent."""


def refused(subject: Subject, model: str, stream: bytes, kind: str) -> list[str]:
    """Lines about a stream that a subject refused with a wrong kind, or should have taken."""
    return field(stream, kind) or decoded(subject, model, stream, None)


def decoded(subject: Subject, model: str, stream: bytes, difference: Difference | None) -> list[str]:
    """Lines about a stream that a subject decoded wrongly; no line if the one-file decoder refuses it too.

    difference: the first one in the latents; None if the subject refused the stream.
    """
    try:
        held = one_file.latents(model, stream)
    except Rejected:
        return []
    words, (height, width) = (len(stream) - HEADER) // 4, sides(stream)
    blocks = f"{-(-height // BLOCK)}×{-(-width // BLOCK)} blocks of {BLOCK}×{BLOCK} pixels (§3)"
    whole = (
        f"the stream is whole: {HEADER} bytes of header, {words} words of payload\n"
        f"height {height}, width {width}: {blocks}"
    )
    lines = first_wrong(difference) if difference else [whole]
    y = (np.asarray(held["y_hat"]) / GRID).astype(np.float32)
    return [*lines, *stages(subject, model, held, {"k_z": held["k_z"], "y": y})]


def stages(subject: Subject, model: str, forced: Values, free: Values | None) -> list[str]:
    """Lines about the stages one by one.

    forced: inputs of `exact_parameters`. free: of `exact_symbols`; None if its answer is known to be wrong.
    """
    if OPERATIONS[TEACHER_FORCED].capability not in subject.capabilities:
        return [f"{subject.name} doesn't declare entropy-exact, so its stages can't be asked one by one"]
    try:
        wrong = compare(subject, TEACHER_FORCED, model, forced)
        if wrong:
            return [f"teacher-forced, the first wrong stage is {wrong.stage}: {wrong}"]
        lines = ["teacher-forced, every stage is right"]
        if free is None:
            return [*lines, HANDED_ON]
        wrong = compare(subject, CLOSED_LOOP, model, free)
    except Verdict as verdict:
        return [f"its stages give no comparison: {verdict}"]
    if wrong:
        lines.append(f"in closed loop without the coder, the first wrong value is {place(wrong)}: {wrong}")
        return [*lines, HANDED_ON]
    return [
        *lines,
        "in closed loop without the coder, every stage is right",
        "look at the entropy coder, its tables, the order of the symbols, and how decode itself makes y_hat of k "
        "and mu; or decode runs other networks",
    ]


def compare(subject: Subject, operation: str, model: str, inputs: Values) -> Difference | None:
    """The first difference in the answer to an exact operation. Raises Verdict if there is no answer."""
    answer = ask(subject, operation, model, inputs)
    return first_difference(
        answer, one_file.REFERENCE_DECODER.call(operation, model, inputs), {}, operation == CLOSED_LOOP
    )


def encoded(model: str, stream: bytes, golden: bytes, height: int, width: int) -> list[str]:
    """Lines about the symbols of an encoder's stream beside the golden one's. Both hold a picture of this size."""
    found, right = (one_file.latents(model, data) for data in (stream, golden))
    k_z, y_hat = (np.asarray(found[name]) - np.asarray(right[name]) for name in ("k_z", "y_hat"))
    lines = [f"k_z differs from the golden one in {np.count_nonzero(k_z)} of {k_z.size} places"]
    moved = np.argwhere(np.abs(y_hat) > GRID // 2)
    if not len(moved):
        return [*lines, "no latent moved by more than half a step"]
    channel, row, column = moved[np.argmin(coding_order(moved))]
    lines.append(
        f"{len(moved)} of {y_hat.size} latents moved by more than half a step, the first in coding order is "
        f"channel {channel}, row {row}, column {column}"
    )
    if ((LATENT * moved[:, 1] >= height) | (LATENT * moved[:, 2] >= width)).all():
        lines.append(f"all of them lie beyond the picture: {LOOK_AT_PADDING}")
    return lines


def first_wrong(difference: Difference) -> list[str]:
    """A line about the first wrong latent."""
    return [f"the first wrong value in coding order is {place(difference)}"]


def place(difference: Difference) -> str:
    """The place of a difference, in words."""
    if len(difference.where) != 3:
        return difference.stage
    row, column, channel = difference.where
    if difference.stage != "image":
        channel, row, column = difference.where
    return f"{difference.stage} at channel {channel}, row {row}, column {column}"
