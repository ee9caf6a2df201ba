"""Downloads the 24 Kodak pictures, which aren't part of the project."""

import functools
from pathlib import Path

from mbtref.suite.kodak import PIXELS, pixels
from mbtref.workbench.download import download
from mbtref.workbench.names import KODAK_URL


def fetch(target: Path, url: str = KODAK_URL) -> int:
    """Downloads the pictures that the folder target lacks. Returns their number.

    Raises DownloadError or OSError, and ValueError if an existing file has other pixels.
    """
    came = 0
    for name in PIXELS:
        path = target / name
        if path.exists():
            pixels(path, name)
        else:
            download(f"{url}/{name}", path, functools.partial(pixels, name=name))
            came += 1
    return came
