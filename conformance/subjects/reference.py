"""The reference as a subject."""

import functools

import numpy as np
import numpy.typing as npt

import mbtref
from conformance.subjects.protocol import Image
from mbtref.codec import decode_latents


@functools.cache
def load(model: str) -> mbtref.Model:
    """An embedded model, loaded once."""
    return mbtref.load(model)


class Reference:
    """mbtref itself."""

    def encode(self, model: str, image: Image) -> bytes:
        return mbtref.encode(load(model), image)

    def decode(self, model: str, data: bytes) -> Image:
        return mbtref.decode(load(model), data)

    def decode_latents(self, model: str, data: bytes) -> npt.NDArray[np.float32]:
        latents: npt.NDArray[np.float32] = decode_latents(load(model), [data])[0].numpy()
        return latents

    def rejects(self, model: str, data: bytes) -> str | None:
        try:
            mbtref.decode(load(model), data)
        except mbtref.BitstreamError as error:
            return str(error.kind)
        return None
