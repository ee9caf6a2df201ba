"""Explaining: the message of a case that failed, and where to look.

In a free run one wrong latent spoils the context of all later ones, and the entropy coder loses its place: the end
of a stream shows nothing. The one-file decoder finds what the stream holds. With these latents the suite asks the
subject twice more:

- teacher-forced, with the right latents as context: a wrong answer shows a wrong network;
- in closed loop without the coder: a wrong answer shows a fault in what one step hands to the next.

If both answers are right, the coder or the order of the symbols is wrong.
"""

import textwrap
from collections.abc import Iterator

import numpy as np

from mbtref.suite.cases import Case, Verdict, WrongAnswer, ask
from mbtref.suite.difference import Difference, coding_order, first_difference
from mbtref.suite.figures import OTHER_SIZE, REFUSED, U8, encoded, too_dear
from mbtref.suite.operations import CLOSED_LOOP, GRID, OPERATIONS, Values
from mbtref.suite.pictures import pad
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject

TEACHER_FORCED = "exact_parameters"
LOOK_AT_PADDING = "look at the padding (§3)"
FIRST = "the first wrong value in coding order is {}"
LATENT, BLOCK = 16, 64
"""Pixels in a row or column of one latent, and of one hyper-latent."""
HEADER = 20
"""Bytes before the payload (specification, §6)."""
FIELDS = {
    "bad-magic": (0, 3, "the letters MBT"),
    "unsupported-version": (3, 4, "the version"),
    "unknown-model": (4, 12, "the fingerprint of the model"),
    "bad-dimensions": (12, 16, "height and width, little-endian"),
    "too-large": (12, 16, "height and width, little-endian"),
    "checksum-mismatch": (16, HEADER, "the CRC-32 of bytes 0 to 15 and of the payload, little-endian"),
}
"""Kinds of refusal that are about the header alone: begin, end and meaning of the field."""


def explain(case: Case, verdict: Verdict, subject: Subject, command: str) -> str:
    """The whole message of a case that failed. command: repeats it."""
    requirement = REQUIREMENTS[case.requirement]
    notes = "\n".join(getattr(verdict, "__notes__", [])).splitlines()
    lines = [
        str(verdict),
        *(where_to_look(subject, verdict) if isinstance(verdict, WrongAnswer) else ()),
        *(note for note in notes if not note.lstrip().startswith("subject=")),
        *([f"catches: {case.catches}"] if case.catches else ()),
        f"required: {requirement.text} ({requirement.source})",
        f"repeat: {command}",
    ]
    whole = "\n".join(dict.fromkeys(lines))  # a line may be found in two ways
    return f"{case.id}: {verdict.outcome}\n{textwrap.indent(whole, '  ')}"


def where_to_look(subject: Subject, wrong: WrongAnswer) -> Iterator[str]:
    """Lines that lead from a wrong answer to the field of the header, the stage or the latent that is wrong."""
    if wrong.asked is None:
        return
    (operation, model, inputs), came = wrong.asked, wrong.came
    if model is None:
        return
    stream = inputs.get("stream")
    try:
        if isinstance(stream, bytes):
            lines = list(field(stream, wrong.refusal))
            yield from lines or decoder(subject, model, stream, came, wrong.difference)
        elif operation == CLOSED_LOOP and wrong.difference and not wrong.difference.in_other_units:
            yield FIRST.format(wrong.difference.place)
            yield from stages(subject, model, {"k_z": inputs["k_z"], "y_hat": wrong.due["y_hat"]}, None)
        elif "stream" in came:
            yield from encoder(subject, model, np.asarray(inputs["image"], np.uint8), came, wrong.due)
        elif "blob" in came:
            other = {"image": 255 - np.asarray(inputs["image"])}
            if ask(subject, operation, model, other) == came:
                yield "the answer is that of an earlier picture: other pixels of this size give these bytes"
    except Verdict as verdict:
        yield f"asked again to find the place, it gives no answer: {verdict}"


def decoder(
    subject: Subject, model: str, stream: bytes, came: Values, difference: Difference | None
) -> Iterator[str]:
    """For a stream that was decoded wrongly, or refused. came: empty if it was refused. difference: if known."""
    try:
        held = one_file.latents(model, stream)
    except Rejected as rejected:
        yield REFUSED.format(rejected)
        return
    if came:
        if difference is None:
            right: Values = {"y_hat": one_file.decode(model, stream)["y_hat"]}
            if "y_hat" not in came:
                right = one_file.REFERENCE_DECODER.call("decode_reproducible", model, {"stream": stream})
            difference = first_difference(came, right, {})
            if difference is None:
                return
            yield f"the decoder is wrong: {difference}"
        if difference.stage == "image" or difference.in_other_units:
            return
        yield FIRST.format(difference.place)
    else:
        height, width = sides(stream)
        yield f"the stream is whole: {HEADER} bytes of header, {(len(stream) - HEADER) // 4} words of payload"
        blocks = f"{-(-height // BLOCK)}×{-(-width // BLOCK)} blocks of {BLOCK}×{BLOCK} pixels (§3)"
        yield f"height {height}, width {width}: {blocks}"
    y = (np.asarray(held["y_hat"]) / GRID).astype(np.float32)
    yield from stages(subject, model, held, {"k_z": held["k_z"], "y": y})


def stages(subject: Subject, model: str, forced: Values, free: Values | None) -> Iterator[str]:
    """Lines about the stages one by one.

    forced: inputs of `exact_parameters`. free: of `exact_symbols`; None if its answer is known to be wrong.
    """
    if OPERATIONS[TEACHER_FORCED].capability not in subject.capabilities:
        yield f"{subject.name} doesn't declare entropy-exact, so its stages can't be asked one by one"
        return
    if wrong := beside_the_right_one(subject, TEACHER_FORCED, model, forced):
        yield f"teacher-forced, the first wrong stage is {wrong.stage}: {wrong}"
        return
    yield "teacher-forced, every stage is right"
    if free and (wrong := beside_the_right_one(subject, CLOSED_LOOP, model, free)):
        yield f"in closed loop without the coder, the first wrong value is {wrong.place}: {wrong}"
    elif free:
        yield "in closed loop without the coder, every stage is right"
        yield (
            "look at the entropy coder, its tables, the order of the symbols, and how decode itself makes y_hat "
            "of k and mu; or decode runs other networks"
        )
        return
    yield "look at what a step hands on: y_hat = saturate(k + mu), and which neighbours the context takes"


def beside_the_right_one(subject: Subject, operation: str, model: str, inputs: Values) -> Difference | None:
    """The first difference in the answer to an exact operation. Raises Verdict if there is no answer."""
    came, right = (ask(each, operation, model, inputs) for each in (subject, one_file.REFERENCE_DECODER))
    return first_difference(came, right, {}, operation == CLOSED_LOOP)


def encoder(subject: Subject, model: str, image: U8, came: Values, golden: Values) -> Iterator[str]:
    """For a picture that was encoded wrongly.

    came: the stream; the latents too, if the subject decoded it again. golden: the right stream, and what it costs
    depends on, its image.
    """
    stream = bytes(came["stream"])
    try:
        held = np.shape(one_file.decode(model, stream)["image"])
    except Rejected as rejected:
        yield REFUSED.format(rejected)
        yield from field(stream, rejected.kind)
        yield "its header has a height of {} and a width of {}".format(*sides(stream))
        return
    if "y_hat" in came:
        if lines := list(decoder(subject, model, stream, came, None)):
            yield from lines
            return
        yield "its latents are decoded right: look at the encoder"
    if held != image.shape:
        yield OTHER_SIZE.format(held, image.shape)
    elif golden:
        yield from moved(model, stream, bytes(golden["stream"]), *held[:2])
        if "image" in golden:
            yield from padding(subject, model, image, golden)


def moved(model: str, stream: bytes, golden: bytes, height: int, width: int) -> Iterator[str]:
    """Lines about the symbols of a stream beside the golden one's. Both hold a picture of this size."""
    found, right = (one_file.latents(model, data) for data in (stream, golden))
    k_z, y_hat = (np.asarray(found[name]) - np.asarray(right[name]) for name in ("k_z", "y_hat"))
    yield f"k_z differs from the golden one in {np.count_nonzero(k_z)} of {k_z.size} places"
    places = np.argwhere(np.abs(y_hat) > GRID // 2)
    if not len(places):
        yield "no latent moved by more than half a step"
        return
    channel, row, column = places[np.argmin(coding_order(places))]
    yield (
        f"{len(places)} of {y_hat.size} latents moved by more than half a step, the first in coding order is "
        f"channel {channel}, row {row}, column {column}"
    )
    if ((LATENT * places[:, 1] >= height) | (LATENT * places[:, 2] >= width)).all():
        yield f"all of them lie beyond the picture: {LOOK_AT_PADDING}"


def padding(subject: Subject, model: str, image: U8, golden: Values) -> Iterator[str]:
    """For a picture that needs padding: a line that tells whether it is encoded right if it is padded before."""
    padded = pad(image)
    if padded.shape == image.shape:
        return
    try:
        wrong = too_dear(image, encoded(subject, model, padded), golden)
    except Verdict as verdict:
        wrong = str(verdict)
    if wrong:
        yield "the same picture, padded before it is encoded, is wrong too: it isn't the padding alone"
    else:
        yield f"the same picture, padded before it is encoded, is right: {LOOK_AT_PADDING}"


def field(stream: bytes, kind: str) -> Iterator[str]:
    """A line about the field for which a stream is refused, if it is a field of the header."""
    if kind == "truncated" and len(stream) < HEADER:
        yield f"look at the header (§6): it has {HEADER} bytes, this stream has {len(stream)}"
    elif kind in FIELDS:
        begin, end, meaning = FIELDS[kind]
        place = f"byte {begin}" if end == begin + 1 else f"bytes {begin} to {end - 1}"
        yield f"look at the header (§6): {place}, {meaning}: {stream[begin:end].hex(' ') or 'not there'}"


def sides(stream: bytes) -> tuple[int, int]:
    """Height and width in the header of a stream."""
    height, width = (int.from_bytes(stream[at : at + 2], "little") for at in (12, 14))
    return height, width
