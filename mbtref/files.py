"""Files that are written whole or not at all; the project's folders, and the folder of downloads."""

import errno
import os
import secrets
from pathlib import Path

HOME_VARIABLE = "MBTREF_HOME"


def write_whole(path: Path, data: bytes) -> None:
    """Writes data beside path, then moves it into place. Follows a link.

    Raises OSError if that fails or path isn't a regular file; path then stays as it was.
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


def project_folder(name: str) -> Path:
    """The folder `conformance` or `vectors`: inside the installed package, or beside it in a clone."""
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name


def home() -> Path:
    """The folder of downloads: MBTREF_HOME, or mbtref in the user's cache folder.

    Raises ValueError if neither exists.
    """
    try:
        return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".cache" / "mbtref")
    except RuntimeError as error:
        raise ValueError(f"there is no home folder: set {HOME_VARIABLE}") from error
