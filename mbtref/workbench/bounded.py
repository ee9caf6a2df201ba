"""Files that are read within bounds: neither a device nor a pipe keeps a command busy or fills the memory."""

import errno
import itertools
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
