"""ROUNDTRIP: a codec agrees with itself, on pictures of any size and content."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtref.conformance.cases import ask, failed
from mbtref.conformance.pictures import CONTENTS, draw, pad, tensor
from mbtref.conformance.subjects.protocol import Subject
from mbtref.conformance.vectors import frozen

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
    image = {"image": draw(content, height, width)}
    held = ask(subject, "reconstruct", model, image)
    decoded = ask(subject, "decompress", model, ask(subject, "compress", model, image))
    for stage in ("y_hat", "image"):
        if not np.array_equal(held[stage], decoded[stage]):
            differ = int(np.sum(np.asarray(held[stage]) != np.asarray(decoded[stage])))
            failed(f"{differ} values of {stage} are not what the encoder held")


@case("ROUNDTRIP-4", "padding")
@pictures
def test_padding(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Padding is replication and is cut off again: the padded picture decodes to the same top left."""
    picture = draw(content, height, width)
    shown, padded = (
        np.asarray(ask(subject, "decompress", model, ask(subject, "compress", model, {"image": p}))["image"])
        for p in (picture, pad(picture))
    )
    if not np.array_equal(shown, padded[:height, :width]):
        differ = int(np.sum(shown != padded[:height, :width]))
        failed(f"{differ} pixels depend on whether the picture was padded before or by the codec")


@case("ROUNDTRIP-5", "buffer")
@pictures
def test_buffer(subject: Subject, height: int, width: int, content: str, model: str) -> None:
    """Latents come out of a buffer as they went in, and decode to the forward pass's picture without drift."""
    forward = ask(subject, "forward", model, {"x": tensor(draw(content, height, width))})
    latents = {name: forward[name] for name in ("y_hat", "z_hat")}
    for form in ("raw", "zlib"):
        unpacked = ask(subject, f"unpack_{form}", None, ask(subject, f"pack_{form}", None, latents))
        if not np.array_equal(unpacked["y_hat"], forward["y_hat"]):
            failed(f"y_hat of the {form} buffer isn't what was packed")
        if not np.array_equal(unpacked["z"], np.trunc(np.asarray(forward["z_hat"]))):
            failed(f"z of the {form} buffer isn't what was packed, truncated")
        x_hat = ask(subject, "g_s", model, {"y_hat": unpacked["y_hat"]})["x_hat"]
        drift = float(np.abs(np.asarray(x_hat) - np.asarray(forward["x_hat"])).max())
        if drift:
            failed(f"the {form} buffer decodes with a drift of {drift:.3g}")
