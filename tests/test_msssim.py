"""MS-SSIM: this project's in NumPy agrees with pytorch-msssim, with which it has nothing in common."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import pytorch_msssim
import torch

from mbtref.suite.msssim import SMALLEST_SIDE, WINDOW, decibels, ms_ssim
from tests.support import picture

F32 = npt.NDArray[np.float32]


def pair(height: int, width: int, step: int) -> tuple[F32, F32]:
    """A picture with a flat, white half, and the same in steps of some levels: (3, H, W) float32 in [0, 1]."""
    pixels = picture(height, width).astype(np.int64)
    pixels[: height // 2] = 250
    coarse = np.minimum((pixels + step // 2) // step * step, 255)
    one, other = (levels.transpose(2, 0, 1).astype(np.float32) / np.float32(255) for levels in (pixels, coarse))
    return one, other


@pytest.mark.parametrize("step", [2, 16, 80])
@pytest.mark.parametrize(("height", "width"), [(SMALLEST_SIDE, 176), (163, 205), (192, 256)])
def test_two_implementations(height: int, width: int, step: int) -> None:
    """They agree to 1e-11: float64 rounds to 1e-16, a variance takes some ten roundings, and C_2 is 9e-4.

    The package's own window is float32 and sums to 1 within 2^-24. So a variance is off by that, and MS-SSIM by
    2^-24 / C_2 = 7e-5 at most.
    """
    a, b = pair(height, width, step)
    found = ms_ssim(a, b)
    assert found is not None
    assert 0.5 < found < 1, f"{found}: no test of anything"
    tensors = [torch.from_numpy(picture)[None].double() for picture in (a, b)]
    for window, tolerance in (
        (torch.from_numpy(WINDOW).reshape(1, 1, 1, -1).repeat(3, 1, 1, 1), 1e-11),
        (None, 7e-5),
    ):
        due = pytorch_msssim.ms_ssim(*tensors, data_range=1.0, win=window).item()
        assert found == pytest.approx(due, abs=tolerance), f"pytorch-msssim says {due}, NumPy {found}"


def test_a_perfect_copy_and_a_negative() -> None:
    """MS-SSIM is 1 of the same picture, and 0 where structures are opposite on average, never below."""
    a, _ = pair(SMALLEST_SIDE, SMALLEST_SIDE, 1)
    for other, due in ((a, 1), (1 - a, 0)):
        found = ms_ssim(a, other)
        assert found == due, f"{found}, not {due}"


def test_a_small_picture_has_none() -> None:
    """One pixel less than the fifth scale needs, on either side, and there is no MS-SSIM."""
    for height, width in ((SMALLEST_SIDE - 1, 200), (200, SMALLEST_SIDE - 1)):
        assert ms_ssim(*pair(height, width, 16)) is None, f"a value at {height}×{width}"


def test_decibels() -> None:
    """0.99 is 20 dB, and a perfect copy infinity."""
    assert decibels(0.99) == pytest.approx(20), f"{decibels(0.99)} dB"
    assert decibels(1.0) == math.inf, f"{decibels(1.0)} dB"
