"""Pictures to be coded: one that is made, and any picture in any size.

A larger size has more of the same content, not larger content. So times per pixel can be compared between sizes.
"""

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.image import Image

OCTAVES = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Distances between the random values of each octave, in pixels."""
CONTRAST = 16.0
"""Standard deviation of an octave, in levels: the same for all, as in photographs."""
COLOUR = 0.2
"""Contrast of the difference between colour channels, as a share of the contrast that they have in common."""


def clouds(height: int, width: int, seed: int = 0) -> Image:
    """A made picture (height, width, 3) whose spectrum falls like a photograph's."""
    random = np.random.default_rng(seed)

    def field() -> npt.NDArray[np.float64]:
        total = np.zeros((height, width))
        for step in OCTAVES:
            coarse = random.standard_normal((-(-height // step) + 1, -(-width // step) + 1)).astype(np.float32)
            size = (step * coarse.shape[1], step * coarse.shape[0])
            fine = np.asarray(PIL.Image.fromarray(coarse).resize(size))
            total += CONTRAST * fine[:height, :width] / fine.std()
        return total

    grey = field()
    channels = [128 + grey + COLOUR * field() for _ in range(3)]
    return np.stack(channels, -1).round().clip(0, 255).astype(np.uint8)


def sized(picture: Image, height: int, width: int) -> Image:
    """A picture (height, width, 3): the top left of the given one, mirrored at its edges again and again."""
    more = [(0, max(0, side - have)) for side, have in zip((height, width), picture.shape, strict=False)]
    return np.ascontiguousarray(np.pad(picture, (*more, (0, 0)), mode="symmetric")[:height, :width])
