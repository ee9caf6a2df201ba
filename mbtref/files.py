"""Files that are written whole or not at all."""

import errno
import os
import stat
from pathlib import Path


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
    part = target.with_name(f".{os.urandom(8).hex()}.part")
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
