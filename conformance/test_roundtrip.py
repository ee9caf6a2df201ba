"""ROUNDTRIP: a codec agrees with itself, on pictures of any size and content, and costs what it should."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbtref.suite.cases import Case, WrongAnswer, ask, round_trip
from mbtref.suite.difference import first_difference
from mbtref.suite.figures import ELSEWHERE, made, shifted, to_explain, unlike
from mbtref.suite.options import anew
from mbtref.suite.pictures import CONTENTS, draw, pad, tensor
from mbtref.suite.search import search
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Picture, frozen

Test = Callable[..., None]
FILLED = "filled"
"""A model that no training gives: the kernel of its context isn't 0 at the taps that must be masked."""


def pictures(test: Test) -> Test:
    """Gives a test pictures of any size and content, and any model."""
    sides, contents, models = st.integers(1, 200), st.sampled_from(sorted(CONTENTS)), tuple(frozen().models)
    drawn = given(height=sides, width=sides, content=contents, model=st.sampled_from(models))(test)
    return search()(example(height=97, width=71, content="noise", model=FILLED)(drawn))


@pytest.mark.case("ROUNDTRIP-1", "size")
@pictures
def test_size(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """A decoded picture has the size of the original."""
    picture = draw(content, height, width)
    _, _, shown = round_trip(subject, model, picture)
    if np.shape(shown["image"]) != picture.shape:
        raise WrongAnswer(f"a picture {picture.shape} came back as {np.shape(shown['image'])}")


@pytest.mark.case("ROUNDTRIP-2", "deterministic")
@pictures
def test_deterministic(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """The same picture gives the same bytes."""
    image = {"image": draw(content, height, width)}
    if ask(subject, "compress", model, image) != ask(subject, "compress", model, image):
        raise WrongAnswer("encoding a picture twice gave different bytes")


@pytest.mark.case("ROUNDTRIP-2", "another-process")
def test_another_process(subject: Subject, pytestconfig: pytest.Config) -> None:
    """So it does in another process, in which it is asked after other pictures, and the bytes are enough there."""
    picture = draw("noise", 97, 71)
    other = picture.copy()
    other[-1, -1] ^= 255
    ways = [way for way in ("compress", "encode") if way == "compress" or "encode" in subject.capabilities]
    questions = [(way, "lite-q3", {"image": image}) for way in ways for image in (picture, other, pad(picture))]
    here = [ask(subject, *question) for question in questions]
    held = ask(subject, "reconstruct", *questions[0][1:])
    with anew(pytestconfig) as fresh:
        decoded = ask(fresh, "decompress", "lite-q3", here[0])
        there = [ask(fresh, *question) for question in questions[::-1]][::-1]
    if here != there:
        what = "of the process, of the time or of earlier pictures"
        raise WrongAnswer(
            f"encoding a picture in another process gave different bytes: they hold something {what}"
        )
    if difference := first_difference(decoded, {stage: held[stage] for stage in ELSEWHERE}, ELSEWHERE):
        what = "the encoder or the decoder keeps something of earlier pictures"
        raise WrongAnswer(f"a decoder in another process and the encoder disagree: {difference}\n{what}")


@pytest.mark.case("ROUNDTRIP-3", "both-sides")
@pictures
def test_both_sides(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """The decoder has the latents and the picture that the encoder held."""
    picture = draw(content, height, width)
    held = ask(subject, "reconstruct", model, {"image": picture})
    asked, blob, decoded = round_trip(subject, model, picture)
    if difference := first_difference(decoded, {stage: held[stage] for stage in ("y_hat", "image")}, {}):
        raise WrongAnswer(f"decoder and encoder disagree: {difference}", asked, blob)


@pytest.mark.case("ROUNDTRIP-4", "padding")
@pictures
def test_padding(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Padding is replication and is cut off again: the padded picture decodes to the same top left."""
    picture = draw(content, height, width)
    asked, blob, shown = round_trip(subject, model, picture)
    _, _, padded = round_trip(subject, model, pad(picture))
    if difference := first_difference(shown, {"image": np.asarray(padded["image"])[:height, :width]}, {}):
        wrong = f"the picture depends on whether it was padded before or by the codec: {difference}"
        raise WrongAnswer(wrong, asked, blob)


@pytest.mark.case("ROUNDTRIP-5", "buffer")
@pictures
def test_buffer(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Latents come out of a buffer as they went in, and decode to the forward pass's picture without drift."""
    forward = ask(subject, "forward", model, {"x": tensor(draw(content, height, width))})
    latents = {name: forward[name] for name in ("y_hat", "z_hat")}
    packed = {"y_hat": forward["y_hat"], "z": np.trunc(np.asarray(forward["z_hat"]))}
    for form in ("raw", "zlib"):
        unpacked = ask(subject, f"unpack_{form}", None, ask(subject, f"pack_{form}", None, latents))
        if difference := first_difference(unpacked, packed, {}):
            raise WrongAnswer(f"{difference.stage} of the {form} buffer isn't what was packed: {difference}")
        x_hat = ask(subject, "g_s", model, {"y_hat": unpacked["y_hat"]})
        if difference := first_difference(x_hat, {"x_hat": forward["x_hat"]}, {}):
            raise WrongAnswer(f"the {form} buffer decodes with a drift: {difference}")


@pytest.mark.parametrize("picture", [Case("ROUNDTRIP-6", f"{p.model}/{p.name}").of(p) for p in frozen().pictures])
def test_cost(subject: Subject, picture: Picture) -> None:
    """A made picture has the rate and the quality of the golden stream, whatever the format."""
    image, golden = made(picture)
    asked, blob, decoded = round_trip(subject, picture.model, image)
    if wrong := unlike(image, blob, decoded, golden):
        raise WrongAnswer(wrong, asked, to_explain(subject, blob, decoded), golden)


@pytest.mark.parametrize(
    "picture", [Case("ROUNDTRIP-6", f"moved/{p.name}").of(p) for p in frozen().pictures if "832" in p.name]
)
def test_cost_of_moved(subject: Subject, picture: Picture, seed: int) -> None:
    """So has, nearly, a picture that stands in no file: a long one, turned around its edges by drawn numbers."""
    image, golden = made(picture)
    shift = np.random.default_rng(seed).integers(1, 64, 2).tolist()
    moved, shown = (np.roll(np.asarray(pixels), shift, (0, 1)) for pixels in (image, golden["image"]))
    asked, blob, decoded = round_trip(subject, picture.model, moved)
    if wrong := unlike(moved, blob, decoded, {**golden, "image": shown}, "moved_"):
        raise WrongAnswer(wrong, asked, to_explain(subject, blob, decoded))


@pytest.mark.case("ROUNDTRIP-6", "brightness")
def test_brightness(subject: Subject) -> None:
    """Nearly black and nearly white pictures come back neither darker nor lighter, on average over all models."""
    if wrong := shifted(lambda model, image: round_trip(subject, model, image)[2]["image"]):
        raise WrongAnswer(f"{wrong}\nlook at how samples become x, and x_hat samples: the nearest level of 255")
