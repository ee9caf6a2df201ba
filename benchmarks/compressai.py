"""CompressAI, from a picture to its strings and back, with the weights of any model file."""

from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from mbtref import planes
from mbtref.bitstream import STRIDE_Z
from mbtref.image import Image
from mbtref.suite.subjects.compressai import compressai


class Strings(NamedTuple):
    """A coded picture."""

    height: int
    width: int
    y: bytes
    z: bytes


class CompressAI:
    """CompressAI's model as its users call it. file: a model file."""

    def __init__(self, file: Path) -> None:
        google = compressai("models.google")
        state = safetensors.torch.load_file(file)
        self._network = google.JointAutoregressiveHierarchicalPriors.from_state_dict(state).eval()
        self._network.update()

    @torch.no_grad()
    def compress(self, picture: Image) -> Strings:
        height, width, _ = picture.shape
        x = planes.pad(planes.to_tensor(picture)).contiguous()  # plane by plane: its decoder begins in this order
        (y,), (z,) = self._network.compress(x)["strings"]
        return Strings(height, width, y, z)

    @torch.no_grad()
    def decompress(self, strings: Strings) -> Image:
        height, width, y, z = strings
        shape = (-(-height // STRIDE_Z), -(-width // STRIDE_Z))
        x_hat: Tensor = self._network.decompress([[y], [z]], shape)["x_hat"]
        return planes.to_image(x_hat[0, :, :height, :width])
