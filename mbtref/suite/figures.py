"""Comparing: quality and rate of pictures, and what an encoder's stream costs beside the golden one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref.suite.cases import Question, WrongAnswer, ask
from mbtref.suite.msssim import decibels, ms_ssim
from mbtref.suite.operations import Values
from mbtref.suite.requirements import limit
from mbtref.suite.subjects import one_file
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import Picture, frozen, read

BLACK, WHITE = 8, 247
"""Levels as far from the middle, at which nothing is clipped. The text of the limit `shift` names them."""
RATE, PSNR, WORTH = (limit("ENCODE-1", name) for name in ("rate", "psnr", "worth"))
ELSEWHERE = {"y_hat": limit("PORTABLE-1", "latent"), "image": limit("PORTABLE-1", "level")}
"""How far an answer of `decompress` may depart in another process, which may sum in another order."""
REFUSED = "the one-file decoder refuses the stream as {}"
OTHER_SIZE = "the stream holds a picture {}, the encoder was given {}"
U8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]


class Figures(NamedTuple):
    """Figures of a picture, by the names of their limits."""

    psnr: float
    """dB."""
    msssim: float
    """MS-SSIM in dB."""
    rate: float
    """Bits per pixel."""


def figures(image: U8, x_hat: Floats, bits: float) -> Figures:
    """Figures of a Kodak picture, (H, W, 3), that came back as x_hat, (3, H, W) in [0, 1]."""
    x, x_hat = image.transpose(2, 0, 1) / 255, x_hat.astype(np.float64)
    msssim = ms_ssim(x, x_hat)
    assert msssim is not None, "a Kodak picture is large enough"
    return Figures(psnr(x, x_hat), decibels(msssim), bits / x[0].size)


def psnr(x: Floats, x_hat: Floats) -> float:
    """PSNR in dB of two pictures in [0, 1]; infinite if they are equal."""
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.mean((x - x_hat) ** 2)))


def psnr_8bit(image: U8, shown: object) -> float:
    """The same of two uint8 pictures."""
    return psnr(image / 255, np.asarray(shown) / 255)


def off(requirement: str, found: Figures, golden: Figures, limits: str = "") -> str | None:
    """A sentence about the first figure that is beyond the limit of a requirement, or None.

    limits: begins the names of the limits.
    """
    words = ("PSNR", "MS-SSIM in dB", "the rate in bpp")
    for key, name, value, right in zip(Figures._fields, words, found, golden, strict=True):
        tolerance = limit(requirement, limits + key) * (right if key == "rate" else 1)
        if not abs(value - right) <= tolerance:  # NaN isn't
            times = abs(value - right) / tolerance
            return f"{name} is {value:.5f}, expected {right:.5f}: off by {times:.3g} times the tolerance"
    return None


def unlike(image: U8, blob: Values, decoded: Values, golden: Values, limits: str = "") -> str | None:
    """What is wrong with the length or the quality of a round trip beside the golden one, or None.

    blob, decoded: the answers of `compress` and `decompress`. golden: the stream and its image. limits: begins the
    names of the limits.
    """
    if np.shape(decoded["image"]) != image.shape:
        return f"a picture {image.shape} came back as {np.shape(decoded['image'])}"
    size, right_size = len(bytes(blob["blob"])), len(bytes(golden["stream"]))
    found, right = (psnr_8bit(image, values["image"]) for values in (decoded, golden))
    rate, decibel = (limit("ROUNDTRIP-6", limits + name) for name in ("rate", "psnr"))
    if size < right_size:
        rate = max(rate, limit("ROUNDTRIP-6", "saved"))
    most = limit("ROUNDTRIP-6", "bytes") + rate * right_size
    if abs(size - right_size) <= most and abs(found - right) <= decibel:
        return None
    return (
        f"the picture takes {size} bytes and has {found:.2f} dB, the golden stream {right_size} bytes and "
        f"{right:.2f} dB; differences of {most:.0f} bytes and {decibel:g} dB are allowed"
    )


def to_explain(subject: Subject, blob: Values, decoded: Values) -> Values:
    """The answers of a round trip as a message needs them: an exact codec's blob is a stream."""
    return {"stream": blob["blob"], **decoded} if "encode" in subject.capabilities else blob


def made(picture: Picture) -> tuple[U8, Values]:
    """The pixels of a picture of the vectors, and its golden stream with the image in it."""
    golden = frozen().vector(f"DECODE-1/{picture.model}/{picture.name}")
    return np.asarray(read(picture.file), np.uint8), {**golden.inputs, **golden.expected}


def encoded(subject: Subject, model: str, image: U8) -> Values:
    """A subject's stream of a picture, and the image of the same size that the one-file decoder finds in it."""
    asked = Question("encode", model, {"image": image})
    came = ask(subject, *asked)
    try:
        shown = one_file.decode(model, bytes(came["stream"]))["image"]
    except Rejected as rejected:
        raise WrongAnswer(REFUSED.format(rejected), asked, came) from rejected
    if np.shape(shown) != image.shape:
        raise WrongAnswer(OTHER_SIZE.format(np.shape(shown), image.shape), asked, came)
    return {**came, "image": shown}


def too_dear(image: U8, came: Values, golden: Values) -> str | None:
    """What a stream costs beyond the limits, or None.

    came, golden: the streams, and their images, which may be padded.
    """
    height, width, _ = image.shape
    size, right_size = (len(bytes(values["stream"])) for values in (came, golden))
    shown, right = (np.asarray(values["image"])[:height, :width] for values in (came, golden))
    more, loss = size / right_size - 1, psnr_8bit(image, right) - psnr_8bit(image, shown)
    allowed = PSNR + WORTH * 100 * max(0.0, -more)
    if more <= RATE and loss <= allowed:
        return None
    quality = f"{abs(loss):.2f} dB {'worse' if loss > 0 else 'better'}" if round(loss, 2) else "as good"
    return (
        f"the stream has {size} bytes in place of {right_size}, and its picture is {quality}; "
        f"{RATE:.0%} more and {allowed:.2f} dB worse are allowed"
    )


def shifted(shown: Callable[[str, U8], object]) -> str | None:
    """By how much too dark or too light pictures of one level come back, on average over all models, or None.

    shown: gives what becomes of a picture at a model, of its shape.
    """

    def error(model: str, level: int) -> float:
        image = np.full((64, 64, 3), level, np.uint8)
        return float(np.mean(np.asarray(shown(model, image), np.float64) - level))

    black, white = (np.mean([error(model, level) for model in frozen().models]) for level in (BLACK, WHITE))
    shift, allowed = (black + white) / 2, limit("ENCODE-1", "shift")
    if abs(shift) <= allowed:
        return None
    return (
        f"pictures come out {abs(shift):.2f} levels {'darker' if shift < 0 else 'lighter'}, {allowed:g} are "
        f"allowed: {black:+z.2f} where all samples are {BLACK}, {white:+z.2f} where they are {WHITE}"
    )
