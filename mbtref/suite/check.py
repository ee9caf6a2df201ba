"""Judges the answer to a golden vector."""

import hashlib
import zlib

import numpy as np

from mbtref.suite import localise
from mbtref.suite.cases import Verdict, attempt, failed
from mbtref.suite.difference import Difference, first_difference
from mbtref.suite.header import field
from mbtref.suite.operations import CLOSED_LOOP, GRID, Value, Values
from mbtref.suite.requirements import limit
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import Vector, read

ZLIB_AT = int(limit("BUFFER-2", "header"))
"""The byte at which the zlib stream of a latent buffer begins."""


def check(subject: Subject, vector: Vector) -> None:
    """Asks a subject the question of a vector. Raises Verdict unless the answer is right."""
    catches = f"catches: {vector.purpose}"
    due = f"refused as {vector.rejected}" if vector.rejected else "taken"
    try:
        answer = attempt(subject, vector.operation, vector.model, vector.inputs)
    except Verdict as verdict:
        verdict.add_note(f"should be {due}\n{catches}")
        raise
    except Rejected as rejected:
        if rejected.kind == vector.rejected:
            return
        wrong = f"{vector.operation}: refused as {rejected.kind}, should be {due}"
        failed("\n".join([wrong, *refusal(subject, vector, rejected.kind), catches]))
    if vector.rejected:
        stream = vector.inputs.get("stream")
        lines = field(stream, vector.rejected) if vector.model and isinstance(stream, bytes) else []
        failed("\n".join([f"{vector.operation}: taken, should be {due}", *lines, catches]))
    expected = vector.expected
    for stage, digest in vector.sha256.items():
        if digest_of(stage, answer[stage]) != digest:
            lines = beside_the_judge(subject, vector, stage, answer)
            failed("\n".join([f"{stage}: its SHA-256 isn't {digest}", *lines, catches]))
    if difference := first_wrong(vector, answer, expected):
        failed("\n".join([str(difference), *stages(subject, vector, difference), catches]), difference.stage)
    for stage, places in vector.may_differ.items():
        if difference := beyond_ties(stage, answer, expected, read(places)):
            failed(f"{difference}\nNone of them is near a rounding tie: g_s isn't right\n{catches}")


def first_wrong(vector: Vector, answer: Values, expected: Values) -> Difference | None:
    """The first difference beyond a tolerance. Likelihoods are compared as they are, then in bits."""
    values, right = comparable(vector, answer), comparable(vector, expected)
    difference = first_difference(values, right, vector.tolerance, vector.operation == CLOSED_LOOP)
    if difference:
        return difference._replace(unit=" (probability)") if difference.stage in vector.bits else difference
    difference = first_difference(in_bits(vector, answer), in_bits(vector, expected), vector.bits)
    return difference and difference._replace(unit=" bits")


def beyond_ties(stage: str, answer: Values, expected: Values, places: Value) -> Difference | None:
    """The first difference of a rounded output beside the places, (n, axes), that are near a rounding tie."""
    near = tuple(np.asarray(places).T)
    value, right = np.array(answer[stage]), np.array(expected[stage])
    value[near] = right[near]
    return first_difference({stage: value}, {stage: right}, {})


def comparable(vector: Vector, values: Values) -> Values:
    """The values to compare. A zlib stream is inflated, since builds of zlib deflate differently."""
    buffer = values.get("buffer")
    if vector.operation != "pack_zlib" or not isinstance(buffer, bytes):
        return values
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(buffer[ZLIB_AT:])
    except zlib.error as error:
        failed(f"buffer[{ZLIB_AT}:] doesn't inflate: {error}")
    if inflater.unused_data or not inflater.eof:
        failed(f"buffer[{ZLIB_AT}:] isn't one whole zlib stream and nothing more")
    return {"buffer": buffer[:ZLIB_AT] + inflated}


def in_bits(vector: Vector, values: Values) -> Values:
    """Likelihoods as bits, -log2. A likelihood of 0 costs inf, which is never within a tolerance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {stage: -np.log2(np.asarray(values[stage], np.float64)) for stage in vector.bits}


def refusal(subject: Subject, vector: Vector, kind: str) -> list[str]:
    """For a stream that was refused: lines about the field or the stage to look at."""
    stream = vector.inputs.get("stream")
    if vector.model is None or not isinstance(stream, bytes):
        return []
    return localise.refused(subject, vector.model, stream, kind)


def stages(subject: Subject, vector: Vector, difference: Difference) -> list[str]:
    """For latents of a closed loop: lines about the single stages on the same picture."""
    model, inputs = str(vector.model), vector.inputs
    if difference.in_other_units:
        return []
    if vector.operation == CLOSED_LOOP:
        forced = {"k_z": inputs["k_z"], "y_hat": vector.expected["y_hat"]}
        return [*localise.first_wrong(difference), *localise.stages(subject, model, forced, None)]
    if vector.operation != "decode" or difference.stage == "image":
        return []
    return localise.decoded(subject, model, bytes(inputs["stream"]), difference)


def beside_the_judge(subject: Subject, vector: Vector, stage: str, answer: Values) -> list[str]:
    """For an output of which only a hash is known: the first difference from what the one-file decoder gives."""
    right = one_file.decode(str(vector.model), bytes(vector.inputs["stream"]))
    difference = first_difference(answer, {stage: right[stage]}, {})
    return [str(difference), *stages(subject, vector, difference)] if difference else []


def grid_units(y_hat: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Latents as int32 grid units, from float32 values. Fails the case if one isn't on the grid."""
    units = np.asarray(y_hat, np.float64) * GRID
    whole = units.clip(-(2**31), 2**31 - 1).astype("<i4")
    if (whole != units).any():
        where = tuple(int(n) for n in np.argwhere(whole != units)[0])
        failed(f"y_hat{list(where)} is {units[where] / GRID}, not a multiple of 1 / {GRID}")
    return whole


def digest_of(stage: str, value: object) -> str:
    """SHA-256 of pixels, or of latents as int32 grid units, little-endian, in C order."""
    whole = np.asarray(value) if stage == "image" else grid_units(value)
    return hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()
