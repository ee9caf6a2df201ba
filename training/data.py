"""Photographs in memory, and the batch of every step.

A batch is a pure function of (seed, step). So a run can resume without the saved state of a data loader,
and a run on a GPU sees the crops and the noise of a run on the CPU.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbtref.workbench import picturefiles

Pixels = NDArray[np.uint8]


def read_pictures(folder: Path, crop: int) -> list[Pixels]:
    """Reads every .jpg and .png of a folder, in the order of their names.

    Returns arrays (H, W, 3) uint8, RGB. Raises ValueError if there is none, or one can't be read or has a
    side < crop.
    """
    pictures = []
    for path in sorted(p for p in folder.glob("*") if p.suffix in (".jpg", ".png")):
        pictures.append(picturefiles.read(path))
        if min(pictures[-1].shape[:2]) < crop:
            raise ValueError(f"{path} is smaller than a crop of {crop} x {crop} pixels")
    if not pictures:
        raise ValueError(f"no .jpg or .png in the folder {folder}")
    return pictures


def rng_of_step(seed: int, step: int) -> np.random.Generator:
    """The generator of all random numbers in one step: crops first, then noise."""
    return np.random.default_rng((seed, step))


def draw_batch(pictures: Sequence[Pixels], batch: int, crop: int, rng: np.random.Generator) -> Tensor:
    """Random crops in one of the eight orientations of the square: (batch, 3, crop, crop) float32 in [0, 1]."""
    crops = []
    for _ in range(batch):
        picture = pictures[int(rng.integers(len(pictures)))]
        top, left = (rng.integers(side - crop + 1) for side in picture.shape[:2])
        flip_rows, flip_columns, transpose = rng.integers(2, size=3)
        patch = picture[top : top + crop, left : left + crop][:: 1 - 2 * flip_rows, :: 1 - 2 * flip_columns]
        crops.append(patch.transpose(1, 0, 2) if transpose else patch)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
