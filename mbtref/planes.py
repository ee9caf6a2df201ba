"""Pictures as padded tensors, and PSNR.

The tensor of a picture is (1, 3, H', W') float32 in [0, 1]. The last column and row are replicated until both
sides are multiples of STRIDE_Z; cropping takes the top left.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref.bitstream import STRIDE_Z
from mbtref.image import Image


def to_tensor(image: Image) -> Tensor:
    """The unpadded tensor of a picture: (H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float().div_(255)


def pad(x: Tensor) -> Tensor:
    """Replicates the last column and row up to multiples of STRIDE_Z. (B, C, H, W) -> (B, C, H', W')."""
    h, w = x.shape[-2:]
    return F.pad(x, (0, -w % STRIDE_Z, 0, -h % STRIDE_Z), mode="replicate")


def to_image(x_hat: Tensor) -> Image:
    """The nearest picture: (3, H, W) float, clamped to [0, 1] -> (H, W, 3) uint8."""
    return x_hat.clamp(0, 1).mul_(255).round_().byte().permute(1, 2, 0).cpu().numpy()


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 MSE. a, b: floats in [0, 1] of one shape. inf if equal."""
    mse = torch.mean((a.double() - b.double()) ** 2).item()
    return -10 * math.log10(mse) if mse > 0 else math.inf
