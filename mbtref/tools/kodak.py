"""The Kodak pictures: where they are, whether they are the right ones, where to get them.

The 24 pictures aren't part of the project. Their pixels are known by SHA-256 (`data/kodak.json`), whatever file
holds them.
"""

import functools
import json
import os
from importlib import resources
from pathlib import Path

from mbtref import image
from mbtref.tools.download import download, home

URL = "http://r0k.us/graphics/kodak/kodak"
"""Rich Franzen's copy of the Kodak Lossless True Color Image Suite."""
FOLDER_VARIABLE = "MBTREF_KODAK"


@functools.cache
def hashes() -> dict[str, str]:
    """SHA-256 of the pixels, (H, W, 3) uint8 in C order, of each file name kodim01.png ... kodim24.png."""
    text = (resources.files("mbtref") / "data" / "kodak.json").read_text()
    found: dict[str, str] = json.loads(text)["pixels_sha256"]
    return found


def folder() -> Path:
    """The folder of the pictures: MBTREF_KODAK, or where `fetch` puts them. It may not exist."""
    return Path(os.environ.get(FOLDER_VARIABLE) or home() / "kodak")


def check(path: Path, name: str) -> None:
    """Raises ValueError if path doesn't hold the pixels of picture `name`."""
    digest = image.sha256(image.read(path))
    if digest != hashes()[name]:
        raise ValueError(f"{path.name}: the pixels aren't those of {name}, their SHA-256 is {digest}")


def pictures() -> list[Path]:
    """The 24 files, in order, checked. Raises ValueError, saying how to get them, if one is missing or wrong."""
    here = folder()
    missing = [name for name in hashes() if not (here / name).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of the 24 Kodak pictures aren't in {here}: run 'mbtref kodak fetch', or set "
            f"{FOLDER_VARIABLE} to a folder that holds kodim01.png to kodim24.png"
        )
    for name in hashes():
        check(here / name, name)
    return [here / name for name in hashes()]


def fetch(target: Path, url: str = URL) -> int:
    """Downloads what target lacks. Returns how many pictures came.

    Raises DownloadError or OSError, and ValueError if a file that is there has other pixels.
    """
    came = 0
    for name in hashes():
        path = target / name
        if path.exists():
            check(path, name)
        else:
            download(f"{url}/{name}", path, functools.partial(check, name=name))
            came += 1
    return came
