"""What the suite asks of an implementation."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


class Subject(Protocol):
    """An implementation of mbt2018. `model` is the name of an embedded model, lite-q3 to lite-q6."""

    def encode(self, model: str, image: Image) -> bytes:
        """The .mbt stream of a picture."""
        ...

    def decode(self, model: str, data: bytes) -> Image:
        """The picture of a .mbt stream, (H, W, 3) uint8."""
        ...

    def decode_latents(self, model: str, data: bytes) -> npt.NDArray[np.float32]:
        """y_hat of a .mbt stream, (M, 4h, 4w) float32."""
        ...

    def rejects(self, model: str, data: bytes) -> str | None:
        """The kind for which a stream is refused, None if it decodes."""
        ...
