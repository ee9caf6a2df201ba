"""A set of vectors, frozen or being made, and how far two versions of a file differ."""

import io
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.suite.check import ZLIB_AT
from mbtref.suite.vectors import MANIFEST

Files = Mapping[str, bytes]
"""A whole set: the bytes of every file by its path, with the manifest."""
Entry = Mapping[str, Any]
"""A vector in the manifest."""


@dataclass
class VectorSet:
    """A set, or a part of it. Pictures are named as in the manifest; it isn't one of the files."""

    files: dict[str, bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    pictures: dict[str, Entry] = field(default_factory=dict)

    def without(self, requirements: Collection[str]) -> "VectorSet":
        """The set without the vectors of these requirements and the files that only they use."""
        entries = [entry for entry in self.entries if entry["requirement"] not in requirements]
        if not entries:
            return VectorSet()
        gone = paths(self.entries) - paths(entries) - {picture["file"] for picture in self.pictures.values()}
        files = {path: data for path, data in self.files.items() if path not in gone}
        return VectorSet(files, entries, self.pictures)


def parsed(files: Files) -> VectorSet:
    """A whole set, from its files with the manifest; an empty set if there is no manifest."""
    manifest = json.loads(files.get(MANIFEST, '{"vectors": [], "pictures": {}}'))
    rest = {path: data for path, data in files.items() if path != MANIFEST}
    return VectorSet(rest, manifest["vectors"], manifest["pictures"])


def paths(entries: Iterable[Entry]) -> set[str]:
    """All files that vectors name."""
    parts = ("inputs", "expected", "may_differ")
    return {path for entry in entries for part in parts for path in entry.get(part, {}).values()}


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
    """The array in the bytes of a .npy or .png file."""
    file = io.BytesIO(data)
    values: npt.NDArray[Any] = np.load(file) if path.endswith(".npy") else np.array(PIL.Image.open(file))
    return values


def _array_change(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _inflated(buffer: bytes) -> bytes:
    """A buffer with its zlib stream inflated, since builds of zlib deflate differently."""
    return buffer[:ZLIB_AT] + zlib.decompress(buffer[ZLIB_AT:])


def _json_change(a: object, b: object) -> float:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((_json_change(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(_json_change, a, b), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b)
    return 0.0 if a == b else math.inf
