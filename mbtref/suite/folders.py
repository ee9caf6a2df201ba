"""Where the project's folders are: its tests and vectors, and what was downloaded."""

import os
from pathlib import Path

import mbtref

HOME_VARIABLE = "MBTREF_HOME"


def project_folder(name: str) -> Path:
    """The folder `conformance`, `vectors` or `web`: inside the installed package, or beside it in a clone."""
    package = Path(mbtref.__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name


def home() -> Path:
    """The folder of downloads: MBTREF_HOME, or mbtref in the user's cache folder.

    Raises ValueError if neither exists.
    """
    try:
        return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".cache" / "mbtref")
    except RuntimeError as error:
        raise ValueError(f"there is no home folder: set {HOME_VARIABLE}") from error
