"""Explaining: the message of a case that failed, and where to look.

In a free run one wrong latent spoils the context of all later ones, and the entropy coder loses its place: the end
of a stream shows nothing. The one-file decoder finds what the stream holds. With these latents the suite asks the
subject twice more:

- teacher-forced, with the right latents as context: a wrong answer shows a wrong network;
- in closed loop without the coder: a wrong answer shows a fault in what one step hands to the next.

If both answers are right, the coder or the order of the symbols is wrong.
"""

import itertools
import textwrap
from collections.abc import Iterator

import numpy as np

from mbtref.suite.cases import Case, Outcome, Question, Verdict, WrongAnswer, ask
from mbtref.suite.check import check
from mbtref.suite.difference import GRID_UNITS, Difference, coding_order, first_difference
from mbtref.suite.figures import OTHER_SIZE, REFUSED, U8, encoded, too_dear
from mbtref.suite.mistakes import (
    FEW,
    HEADER,
    PIXELS,
    crc,
    fitting,
    index_by,
    is_small,
    messages,
    of_encoder,
    picture_by,
    sides,
    to_decoder,
)
from mbtref.suite.operations import CLOSED_LOOP, GRID, OPERATIONS, Values
from mbtref.suite.pictures import pad
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import frozen

TEACHER_FORCED = "exact_parameters"
LOOK_AT_PADDING = "look at the padding (§3)"
FIRST = "the first wrong value in coding order is {}"
LATENT, BLOCK = 16, 64
"""Pixels in a row or column of one latent, and of one hyper-latent."""
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
    (operation, model, inputs), came, difference = wrong.asked, wrong.came, wrong.difference
    stream = inputs.get("stream")
    try:
        if operation in ("rans_encode", "rans_decode"):
            yield from easiest(subject, operation)
        elif model is None:
            return
        elif isinstance(stream, bytes):
            yield from decoder(subject, wrong.asked, came, difference, wrong.refusal)
        elif operation in (TEACHER_FORCED, CLOSED_LOOP) and difference and difference.pattern != GRID_UNITS:
            forced = {"k_z": inputs["k_z"], "y_hat": {**wrong.due, **inputs}["y_hat"]}
            if difference.stage == "index":
                yield from index(model, forced, came)
            elif operation == CLOSED_LOOP:
                yield FIRST.format(difference.place)
                yield from stages(subject, model, forced, None)
        elif "stream" in came:
            yield from encoder(subject, wrong.asked, came, wrong.due)
        elif "blob" in came:
            other = {"image": 255 - np.asarray(inputs["image"])}
            if ask(subject, operation, model, other) == came:
                yield "other pixels give these bytes, too: they aren't looked at, or an earlier answer is kept"
    except Verdict as verdict:
        yield f"asked again to find the place, it gives no answer: {verdict}"


def easiest(subject: Subject, operation: str) -> Iterator[str]:
    """A line about the easiest message that is coded wrongly."""
    (output,) = OPERATIONS[operation].outputs
    for what, message in messages():
        whole = {**message, **one_file.REFERENCE_DECODER.call("rans_encode", None, message)}
        inputs = {name: whole[name] for name in OPERATIONS[operation].inputs}
        wrong: object
        try:
            wrong = first_difference(ask(subject, operation, None, inputs), {output: whole[output]}, {})
        except Verdict as verdict:
            wrong = verdict
        if wrong:
            yield f"the easiest message that is wrong has {what}, where {wrong}"
            return


def decoder(
    subject: Subject, asked: Question, came: Values, difference: Difference | None, refusal: str = ""
) -> Iterator[str]:
    """For a stream that was decoded wrongly, or refused. came: empty if it was refused. difference: if known."""
    operation, model, stream = asked.operation, str(asked.model), bytes(asked.inputs["stream"])
    try:
        held = one_file.latents(model, stream)
    except Rejected as rejected:
        yield from list(field(model, stream, refusal)) or [REFUSED.format(rejected)]
        return
    if came and difference is None:
        right: Values = {"y_hat": one_file.decode(model, stream)["y_hat"]}
        if "y_hat" not in came:
            right = one_file.REFERENCE_DECODER.call("decode_reproducible", model, {"stream": stream})
        difference = first_difference(came, right, {})
        if difference is None:
            return
        yield f"the decoder is wrong: {difference}"
    if difference and difference.pattern == GRID_UNITS:
        return
    if difference and difference.stage == "image" and difference.where:
        yield from picture(subject, model, stream, came)
        return
    header = list(field(model, stream, refusal, sides(stream)))
    yield from header
    mistakes = list(itertools.islice(tried(subject, operation, model, stream), 1))
    yield from mistakes
    if header or mistakes:
        return
    if difference:
        yield FIRST.format(difference.place)
    else:
        height, width = sides(stream)
        yield f"the stream is whole: {HEADER} bytes of header, {(len(stream) - HEADER) // 4} words of payload"
        blocks = f"{-(-height // BLOCK)}×{-(-width // BLOCK)} blocks of {BLOCK}×{BLOCK} pixels (§3)"
        yield f"height {height}, width {width}: {blocks}"
    y = (np.asarray(held["y_hat"]) / GRID).astype(np.float32)
    yield from stages(subject, model, held, {"k_z": held["k_z"], "y": y})


def tried(subject: Subject, operation: str, model: str, stream: bytes) -> Iterator[str]:
    """Lines about mistakes with which the subject decodes a right stream."""
    for mistake, wrong, right in to_decoder(model, stream):
        if wrong == stream:
            continue  # so small a stream has no trace of this mistake
        try:
            came = ask(subject, operation, model, {"stream": wrong})
        except Verdict as verdict:
            if verdict.outcome == Outcome.TIMED_OUT:
                return
            continue
        if not first_difference(came, {name: right[name] for name in right if name in came}, {"image": 1}):
            yield f"with one change it decodes this stream rightly: {mistake}"


def picture(subject: Subject, model: str, stream: bytes, came: Values) -> Iterator[str]:
    """For a picture that is wrong, of right latents."""
    right = one_file.decode(model, stream)
    found = np.asarray(came["image"]).astype(int)
    more = found - right["image"]
    if "y_hat" in came:
        yield "y_hat is right, in all places"
    lower, higher = np.count_nonzero(more < 0), np.count_nonzero(more > 0)
    yield f"{lower} samples are lower than expected, {higher} are higher, by at most {np.abs(more).max()}"
    if is_small(stream) and (
        mistakes := fitting(found, picture_by(model, np.asarray(right["y_hat"]), *sides(stream)))
    ):
        yield f"look at how x_hat becomes a picture (§9): {mistakes[0]}"
    elif "y_hat" not in came:
        yield "look at g_s as §10 computes it, and at what follows it"
    elif "transforms" not in subject.capabilities:
        yield f"look at g_s, its precision, and what follows it (§9); {subject.name} doesn't declare transforms"
    else:
        try:
            for vector in frozen().vectors:
                if vector.requirement == "TRANSFORM-3" and vector.model == model:
                    check(subject, vector)
            yield "g_s alone is right (TRANSFORM-3): look at what follows it (§9), and at its tiles"
        except Verdict as verdict:
            yield f"g_s isn't right (TRANSFORM-3): {verdict}"


def index(model: str, forced: Values, came: Values) -> Iterator[str]:
    """A line about wrong indexes, of right scales and means. forced: inputs of `exact_parameters`."""
    right = one_file.REFERENCE_DECODER.call(TEACHER_FORCED, model, forced)
    guesses = index_by(model, *(np.asarray(right[name]) for name in ("sigma", "mu")))
    yield from (f"look at the index (§4): {mistake}" for mistake in fitting(np.asarray(came["index"]), guesses, 0))


def stages(subject: Subject, model: str, forced: Values, free: Values | None) -> Iterator[str]:
    """Lines about the stages one by one.

    forced: inputs of `exact_parameters`. free: of `exact_symbols`; None if its answer is known to be wrong.
    """
    if OPERATIONS[TEACHER_FORCED].capability not in subject.capabilities:
        yield f"{subject.name} doesn't declare entropy-exact, so its stages can't be asked one by one"
        return
    came, wrong = beside_the_right_one(subject, TEACHER_FORCED, model, forced)
    if wrong:
        yield f"teacher-forced, the first wrong stage is {wrong.stage}: {wrong}"
        if wrong.stage == "index":
            yield from index(model, forced, came)
        return
    yield "teacher-forced, every stage is right"
    if free and (wrong := beside_the_right_one(subject, CLOSED_LOOP, model, free)[1]):
        yield f"in closed loop without the coder, the first wrong value is {wrong.place}: {wrong}"
    elif free:
        yield "in closed loop without the coder, every stage is right"
        yield (
            "look at the entropy coder, its tables, the order of the symbols, and how decode itself makes y_hat "
            "of k and mu; or decode runs other networks"
        )
        return
    yield "look at how y comes to the grid (§12), at y_hat = saturate(k + mu), and at the neighbours of a position"


def beside_the_right_one(
    subject: Subject, operation: str, model: str, inputs: Values
) -> tuple[Values, Difference | None]:
    """The answer to an exact operation, and its first difference. Raises Verdict if there is no answer."""
    came, right = (ask(each, operation, model, inputs) for each in (subject, one_file.REFERENCE_DECODER))
    return came, first_difference(came, right, {}, operation == CLOSED_LOOP)


def encoder(subject: Subject, asked: Question, came: Values, golden: Values) -> Iterator[str]:
    """For a picture that was encoded wrongly.

    came: the stream; the latents too, if the subject decoded it again. golden: the right stream, or nothing.
    """
    image, model, stream = np.asarray(asked.inputs["image"], np.uint8), str(asked.model), bytes(came["stream"])
    size = (image.shape[0], image.shape[1])
    mistakes = [f"the stream is right but for this: {mistake}" for mistake in of_encoder(model, stream, *size)][:1]
    try:
        held = np.shape(one_file.decode(model, stream)["image"])
    except Rejected as rejected:
        yield REFUSED.format(rejected)
        yield from mistakes
        yield from field(model, stream, rejected.kind, size)
        yield "its header has a height of {} and a width of {}".format(*sides(stream))
        return
    if "y_hat" in came:
        if lines := list(decoder(subject, Question("decode", model, {"stream": stream}), came, None)):
            yield from lines
            return
        yield "its latents are decoded right: look at the encoder"
    if held != image.shape:
        yield OTHER_SIZE.format(held, image.shape)
        yield from mistakes
    elif golden:
        yield from moved(model, stream, bytes(golden["stream"]), *size)
        if image.size <= 3 * PIXELS:
            yield from asked_otherwise(subject, asked, bytes(golden["stream"]))


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
    elif k_z.any() and np.mean(np.abs(y_hat) > GRID) <= FEW:  # either is within half a step of y
        look = "look at h_a, which gets y, not |y|, at medians, and at how z is rounded"
        yield f"none moved by more than a step, so y is right: {look}"


def asked_otherwise(subject: Subject, asked: Question, golden: bytes) -> Iterator[str]:
    """Lines that tell whether a picture is encoded right if it is padded before, or has its colours exchanged."""
    image, model = np.asarray(asked.inputs["image"], np.uint8), str(asked.model)
    right = {"stream": golden, "image": one_file.decode(model, golden)["image"]}

    def is_right(other: U8) -> bool:
        try:
            if asked.operation == "encode_reproducible":
                stream = bytes(ask(subject, asked.operation, model, {"image": other})["stream"])
                return stream[HEADER:] == golden[HEADER:]
            return not too_dear(image, encoded(subject, model, other), right)
        except Verdict:
            return False

    if is_right(image[..., ::-1].copy()):
        yield "the same picture with red and blue exchanged is right: look at the order of the colours (§12)"
    if pad(image).shape == image.shape:
        return
    if is_right(pad(image)):
        yield f"the same picture, padded before it is encoded, is right: {LOOK_AT_PADDING}"
    else:
        yield "the same picture, padded before it is encoded, is wrong too: it isn't the padding alone"


def field(name: str, stream: bytes, kind: str, size: tuple[int, int] | None = None) -> Iterator[str]:
    """A line about the field for which a stream is refused, if it is a field of the header.

    size: the right height and width, if they are known.
    """
    if kind == "truncated" and len(stream) < HEADER:
        yield f"look at the header (§6): it has {HEADER} bytes, this stream has {len(stream)}"
    elif kind in FIELDS:
        begin, end, meaning = FIELDS[kind]
        place = f"byte {begin}" if end == begin + 1 else f"bytes {begin} to {end - 1}"
        right = one_file.file_of(one_file.load(name), *(size or sides(stream)), b"")[:16]
        right += crc(stream).to_bytes(4, "little")
        due = right[begin:end].hex(" ") if begin != 12 or size else ""
        found = stream[begin:end].hex(" ") or "not there"
        beside = (
            ", which is right: what is wrong is how it is read"
            if due == found
            else f", expected {due}"
            if due
            else ""
        )
        yield f"look at the header (§6): {place}, {meaning}: {found}{beside}"
