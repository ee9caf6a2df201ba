"""A subject reads what it wrote, and refuses what it didn't."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.subjects.protocol import Subject

MODELS = ("lite-q3", "lite-q4", "lite-q5", "lite-q6")
Grid = npt.NDArray[np.int64]
SIDES = st.integers(1, 130)


def flat(rows: Grid, columns: Grid) -> Grid:
    return 0 * rows + 200


def gradient(rows: Grid, columns: Grid) -> Grid:
    return 3 * rows + 2 * columns


def checker(rows: Grid, columns: Grid) -> Grid:
    return 255 * ((rows + columns) % 2)


def noise(rows: Grid, columns: Grid) -> Grid:
    return (rows * 7919 + columns * 104729) ** 2 >> 7


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    height=SIDES,
    width=SIDES,
    content=st.sampled_from([flat, gradient, checker, noise]),
    model=st.sampled_from(MODELS),
)
def test_roundtrip(
    subject: Subject, height: int, width: int, content: Callable[[Grid, Grid], Grid], model: str
) -> None:
    """The decoded picture has the size of the original, and encoding is deterministic."""
    rows, columns, channels = np.indices((height, width, 3))
    image = (content(rows, columns) + 17 * channels).astype(np.uint8)
    data = subject.encode(model, image)
    assert data == subject.encode(model, image), "the same picture gave other bytes"
    assert subject.decode(model, data).shape == image.shape, "the decoded picture has another size"
    latents = subject.decode_latents(model, data)
    assert latents.shape[1:] == (-(-height // 64) * 4, -(-width // 64) * 4), f"y_hat has shape {latents.shape}"


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda data: b"", "truncated"),
        (lambda data: b"PNG" + data[3:], "bad-magic"),
        (lambda data: data[:3] + b"\x02" + data[4:], "unsupported-version"),
        (lambda data: data[:12] + b"\0\0" + data[14:], "bad-dimensions"),
        (lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:], "too-large"),
        (lambda data: data[:-4], "checksum-mismatch"),
        (lambda data: data + bytes(4), "checksum-mismatch"),
    ],
)
def test_rejection(subject: Subject, damage: Callable[[bytes], bytes], kind: str) -> None:
    """A damaged stream is refused, for the right reason."""
    image = np.full((40, 30, 3), 90, np.uint8)
    data = damage(subject.encode("lite-q4", image))
    assert subject.rejects("lite-q4", data) == kind, f"expected {kind}"
