"""Files that are read within bounds, and written whole or not at all."""

import errno
import itertools
import os
import secrets
import stat
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mbtref.bitstream import PIXELS_MAX

BYTES_MAX = 16 * PIXELS_MAX
"""Bytes of the largest picture or stream: no format needs more for a pixel, and an endless one ends here."""
BLOCK = 1 << 20


def check_ends(path: Path) -> None:
    """Raises OSError for a path to nothing, or to what may never end: a device, a socket or a named pipe.

    A pipe of the shell, such as `<(...)`, may be read. Its link leads to no place.
    """
    path.stat()
    if path.resolve().exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_whole(path: Path) -> bytes:
    """The bytes of a picture or a stream. Raises OSError, also as `check_ends` and `bounded` do."""
    check_ends(path)
    with path.open("rb") as file:
        return bounded(file, path)


def bounded(file: BinaryIO, path: Path) -> bytes:
    """The rest of a file. path: its name in errors. Raises OSError if there are more than BYTES_MAX bytes."""
    blocks = iter(partial(file.read, BLOCK), b"")
    data = b"".join(itertools.islice(blocks, BYTES_MAX // BLOCK + 1))
    if len(data) > BYTES_MAX:
        raise OSError(errno.EFBIG, f"more than the {BYTES_MAX} bytes of a picture or a stream", str(path))
    return data


def destination(path: Path) -> Path:
    """The file, perhaps new, that a path leads to. Raises OSError for a loop of links and what isn't regular."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not stat.S_ISREG(target.stat().st_mode):
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
