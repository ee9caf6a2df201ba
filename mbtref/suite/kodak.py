"""The 24 Kodak pictures: where they are, and whether they are the right ones.

They aren't part of the project. `data/kodak.json` has the SHA-256 of their pixels, not of their files.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.suite.folders import home

FOLDER_VARIABLE = "MBTREF_KODAK"
HOW_TO_GET = (
    f"run 'mbtref kodak fetch', or set {FOLDER_VARIABLE} to a folder that holds kodim01.png to kodim24.png"
)
MOST_BYTES = 1 << 21
"""Bytes that a file may have. The pixels of a picture have 768 · 512 · 3, and PNG files are smaller."""
PIXELS: Mapping[str, str] = json.loads((Path(__file__).parent / "data" / "kodak.json").read_bytes())[
    "pixels_sha256"
]
"""SHA-256 of the pixels, (H, W, 3) uint8 in C order, of each file name kodim01.png ... kodim24.png."""


def folder() -> Path:
    """The folder of the pictures: MBTREF_KODAK, or the target of 'mbtref kodak fetch'. It may not exist.

    Raises ValueError as `home` does.
    """
    return Path(os.environ.get(FOLDER_VARIABLE) or home() / "kodak")


def pixels(path: Path, name: str) -> npt.NDArray[np.uint8]:
    """The pixels of a file. Raises ValueError if they can't be read, or aren't those of picture `name`."""
    try:
        with PIL.Image.open(path, formats=("PNG",)) as file:
            values: npt.NDArray[np.uint8] = np.array(file.convert("RGB"))
    except Exception as error:  # the reader of a damaged file raises exceptions of many types
        raise ValueError(f"{path.name}: not a picture that can be read: {error}") from error
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    if digest != PIXELS[name]:
        raise ValueError(f"{path.name}: the pixels aren't those of {name}, their SHA-256 is {digest}")
    return values


def pictures() -> list[Path]:
    """The 24 files, checked, in order. If one is missing or wrong, raises ValueError with advice how to get it."""
    here = folder()
    missing = [name for name in PIXELS if not (here / name).is_file()]
    if missing:
        raise ValueError(f"{len(missing)} of the 24 Kodak pictures aren't in {here}: {HOW_TO_GET}")
    for name in PIXELS:
        pixels(here / name, name)
    return [here / name for name in PIXELS]
