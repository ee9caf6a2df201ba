"""Photographs in memory, and the batch of every step.

A batch is a pure function of (seed, step). So a run can resume without the saved state of a data loader,
and a run on a GPU sees the crops and the noise of a run on the CPU.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def read_pictures(folder: Path, crop: int) -> list[Pixels]:
    """Reads every .jpg and .png of a folder, in the order of their names.

    Returns arrays (H, W, 3) uint8, RGB. Raises ValueError if there is none, or if one has a side < crop.
    """
    pictures = []
    for path in sorted(p for p in folder.glob("*") if p.suffix in (".jpg", ".png")):
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")))
        if min(pictures[-1].shape[:2]) < crop:
            raise ValueError(f"{path} is smaller than a crop of {crop} x {crop} pixels")
    if not pictures:
        raise ValueError(f"no .jpg or .png in the folder {folder}")
    return pictures


def rng_of_step(seed: int, step: int) -> np.random.Generator:
    """The generator of all random numbers in one step: crops first, then noise."""
    return np.random.default_rng((seed, step))


def draw_batch(pictures: Sequence[Pixels], batch: int, crop: int, rng: np.random.Generator) -> Pixels:
    """Random crops in one of the eight orientations of the square.

    Returns (batch, crop, crop, 3) uint8.
    """
    return np.stack([_draw_crop(pictures[rng.integers(len(pictures))], crop, rng) for _ in range(batch)])


def _draw_crop(picture: Pixels, crop: int, rng: np.random.Generator) -> Pixels:
    height, width, _ = picture.shape
    top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    patch = picture[top : top + crop, left : left + crop]
    flip_rows, flip_columns, transpose = rng.integers(2, size=3)
    patch = patch[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return patch.transpose(1, 0, 2) if transpose else patch
