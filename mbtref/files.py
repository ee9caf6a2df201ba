"""Files that are written whole or not at all, and the folder of what is kept between runs."""

import errno
import os
import secrets
from pathlib import Path

HOME_VARIABLE = "MBTREF_HOME"


def write_whole(path: Path, data: bytes) -> None:
    """Writes data beside path, then moves it into place; a link is followed.

    Raises OSError if it can't, or if path is something else than a file; then path is as it was.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
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


def home() -> Path:
    """Where downloads are kept: MBTREF_HOME, or mbtref in the user's cache folder.

    Raises ValueError if there is neither.
    """
    try:
        return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".cache" / "mbtref")
    except RuntimeError as error:
        raise ValueError(f"there is no home folder: set {HOME_VARIABLE}") from error
