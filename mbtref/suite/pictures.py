"""Pictures that are hard for a codec, made with integers alone: the same on every machine."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Grid: TypeAlias = Any
"""(H, W, 3) int64."""


CONTENTS: Mapping[str, Callable[[Grid, Grid, Grid], Grid]] = {
    "flat": lambda row, column, channel: 90 + 40 * channel + 0 * row,
    "gradient": lambda row, column, channel: 3 * row + 2 * column + 40 * channel,
    "checker": lambda row, column, channel: 255 * ((row + column + channel) % 2),
    "noise": lambda row, column, channel: (row * 7919 + column * 104729 + channel * 1299709) ** 2 >> 7,
    "saturated": lambda row, column, channel: 255 * (row // 8 % 2 ^ channel % 2),
    "one_pixel": lambda row, column, _: 255 * ((row == row.max() // 2) & (column == column.max() // 2)),
}
"""Samples, modulo 256, of their places."""


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
