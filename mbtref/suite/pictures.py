"""Pictures that are hard for a codec, made with integers alone: the same on every machine."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Grid: TypeAlias = Any
"""(H, W, 3) int64."""


def flat(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return 90 + 40 * channels + 0 * rows


def gradient(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return 3 * rows + 2 * columns + 40 * channels


def checker(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return 255 * ((rows + columns + channels) % 2)


def noise(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return (rows * 7919 + columns * 104729 + channels * 1299709) ** 2 >> 7


def saturated(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return 255 * (rows // 8 % 2 ^ channels % 2)


def one_pixel(rows: Grid, columns: Grid, channels: Grid) -> Grid:
    return 255 * ((rows == rows.max() // 2) & (columns == columns.max() // 2))


CONTENTS: Mapping[str, Callable[[Grid, Grid, Grid], Grid]] = {
    f.__name__: f for f in (flat, gradient, checker, noise, saturated, one_pixel)
}


def draw(content: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture (height, width, 3) uint8 of one of CONTENTS."""
    values = CONTENTS[content](*np.indices((height, width, 3))) % 256
    picture: npt.NDArray[np.uint8] = values.astype(np.uint8)
    return picture


def pad(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Replicates the last row and column up to multiples of 64 (specification, §3)."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, -height % 64), (0, -width % 64), (0, 0)), mode="edge")


def tensor(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The padded picture as the networks' input: (3, 64h, 64w) float32 in [0, 1]."""
    x: npt.NDArray[np.float32] = (pad(picture).transpose(2, 0, 1) / np.float32(255)).astype(np.float32)
    return np.ascontiguousarray(x)
