"""Files that are read within bounds, and written whole or not at all."""

import errno
import itertools
import os
import secrets
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mbtref.bitstream import PIXELS_MAX

BYTES_MAX = 16 * PIXELS_MAX
"""Bytes of the largest picture or stream: no format needs more for a pixel, and an endless one ends here."""
BLOCK = 1 << 20
"""Bytes read at a time."""


def read_whole(path: Path) -> bytes:
    """The bytes of a picture or a stream. Raises OSError, also as `check_ends` and `bounded` do."""
    check_ends(path)
    with path.open("rb") as file:
        return bounded(file, path)


def check_ends(path: Path) -> None:
    """Raises OSError for a path to a device, a socket or a named pipe, which may never end, or that isn't there.

    A pipe of the shell, such as `<(...)`, may be read; its links lead to no place.
    """
    path.stat()
    if path.resolve().exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def bounded(file: BinaryIO, path: Path) -> bytes:
    """The rest of a file. path: its name in errors. Raises OSError if there are more than BYTES_MAX bytes."""
    blocks = iter(partial(file.read, BLOCK), b"")
    data = b"".join(itertools.islice(blocks, BYTES_MAX // BLOCK + 1))
    if len(data) > BYTES_MAX:
        raise OSError(errno.EFBIG, f"more than the {BYTES_MAX} bytes of a picture or a stream", str(path))
    return data


def destination(path: Path) -> Path:
    """The file that a path leads to through links; it may be new.

    Raises OSError if this is a loop, or there is anything but a regular file.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return target


def write_whole(path: Path, data: bytes) -> None:
    """Writes data beside path, then moves it into place. Follows a link.

    Raises OSError if that fails, or as `destination` does; path then stays as it was.
    """
    target = destination(path)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
