"""Arrays of the operations as PyTorch's tensors, and back."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]


def batch(array: npt.NDArray[np.generic]) -> Tensor:
    """(C, H, W) -> (1, C, H, W), the same dtype. A copy."""
    return torch.from_numpy(array.copy())[None]


def single(tensor: Tensor) -> F32:
    """(1, C, H, W) float -> (C, H, W) float32."""
    result: F32 = tensor[0].float().cpu().numpy()
    return result
