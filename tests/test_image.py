"""Pictures as arrays: what is one, how it becomes floats and comes back, what PSNR means."""

import math
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from mbtref import image, planes
from tests.support import picture

RGB = picture(5, 7)
GREY = RGB[..., 0]
OPAQUE = np.full((5, 7), 255, np.uint8)
GIVES = [
    (PIL.Image.fromarray(RGB), "numpy.array(picture.convert('RGB'))", RGB),
    (GREY, "numpy.dstack([picture] * 3)", RGB[..., [0, 0, 0]]),
    (GREY[..., None], "numpy.dstack([picture] * 3)", RGB[..., [0, 0, 0]]),
    (np.dstack([RGB, OPAQUE]), "picture[..., :3]", RGB),
    (RGB.transpose(2, 0, 1), "picture.transpose(1, 2, 0)", RGB),
    ((RGB / 255).astype(np.float32), "(255 * picture).round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.float64), "picture.round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.int16), "picture.round().astype(numpy.uint8)", RGB),
    (RGB.astype(np.uint16) << 8, "(picture >> 8).astype(numpy.uint8)", RGB),
]
"""What isn't a picture, the expression that makes one of it, and the picture."""


@pytest.mark.parametrize(("wrong", "fix", "expected"), GIVES)
def test_the_fix_gives_the_picture(wrong: Any, fix: str, expected: image.Image) -> None:
    """What isn't a picture is refused with an expression that makes one of it."""
    with pytest.raises(ValueError, match="a picture is a uint8 array") as caught:
        image.check(wrong)
    assert fix in str(caught.value), f"no {fix!r} in {caught.value}"
    fixed = eval(fix, {"numpy": np, "picture": wrong})
    image.check(fixed)
    assert np.array_equal(fixed, expected), f"{fix} gives another picture"


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("picture.png", "mbtref.workbench.picturefiles.read"),
        (RGB.tolist(), "a NumPy array"),
        (RGB[None], "encode_batch"),
        (RGB[:0], "no pixels"),
        (RGB[:, :0], "no pixels"),
        (RGB.astype(np.float32) - 1e3, "0 or more"),
        (np.full(RGB.shape, np.nan), "finite"),
        (RGB.astype(np.float32) * 1e3, "scale"),
        (RGB > 9, "aren't numbers"),
    ],
)
def test_the_fix_is_told(wrong: Any, fix: str) -> None:
    """What no expression makes a picture of is refused with what is wrong, or what to do."""
    with pytest.raises(ValueError, match=f"a picture is a uint8 array.*{fix}"):
        image.check(wrong)


def test_psnr_by_hand() -> None:
    """Of four values one is off by 0.1: the mean square is 0.0025, PSNR 26.0206 dB; equal pictures have inf."""
    a, b = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    found = planes.psnr(a, b)
    assert abs(found - 26.020599913279625) < 1e-12, f"{found} dB"
    assert planes.psnr(b, b) == math.inf, "equal pictures differ by nothing"
