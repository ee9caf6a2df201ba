"""From the paths of a command line to the files that are read and written.

The word `-` stands for standard input or standard output. It becomes the path `STDIN` or `STDOUT`, which only
`read_bytes` and `write` know. `./-` is a file.
"""

import functools
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mbtref.files import write_whole
from mbtref.workbench.bounded import bounded, read_whole

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of the pictures in a folder."""
STREAMS = (".mbt",)
"""Suffixes of the streams in a folder."""
STDIN = Path("<stdin>")
"""Stands for standard input."""
STDOUT = Path("<stdout>")
"""Stands for standard output."""


class Pair(NamedTuple):
    """A file that is read, and the file that is made of it."""

    source: Path
    target: Path


def read_bytes(path: Path) -> bytes:
    """The bytes of a file or of standard input. Errors as for `read_whole`; ValueError if this was closed."""
    if path != STDIN:
        return read_whole(path)
    if sys.__stdin__ is None:
        raise ValueError("standard input is closed: name a file")
    return bounded(sys.stdin.buffer, path)


def write(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, or to standard output.

    Raises OSError, or ValueError if this is a terminal or was closed.
    """
    if path != STDOUT:
        write_whole(path, data)
    elif sys.stdout.isatty() or sys.__stdout__ is None:
        what = "a terminal" if sys.stdout.isatty() else "closed"
        raise ValueError(f"standard output is {what}: name a file, or send it to a file or a program")
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def find(paths: Sequence[Path], suffixes: Sequence[str], what: str) -> list[Path]:
    """The named files, and those in the named folders that have one of the suffixes, sorted by name.

    what: the files' name in an error. Raises ValueError for a path that doesn't exist or a folder without them.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
            if not inside:
                deeper = ", and its subfolders aren't searched" if subfolders([path]) else ""
                raise ValueError(f"{path}: no {what} in this folder{deeper}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def subfolders(paths: Iterable[Path]) -> list[Path]:
    """The folders inside the named folders, which `find` skips; without hidden ones."""
    inside = (path for folder in paths if folder.is_dir() for path in sorted(folder.iterdir()))
    return [path for path in inside if path.is_dir() and not path.name.startswith(".")]


find_pictures = functools.partial(find, suffixes=PICTURES, what="pictures")
find_streams = functools.partial(find, suffixes=STREAMS, what="streams")


def pairs(sources: Sequence[Path], folder: Path, suffix: str) -> list[Pair]:
    """Each source with the file of its name and this suffix in a folder, which need not exist.

    Raises ValueError if two sources would make the same file.
    """
    made = [Pair(source, folder / f"{source.stem}{suffix}") for source in sources]
    first: dict[str, Path] = {}
    for source, target in made:
        other = first.setdefault(str(target).casefold(), source)  # one file on some systems
        if other is not source:
            raise ValueError(f"{other} and {source} would both become {target}: rename one")
    return made


def overwritten(targets: Iterable[Path], read: Iterable[Path]) -> Path | None:
    """The first target that is also read, by whatever name."""
    inputs = set(map(_identity, read)) - {None}
    return next((path for path in targets if _identity(path) in inputs), None)


def _identity(path: Path) -> tuple[int, int] | None:
    """What all names of a file have in common; None if there is no regular file."""
    try:
        status = os.stat(0 if path == STDIN else path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
