"""MS-SSIM: two implementations with nothing in common, this project's in NumPy and pytorch-msssim, agree."""

import math

import numpy as np
import pytest
import pytorch_msssim
import torch

from mbtref.suite.msssim import SMALLEST_SIDE, decibels, ms_ssim
from mbtref.workbench import msssim
from tests.support import picture


def pair(height: int, width: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture with a flat, white half, and the same in steps of some levels: (1, 3, H, W) float32 in [0, 1]."""
    pixels = picture(height, width).astype(np.int64)
    pixels[: height // 2] = 250
    coarse = np.minimum((pixels + step // 2) // step * step, 255)
    one, other = (torch.from_numpy(v).permute(2, 0, 1)[None].float() / 255 for v in (pixels, coarse))
    return one, other


@pytest.mark.parametrize("step", [2, 16, 80])
@pytest.mark.parametrize(("height", "width"), [(SMALLEST_SIDE, 176), (163, 205), (192, 256)])
def test_two_implementations(height: int, width: int, step: int) -> None:
    """They agree to 1e-11: float64 rounds to 1e-16, a variance takes some ten roundings, and C_2 is 9e-4.

    The package's own window is float32 and sums to 1 within 2^-24. So a variance is off by that, and MS-SSIM by
    2^-24 / C_2 = 7e-5 at most.
    """
    a, b = pair(height, width, step)
    own = ms_ssim(a[0].double().numpy(), b[0].double().numpy())
    shown = msssim.ms_ssim(a, b)
    assert own is not None
    assert shown is not None
    assert 0.5 < own < 1, f"{own}: no test of anything"
    assert shown == pytest.approx(own, abs=1e-11), f"pytorch-msssim says {shown}, NumPy {own}"
    theirs = pytorch_msssim.ms_ssim(a.double(), b.double(), data_range=1.0).item()
    assert theirs == pytest.approx(own, abs=7e-5), f"with its own window pytorch-msssim says {theirs}, not {own}"


def test_a_perfect_copy_and_a_negative() -> None:
    """MS-SSIM is 1 of the same picture, and 0 where structures are opposite on average, never below."""
    a, _ = pair(SMALLEST_SIDE, SMALLEST_SIDE, 1)
    for found in (ms_ssim(a[0].double().numpy(), a[0].double().numpy()), msssim.ms_ssim(a, a)):
        assert found == 1, f"{found} of the same picture"
    for found in (ms_ssim(a[0].double().numpy(), (1 - a[0].double()).numpy()), msssim.ms_ssim(a, 1 - a)):
        assert found == 0, f"{found} of the negative"


def test_a_small_picture_has_none() -> None:
    """One pixel less than the fifth scale needs, on either side, and there is no MS-SSIM."""
    for height, width in ((SMALLEST_SIDE - 1, 200), (200, SMALLEST_SIDE - 1)):
        a, b = pair(height, width, 16)
        assert msssim.ms_ssim(a, b) is None, f"pytorch-msssim at {height}×{width}"
        assert ms_ssim(a[0].double().numpy(), b[0].double().numpy()) is None, f"NumPy at {height}×{width}"


def test_decibels() -> None:
    """0.99 is 20 dB, and a perfect copy infinity."""
    assert decibels(0.99) == pytest.approx(20), f"{decibels(0.99)} dB"
    assert decibels(1.0) == math.inf, f"{decibels(1.0)} dB"
