"""A set of vectors being made: entries of the manifest, and the files that they name."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.suite.generate.frozen import Entry, Frozen, array
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.operations import Value


class Stored(NamedTuple):
    """A value and the file that holds it."""

    path: str
    value: Value

    @property
    def array(self) -> npt.NDArray[Any]:
        assert not isinstance(self.value, bytes), f"{self.path} holds bytes"
        return self.value

    @property
    def data(self) -> bytes:
        assert isinstance(self.value, bytes), f"{self.path} holds an array"
        return self.value


class VectorSet:
    """The new files by path, entries and pictures in order.

    frozen: the set whose files may stay. kodak: the files of the 24 pictures, or none.
    """

    def __init__(self, bench: Bench, frozen: Frozen, kodak: Sequence[Path] = ()) -> None:
        self.bench = bench
        self.frozen = frozen
        self.kodak = kodak
        self.files: dict[str, bytes] = {}
        self.entries: list[Entry] = []
        self.pictures: dict[str, Entry] = {}

    def put(self, path: str, data: bytes, allowed: float = 0.0) -> bytes:
        """Keeps a file, or the frozen one if both differ by the allowed change at most, and returns its bytes.

        A file may be put twice if its bytes are the same.
        """
        kept = self.frozen.kept(path, data, allowed)
        assert self.files.setdefault(path, kept) == kept, f"{path} is made twice, and differs"
        return kept

    def store(self, path: str, value: Value, suffix: str = ".bin", allowed: float = 0.0) -> Stored:
        """Keeps a value, see `put`. path: without suffix; suffix: of bytes, arrays get their own."""
        if isinstance(value, bytes):
            return Stored(path + suffix, self.put(path + suffix, value, allowed))
        suffix, written = (".png", as_png) if value.dtype == np.uint8 else (".npy", as_npy)
        return Stored(path + suffix, array(path + suffix, self.put(path + suffix, written(value), allowed)))

    def stored(self, path: str) -> Stored:
        """A file that was made earlier, in this set or in the frozen one."""
        data = self.files[path] if path in self.files else self.frozen.files[path]
        return Stored(path, data if path.endswith(".mbt") else array(path, data))


def as_npy(array: npt.NDArray[Any]) -> bytes:
    """A .npy file: C order, little-endian."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), allow_pickle=False)
    return buffer.getvalue()


def as_png(picture: npt.NDArray[Any]) -> bytes:
    """A .png file of (H, W, 3) uint8."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
