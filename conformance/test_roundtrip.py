"""ROUNDTRIP: a codec agrees with itself, on pictures of any size and content."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtref.suite.cases import WrongAnswer, ask, failed
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import Values
from mbtref.suite.pictures import CONTENTS, draw, pad, tensor
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import frozen

MODELS = tuple(frozen().models)

pictures = given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    content=st.sampled_from(sorted(CONTENTS)),
    model=st.sampled_from(MODELS),
)


def case(requirement: str, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test of this file."""
    return pytest.mark.case(requirement, name)


@case("ROUNDTRIP-1", "size")
@pictures
def test_size(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """A decoded picture has the size of the original."""
    picture = draw(content, height, width)
    blob = ask(subject, "compress", model, {"image": picture})["blob"]
    shape = np.shape(ask(subject, "decompress", model, {"blob": blob})["image"])
    if shape != picture.shape:
        failed(f"a picture {picture.shape} came back as {shape}")


@case("ROUNDTRIP-2", "deterministic")
@pictures
def test_deterministic(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """The same picture gives the same bytes."""
    image = {"image": draw(content, height, width)}
    if ask(subject, "compress", model, image) != ask(subject, "compress", model, image):
        failed("encoding a picture twice gave different bytes")


@case("ROUNDTRIP-3", "both-sides")
@pictures
def test_both_sides(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """The decoder has the latents and the picture that the encoder held."""
    picture = draw(content, height, width)
    held = ask(subject, "reconstruct", model, {"image": picture})
    with compressed(subject, model, picture) as blob:
        decoded = ask(subject, "decompress", model, blob)
        expected = {stage: held[stage] for stage in ("y_hat", "image")}
        if difference := first_difference(decoded, expected, {}):
            failed(f"the decoder hasn't what the encoder held: {difference}")


@case("ROUNDTRIP-4", "padding")
@pictures
def test_padding(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Padding is replication and is cut off again: the padded picture decodes to the same top left."""
    picture = draw(content, height, width)
    with compressed(subject, model, picture) as blob, compressed(subject, model, pad(picture)) as blob_of_padded:
        shown = ask(subject, "decompress", model, blob)
        padded = np.asarray(ask(subject, "decompress", model, blob_of_padded)["image"])
        if difference := first_difference(shown, {"image": padded[:height, :width]}, {}):
            failed(f"the picture depends on whether it was padded before or by the codec: {difference}")


@contextmanager
def compressed(subject: Subject, model: str, picture: npt.NDArray[np.uint8]) -> Iterator[Values]:
    """The blob of a picture. If something is wrong with it, the first thought is that of an answer kept."""
    blob = ask(subject, "compress", model, {"image": picture})
    try:
        yield blob
    except WrongAnswer:
        if ask(subject, "compress", model, {"image": 255 - picture}) == blob:
            failed(
                "compress: the answer is that of an earlier picture: other pixels of this size give these bytes"
            )
        raise


@case("ROUNDTRIP-5", "buffer")
@pictures
def test_buffer(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Latents come out of a buffer as they went in, and decode to the forward pass's picture without drift."""
    forward = ask(subject, "forward", model, {"x": tensor(draw(content, height, width))})
    latents = {name: forward[name] for name in ("y_hat", "z_hat")}
    for form in ("raw", "zlib"):
        unpacked = ask(subject, f"unpack_{form}", None, ask(subject, f"pack_{form}", None, latents))
        packed = {"y_hat": forward["y_hat"], "z": np.trunc(np.asarray(forward["z_hat"]))}
        if difference := first_difference(unpacked, packed, {}):
            failed(f"{difference.stage} of the {form} buffer isn't what was packed: {difference}")
        x_hat = ask(subject, "g_s", model, {"y_hat": unpacked["y_hat"]})
        if difference := first_difference(x_hat, {"x_hat": forward["x_hat"]}, {}):
            failed(f"the {form} buffer decodes with a drift: {difference}")
