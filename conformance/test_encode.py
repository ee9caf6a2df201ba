"""ENCODE: a subject's `.mbt` streams are valid, and cost what the reference's cost.

An encoder is free: g_a and h_a are float, a value near a rounding tie may go either way, and rate may be weighed
against quality. So the suite compares neither bytes nor latents. It decodes the stream, and judges what it costs.
If that is too much, the latents tell where to look.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.suite import localise, vectors
from mbtref.suite.cases import Verdict, ask, failed
from mbtref.suite.header import field, sides
from mbtref.suite.pictures import pad, psnr_8bit
from mbtref.suite.requirements import limit
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject

RATE, PSNR, WORTH, SHIFT = (limit("ENCODE-1", name) for name in ("rate", "psnr", "worth", "shift"))
BLACK, WHITE = 8, 247
"""Levels of nearly black and nearly white pictures, as far from the middle. Nothing is clipped at them."""
MODELS = tuple(vectors.frozen().models)
U8 = npt.NDArray[np.uint8]


class Golden(NamedTuple):
    """A picture and its golden stream."""

    model: str
    pixels: U8
    stream: bytes
    psnr: float
    """Of the picture that the stream gives, in dB."""


def golden(picture: vectors.Picture) -> Golden:
    """The golden stream of a picture of the manifest."""
    vector = next(v for v in vectors.frozen().vectors if v.id == f"DECODE-1/{picture.model}/{picture.name}")
    pixels = np.asarray(vectors.read(picture.file), np.uint8)
    quality = psnr_8bit(pixels, vector.expected["image"])
    return Golden(picture.model, pixels, bytes(vector.inputs["stream"]), quality)


def case(picture: vectors.Picture) -> object:
    """A picture as a parameter of pytest."""
    name = f"{picture.model}/{picture.name}"
    return pytest.param(picture, id=name, marks=pytest.mark.case("ENCODE-1", name))


@pytest.mark.parametrize("picture", [case(picture) for picture in vectors.frozen().pictures])
def test_encode(subject: Subject, picture: vectors.Picture) -> None:
    """A stream holds the picture, and costs no more bytes and no more quality than it may."""
    right = golden(picture)
    stream = encode(subject, right.model, right.pixels)
    shown = decode(right.model, stream)
    if shown.shape != right.pixels.shape:
        failed(f"the stream holds a picture {shown.shape}, the encoder was given {right.pixels.shape}")
    if wrong := too_dear(right, stream, shown):
        where = localise.encoded(right.model, stream, right.stream, *shown.shape[:2])
        failed("\n".join([wrong, *where, *padding(subject, right)]))


@pytest.mark.case("ENCODE-1", "brightness")
def test_brightness(subject: Subject) -> None:
    """Nearly black and nearly white pictures come out neither darker nor lighter, on average over all models."""
    black, white = (np.mean([error(subject, model, level) for model in MODELS]) for level in (BLACK, WHITE))
    shift = (black + white) / 2
    if abs(shift) > SHIFT:
        failed(
            f"pictures come out {abs(shift):.2f} levels {'darker' if shift < 0 else 'lighter'}, {SHIFT:g} are "
            f"allowed: {black:+.2f} where all samples are {BLACK}, {white:+.2f} where they are {WHITE}\n"
            "look at how samples become x: each is divided by 255"
        )


def encode(subject: Subject, model: str, pixels: U8) -> bytes:
    """The subject's stream of a picture."""
    return bytes(ask(subject, "encode", model, {"image": pixels})["stream"])


def decode(model: str, stream: bytes) -> U8:
    """The picture in a stream. Fails the case if the one-file decoder refuses it."""
    try:
        return np.asarray(one_file.decode(model, stream)["image"], np.uint8)
    except Rejected as rejected:
        refused = f"the one-file decoder refuses the stream as {rejected.kind}"
        height, width = sides(stream)
        said = f"its header has a height of {height} and a width of {width}"
        failed("\n".join([refused, *field(stream, rejected.kind), said]))


def too_dear(right: Golden, stream: bytes, shown: U8) -> str | None:
    """What a stream costs beyond the limits, or None. shown: its picture, which may be padded."""
    height, width, _ = right.pixels.shape
    more = len(stream) / len(right.stream) - 1
    loss = right.psnr - psnr_8bit(right.pixels, shown[:height, :width])
    allowed = PSNR + WORTH * 100 * max(0.0, -more)
    if more <= RATE and loss <= allowed:
        return None
    return (
        f"the stream has {len(stream)} bytes, {more:+.1%} against the golden one, and its picture is "
        f"{loss:.2f} dB worse; {RATE:+.0%} and {allowed:.2f} dB are allowed"
    )


def padding(subject: Subject, right: Golden) -> list[str]:
    """For a picture that needs padding: a line that tells whether it is encoded right if it was padded before."""
    padded = pad(right.pixels)
    if padded.shape == right.pixels.shape:
        return []
    try:
        stream = encode(subject, right.model, padded)
        wrong = too_dear(right, stream, decode(right.model, stream))
    except Verdict as verdict:
        wrong = str(verdict)
    if wrong:
        return ["the same picture, padded before it is encoded, is wrong too: it isn't the padding alone"]
    return [f"the same picture, padded before it is encoded, is right: {localise.LOOK_AT_PADDING}"]


def error(subject: Subject, model: str, level: int) -> float:
    """The mean error, in levels, of a picture whose samples are all of one level."""
    pixels = np.full((64, 64, 3), level, np.uint8)
    shown = decode(model, encode(subject, model, pixels))
    return float(np.mean(shown.astype(np.float64) - level))
