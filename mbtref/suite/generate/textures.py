"""Pictures made by integer arithmetic: the same on every machine, and no photograph is needed."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref.image import Image

Integers = npt.NDArray[np.int64]


class Size(NamedTuple):
    """A size in pixels."""

    height: int
    width: int


SIZES = {
    "square": Size(64, 64), "tall": Size(128, 64), "odd": Size(97, 71),
    "long": Size(64, 320), "high": Size(320, 64),
}  # fmt: skip
"""The pictures of the stages: one hyper-latent, more rows than columns, padding in both directions, and sides that
are longer than tiles or strips of 256 pixels."""

CELLS = {32: 4, 8: 2, 2: 1}
"""Weights of the noise by the side of its cells in pixels: coarse detail is strong, as in photographs."""


def scatter(*keys: Integers | int) -> Integers:
    """A pseudo-random integer in [0, 2^16) for each combination of keys, which broadcast."""
    h: Integers = np.asarray(0)
    for key in keys:
        h = (h ^ np.asarray(key) & 0xFFFFFFFF) * 0x45D9F3B & 0xFFFFFFFF
        h = (h ^ h >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
        h = h ^ h >> 13
    return h >> 16


def noise(rows: Integers, columns: Integers, cell: int, *keys: int) -> Integers:
    """Smooth noise in [0, 256): random at the corners of square cells, bilinear in between."""
    row, column = rows // cell, columns // cell
    down, right = rows % cell, columns % cell

    def corner(i: int, j: int) -> Integers:
        return scatter(row + i, column + j, cell, *keys) >> 8

    above = corner(0, 0) * (cell - right) + corner(0, 1) * right
    below = corner(1, 0) * (cell - right) + corner(1, 1) * right
    return np.asarray((above * (cell - down) + below * down) // cell**2, np.int64)


def picture(size: Size, seed: int) -> Image:
    """Noise at three scales, different in each channel, with one colour beyond a slanted edge. (H, W, 3) uint8."""
    rows, columns = np.indices(size)
    beyond = 3 * rows + 2 * columns > (3 * size.height + 2 * size.width) // 2
    channels = []
    for c in range(3):
        sums = sum(weight * noise(rows, columns, cell, seed, c) for cell, weight in CELLS.items())
        # twice the contrast, around the middle
        level = np.clip(2 * sums // sum(CELLS.values()) - 128, 0, 255)
        channels.append(np.where(beyond, scatter(seed, c) >> 8, level))
    pixels: Image = np.stack(channels, -1).astype(np.uint8)
    return pixels
