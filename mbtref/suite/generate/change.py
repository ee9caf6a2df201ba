"""How far two versions of a file differ in content: values, pixels, latents or figures."""

import io
import json
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

BUFFER_HEADER = 32
"""Bytes before the zlib stream of a latent buffer."""


def change(path: str, old: bytes, new: bytes) -> float:
    """Largest change of a value; 0 if the contents are equal, inf if they can't be compared value by value."""
    if old == new:
        return 0.0
    suffix = path.rpartition(".")[2]
    if suffix in ("npy", "png"):
        return _array_change(array(path, old), array(path, new))
    if suffix == "zlib":
        return 0.0 if _inflated(old) == _inflated(new) else math.inf
    if suffix == "json":
        return _json_change(json.loads(old), json.loads(new))
    return math.inf


def array(path: str, data: bytes) -> npt.NDArray[Any]:
    """The array of a .npy or .png file. data: its bytes."""
    file = io.BytesIO(data)
    values: npt.NDArray[Any] = np.load(file) if path.endswith(".npy") else np.array(PIL.Image.open(file))
    return values


def _array_change(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _inflated(buffer: bytes) -> bytes:
    """A buffer with its zlib stream inflated, since builds of zlib deflate differently."""
    return buffer[:BUFFER_HEADER] + zlib.decompress(buffer[BUFFER_HEADER:])


def _json_change(a: object, b: object) -> float:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((_json_change(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(_json_change, a, b), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b)
    return 0.0 if a == b else math.inf
