"""MS-SSIM with NumPy alone, in float64: Wang, Simoncelli and Bovik, "Multiscale structural similarity for image
quality assessment", Asilomar 2003.

What the paper leaves open is as in pytorch-msssim, which most codecs use. Each colour is measured on its own, and
the mean is taken. The window stays inside the picture. A side of odd length gets a row of zeros in front before it
is halved. float32 wouldn't do: a variance, as the difference of two means near 1, would be off by some 10^-7, and
in flat, bright areas MS-SSIM by 10^-4.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float64]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (section 3.2)."""
RADIUS, DEVIATION = 5, 1.5
"""Of the Gaussian window, in pixels: 11 taps."""
WINDOW = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * DEVIATION**2))
WINDOW /= WINDOW.sum()
C_1, C_2 = 0.01**2, 0.03**2
"""The constants that keep quotients finite, for values in [0, 1]."""
SMALLEST_SIDE = 2 * RADIUS * 2 ** (len(WEIGHTS) - 1) + 1
"""Pixels. On a shorter side the window doesn't fit at the coarsest scale."""


def ms_ssim(a: npt.NDArray[np.floating[Any]], b: npt.NDArray[np.floating[Any]]) -> float | None:
    """MS-SSIM of two pictures, (3, H, W) in [0, 1]: 1 if equal. None if a side is shorter than SMALLEST_SIDE."""
    if min(a.shape[1:]) < SMALLEST_SIDE:
        return None
    channels = zip(a.astype(np.float64), b.astype(np.float64), strict=True)
    return math.fsum(_of_channel(*pair) for pair in channels) / len(a)


def decibels(value: float) -> float:
    """MS-SSIM in dB, -10 log10(1 - MS-SSIM). inf for 1."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def _of_channel(a: Array, b: Array) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS, 1):
        similarity = _similarity(a, b, with_luminance=scale == len(WEIGHTS))
        product *= max(float(similarity.mean()), 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _similarity(a: Array, b: Array, with_luminance: bool) -> Array:
    """At each position of the window: of contrast and structure, and at the coarsest scale of luminance too."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    variances = _blurred(a * a + b * b) - mean_a**2 - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    # c s = (2 cov + C_2) / (var a + var b + C_2)
    similarity: Array = (2 * covariance + C_2) / (variances + C_2)
    if with_luminance:
        # l = (2 mean a · mean b + C_1) / (mean a² + mean b² + C_1)
        similarity *= (2 * mean_a * mean_b + C_1) / (mean_a**2 + mean_b**2 + C_1)
    return similarity


def _blurred(values: Array) -> Array:
    """Means under the window: (H, W) -> (H - 2 RADIUS, W - 2 RADIUS)."""
    rows = sliding_window_view(values, len(WINDOW), axis=0) @ WINDOW
    blurred: Array = sliding_window_view(rows, len(WINDOW), axis=1) @ WINDOW
    return blurred


def _halved(values: Array) -> Array:
    """Means of 2×2 pixels."""
    even = np.pad(values, [(side % 2, 0) for side in values.shape])
    halved: Array = even.reshape(len(even) // 2, 2, -1, 2).mean((1, 3))
    return halved
