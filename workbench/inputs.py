"""From the paths of a command line to the files that are read and written."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of the pictures in a folder."""
STREAMS = (".mbt",)
"""Suffixes of the streams in a folder."""


class Pair(NamedTuple):
    """A file that is read, and the file that is made of it."""

    source: Path
    target: Path


def find(paths: Sequence[Path], suffixes: Sequence[str], what: str) -> list[Path]:
    """The named files, and those in the named folders that have one of the suffixes, sorted by name.

    what: the files' name in an error. Raises ValueError for a path that doesn't exist or a folder without them.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
            if not inside:
                raise ValueError(f"{path}: no {what} in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The named files, and the pictures in the named folders. Errors as for `find`."""
    return find(paths, PICTURES, "pictures")


def find_streams(paths: Sequence[Path]) -> list[Path]:
    """The named files, and the streams in the named folders. Errors as for `find`."""
    return find(paths, STREAMS, "streams")


def pairs(sources: Sequence[Path], folder: Path, suffix: str) -> list[Pair]:
    """Each source with the file of its name and this suffix in a folder, which need not exist.

    Raises ValueError if two sources would make the same file.
    """
    made = [Pair(source, folder / f"{source.stem}{suffix}") for source in sources]
    first: dict[str, Path] = {}
    for source, target in made:
        other = first.setdefault(os.path.normcase(target), source)
        if other is not source:
            raise ValueError(f"{other} and {source} would both become {target}: rename one")
    return made


def overwritten(targets: Iterable[Path], read: Iterable[Path], own: int) -> Path | None:
    """The first target that is also read, in whatever place and by whatever name.

    own: how often each target's own name is among the paths `read`.
    """
    counts = Counter(_identity(path) for path in read if path.is_file())
    return next((path for path in targets if path.is_file() and counts[_identity(path)] > own), None)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
