"""The part of the frozen set that stays when vectors are made again. It doesn't depend on the machine.

- Choices (the seed of a picture, its content), tolerances and margins are found once and then kept.
- A frozen value stays if the new one equals it within its tolerance. So every stage starts from the same bits on
  every machine, and a machine that rounds differently writes the same files.
"""

import io
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.suite.vectors import MANIFEST

Files = Mapping[str, bytes]
"""A whole set: the bytes of every file by its path, with the manifest."""
Entry = Mapping[str, Any]
"""A vector in the manifest."""
BUFFER_HEADER = 32
"""Bytes before the zlib stream of a latent buffer."""


class Frozen:
    """A set that was made earlier, or a part of it.

    files: all but the manifest. pictures: by their names, see the manifest's schema.
    """

    def __init__(self, files: Files, entries: Sequence[Entry], pictures: Mapping[str, Entry]) -> None:
        self.files = files
        self.entries = entries
        self.pictures = pictures
        self._by_id = {entry["id"]: entry for entry in entries}

    def entry(self, vector: str) -> Entry:
        """The entry of this id; empty if the vector is new."""
        return self._by_id.get(vector, {})

    def kept(self, path: str, data: bytes, allowed: float) -> bytes:
        """The frozen bytes of a file if data differs from them by no more than the allowed change; else data."""
        old = self.files.get(path)
        return data if old is None or change(path, old, data) > allowed else old

    def without(self, requirements: Collection[str]) -> "Frozen":
        """The set without the vectors of these requirements and the files that only they use."""
        entries = [entry for entry in self.entries if entry["requirement"] not in requirements]
        if not entries:
            return Frozen({}, (), {})
        gone = paths(self.entries) - paths(entries) - {picture["file"] for picture in self.pictures.values()}
        kept = {path: data for path, data in self.files.items() if path not in gone}
        return Frozen(kept, entries, self.pictures)


def parsed(files: Files) -> Frozen:
    """A whole set, from its files with the manifest; an empty set if there is no manifest."""
    manifest = json.loads(files.get(MANIFEST, '{"vectors": [], "pictures": {}}'))
    rest = {path: data for path, data in files.items() if path != MANIFEST}
    return Frozen(rest, manifest["vectors"], manifest["pictures"])


def paths(entries: Iterable[Entry]) -> set[str]:
    """All files that vectors name."""
    return {path for entry in entries for path in files_of(entry)}


def files_of(entry: Entry) -> list[str]:
    """The files that a vector names."""
    groups = (entry["inputs"], entry.get("expected", {}), entry.get("may_differ", {}))
    return [path for group in groups for path in group.values()]


# How far the contents of two versions of a file differ


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
    return buffer[:BUFFER_HEADER] + zlib.decompress(buffer[BUFFER_HEADER:])


def _json_change(a: object, b: object) -> float:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((_json_change(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(_json_change, a, b), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b)
    return 0.0 if a == b else math.inf
