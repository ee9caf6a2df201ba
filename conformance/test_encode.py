"""ENCODE: a subject's `.mbt` streams are valid, and cost what the reference's cost.

An encoder is free: g_a and h_a are float, a value near a rounding tie may go either way, and rate may be weighed
against quality. So the suite compares neither bytes nor latents, but what the decoded stream costs.
"""

import pytest

from mbtref.suite.cases import Case, Question, WrongAnswer
from mbtref.suite.figures import encoded, made, shifted, too_dear
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Picture, frozen


def case(picture: Picture) -> object:
    """The case of a picture. Vectors for decoders name what they catch; some are there for encoders."""
    name = f"{picture.model}/{picture.name}"
    purpose = frozen().vector(f"DECODE-1/{name}").purpose
    return Case("ENCODE-1", name, purpose if purpose.startswith("an encoder") else "").of(picture)


@pytest.mark.parametrize("picture", [case(picture) for picture in frozen().pictures])
def test_encode(subject: Subject, picture: Picture) -> None:
    """A stream holds the picture, and costs no more bytes and no more quality than it may."""
    image, due = made(picture)
    came = encoded(subject, picture.model, image)
    if wrong := too_dear(image, came, due):
        asked = Question("encode", picture.model, {"image": image})
        raise WrongAnswer(wrong, asked, {"stream": came["stream"]}, due)


@pytest.mark.case("ENCODE-1", "brightness")
def test_brightness(subject: Subject) -> None:
    """Nearly black and nearly white pictures come out neither darker nor lighter, on average over all models."""
    if wrong := shifted(lambda model, image: encoded(subject, model, image)["image"]):
        raise WrongAnswer(f"{wrong}\nlook at how samples become x: each is divided by 255")
