"""Comparing: whether an answer to a golden vector is right."""

import hashlib
import zlib

import numpy as np

from mbtref.suite.cases import Question, WrongAnswer, ask
from mbtref.suite.difference import Difference, first_difference
from mbtref.suite.operations import CLOSED_LOOP, GRID, MOST, Value, Values
from mbtref.suite.requirements import limit
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector, read

ZLIB_AT = int(limit("BUFFER-2", "header"))
"""The byte at which the zlib stream of a latent buffer begins."""
SIGMA_MIN = np.float32(limit("FLOAT-1", "sigma"))
"""Scales that are smaller count as this one (specification, §13)."""


def check(subject: Subject, vector: Vector) -> None:
    """Asks a subject the question of a vector. Raises Verdict unless the answer is right."""
    asked, due = Question(vector.operation, vector.model, vector.inputs), vector.expected
    came = ask(subject, *asked, rejected=vector.rejected)
    if vector.rejected:
        return
    for stage, digest in vector.sha256.items():
        if digest_of(stage, came[stage]) != digest:
            raise WrongAnswer(f"{stage}: its SHA-256 isn't {digest}", asked, came)
    came, due = (comparable(vector.operation, values) for values in (came, due))
    if difference := first_wrong(vector, came, due):
        raise WrongAnswer(difference, asked, came, due)
    for stage, places in vector.may_differ.items():
        if difference := beyond_ties(stage, came, due, read(places)):
            far = difference._replace(pattern="not near a rounding tie")
            raise WrongAnswer(far, asked, came, due)


def first_wrong(vector: Vector, came: Values, due: Values) -> Difference | None:
    """The first difference beyond a tolerance. Likelihoods are compared as they are, then in bits."""
    difference = first_difference(came, due, vector.tolerance, vector.operation == CLOSED_LOOP)
    if difference:
        return difference._replace(unit=" (probability)") if difference.stage in vector.bits else difference
    difference = first_difference(in_bits(vector, came), in_bits(vector, due), vector.bits)
    return difference and difference._replace(unit=" bits")


def in_bits(vector: Vector, values: Values) -> Values:
    """Likelihoods as bits, -log2. A likelihood of 0 costs inf, which is never within a tolerance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {stage: -np.log2(np.asarray(values[stage], np.float64)) for stage in vector.bits}


def beyond_ties(stage: str, came: Values, due: Values, places: Value) -> Difference | None:
    """The first difference of a rounded output outside the places, (n, axes), that are near a rounding tie."""
    near = tuple(np.asarray(places).T)
    value, right = np.array(came[stage]), np.array(due[stage])
    value[near] = right[near]
    return first_difference({stage: value}, {stage: right}, {})


def comparable(operation: str, answer: Values) -> Values:
    """An answer without what is free: how a zlib stream is deflated, and whether a scale is bounded already."""
    if operation == "parameters" and "sigma" in answer:
        return {**answer, "sigma": np.maximum(answer["sigma"], SIGMA_MIN)}
    if operation != "pack_zlib":
        return answer
    buffer = bytes(answer["buffer"])
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(buffer[ZLIB_AT:], MOST)
    except zlib.error as error:
        raise WrongAnswer(f"buffer[{ZLIB_AT}:] doesn't inflate: {error}") from error
    if inflater.unused_data or not inflater.eof:
        raise WrongAnswer(f"buffer[{ZLIB_AT}:] isn't one whole zlib stream and nothing more")
    return {"buffer": buffer[:ZLIB_AT] + data}


def digest_of(stage: str, value: object) -> str:
    """SHA-256 of pixels, or of latents as int32 grid units, little-endian, in C order."""
    whole = np.asarray(value) if stage == "image" else grid_units(value)
    return hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()


def grid_units(y_hat: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Latents as int32 grid units, from float32 values. Raises WrongAnswer if one isn't on the grid."""
    units = np.asarray(y_hat, np.float64) * GRID
    whole = units.clip(-(2**31), 2**31 - 1).astype("<i4")
    if (whole != units).any():
        where = tuple(int(n) for n in np.argwhere(whole != units)[0])
        raise WrongAnswer(f"y_hat{list(where)} is {units[where] / GRID}, not a multiple of 1 / {GRID}")
    return whole
