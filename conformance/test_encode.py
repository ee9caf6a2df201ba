"""ENCODE: a subject's `.mbt` streams are streams of the format, and as good as the reference's.

An encoder is free: g_a and h_a are float, and a value near a rounding tie may go either way. So its stream is held
to what it must be, decodable by the reference, and to what it costs.
"""

import numpy as np
import pytest

from conformance import vectors
from conformance.cases import ask, failed
from conformance.subjects.protocol import Rejected, Subject
from conformance.subjects.reference import Reference

SYMBOLS = 0.01
"""Share of latents that may differ from the golden ones: those whose rounding is a tie but for the last float
digits, and the ones after them whose context they change."""
RATE = 0.01
"""Relative, of the golden stream's length."""
PSNR = 0.05
"""dB, against the golden stream's picture."""


def case(picture: vectors.Picture) -> object:
    """A picture as a parameter of pytest."""
    return pytest.param(
        picture, id=picture.name, marks=pytest.mark.case("ENCODE-1", picture.name, "encode", "full")
    )


def psnr(picture: object, shown: object) -> float:
    """In dB, of 8-bit pictures."""
    return float(-10 * np.log10(np.mean((np.asarray(picture, float) - np.asarray(shown, float)) ** 2) / 255**2))


@pytest.mark.parametrize("picture", [case(picture) for picture in vectors.frozen().pictures])
def test_encode(subject: Subject, picture: vectors.Picture) -> None:
    """A stream decodes with the reference to nearly the golden latents, and costs no more than it should."""
    pixels = vectors.read(picture.file)
    stream = ask(subject, "encode", picture.model, {"image": pixels})["stream"]
    reference = Reference()
    golden = reference.encode(picture.model, np.asarray(pixels))["stream"]
    assert isinstance(stream, bytes)
    assert isinstance(golden, bytes)
    try:
        found = reference.decode(picture.model, stream)
    except Rejected as rejected:
        failed(f"the reference refuses the stream as {rejected.kind}")
    right = reference.decode(picture.model, golden)
    if np.shape(found["image"]) != np.shape(pixels):
        failed(f"the stream is of a picture {np.shape(found['image'])}, it was given {np.shape(pixels)}")
    share = float(np.mean(np.asarray(found["y_hat"]) != np.asarray(right["y_hat"])))
    if share > SYMBOLS:
        failed(f"{share:.1%} of the latents differ from the reference's, {SYMBOLS:.0%} may")
    if abs(len(stream) - len(golden)) > RATE * len(golden) + 4:
        failed(f"the stream has {len(stream)} bytes, the reference's {len(golden)}")
    loss = psnr(pixels, right["image"]) - psnr(pixels, found["image"])
    if loss > PSNR:
        failed(f"the picture is {loss:.2f} dB worse than the reference's, {PSNR} may be lost")
