"""ENCODE: a subject's `.mbt` streams are valid, and as good as the reference's.

An encoder is free: g_a and h_a are float, and a value near a rounding tie may go either way. So the suite
doesn't compare its bytes. It decodes the stream, and compares latents, size and quality.
"""

import numpy as np
import pytest

from mbtref.conformance import judge, vectors
from mbtref.conformance.cases import ask, failed
from mbtref.conformance.pictures import psnr_8bit
from mbtref.conformance.requirements import REQUIREMENTS
from mbtref.conformance.subjects.protocol import Rejected, Subject


def case(picture: vectors.Picture) -> object:
    """A picture as a parameter of pytest."""
    return pytest.param(picture, id=picture.name, marks=pytest.mark.case("ENCODE-1", picture.name))


@pytest.mark.parametrize("picture", [case(picture) for picture in vectors.frozen().pictures])
def test_encode(subject: Subject, picture: vectors.Picture) -> None:
    """A stream decodes to nearly the golden latents, and costs no more than it should."""
    pixels, allowed = vectors.read(picture.file), REQUIREMENTS["ENCODE-1"].limits
    stream = ask(subject, "encode", picture.model, {"image": pixels})["stream"]
    golden = next(v for v in vectors.frozen().vectors if v.id == f"DECODE-1/{picture.model}/{picture.name}")
    size, right = len(golden.inputs["stream"]), golden.expected
    assert isinstance(stream, bytes)
    try:
        decoded = judge.decode(picture.model, stream)
    except Rejected as rejected:
        failed(f"the one-file decoder refuses the stream as {rejected.kind}")
    if np.shape(decoded["image"]) != np.shape(pixels):
        failed(
            f"the stream holds a picture {np.shape(decoded['image'])}, the encoder was given {np.shape(pixels)}"
        )
    share = float(np.mean(np.abs(np.asarray(decoded["y_hat"]) - np.asarray(right["y_hat"])) > 0.5))
    if share > allowed["moved"].value:
        failed(f"{share:.1%} of the latents differ from the reference's, {allowed['moved'].value:.0%} may")
    if abs(len(stream) - size) > allowed["rate"].value * size + allowed["word"].value:
        failed(f"the stream has {len(stream)} bytes, the reference's {size}")
    loss = psnr_8bit(pixels, right["image"]) - psnr_8bit(pixels, decoded["image"])
    if loss > allowed["psnr"].value:
        failed(f"the picture is {loss:.2f} dB worse than the reference's, {allowed['psnr'].value} dB are allowed")
