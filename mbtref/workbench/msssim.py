"""MS-SSIM of tensors, by pytorch-msssim, which most figures of the field come from.

It is asked in float64. In float32 a variance, as the difference of two means near 1, has an error of some 10^-7.
In flat, bright areas this is a ten-thousandth of the constant beside it, and MS-SSIM is off by as much. The
package's own window is float32, so it gets another one.
"""

from statistics import fmean

import torch
from torch import Tensor

from mbtref.suite.msssim import DEVIATION, RADIUS, SMALLEST_SIDE


def ms_ssim(a: Tensor, b: Tensor) -> float | None:
    """MS-SSIM of two pictures, (1, 3, H, W) floats in [0, 1]: 1 if equal.

    None if a side is shorter than SMALLEST_SIDE. Raises ModuleNotFoundError without pytorch-msssim.
    """
    from pytorch_msssim import ms_ssim as of_batch

    if min(a.shape[2:]) < SMALLEST_SIDE:
        return None
    taps = torch.exp(-(torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) ** 2) / (2 * DEVIATION**2))
    window = (taps / taps.sum()).reshape(1, 1, 1, -1)
    # colour by colour, for a third of the memory
    colours = zip(a.double().split(1, 1), b.double().split(1, 1), strict=True)
    return fmean(of_batch(*pair, data_range=1.0, win=window).item() for pair in colours)
