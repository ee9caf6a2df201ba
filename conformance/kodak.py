"""The 24 Kodak pictures. They aren't part of the project: MBTREF_KODAK names their folder, where there is one."""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from conformance import vectors
from conformance.cases import Outcome, Verdict

PIXELS: Mapping[str, str] = json.loads((resources.files("mbtref") / "data" / "kodak.json").read_text())[
    "pixels_sha256"
]
"""SHA-256 of the pixels of each picture, (H, W, 3) uint8 in C order, by the name of its file."""


def picture(name: str) -> npt.NDArray[np.uint8]:
    """The pixels of a Kodak picture, checked. Ends the case as not run if it isn't there."""
    folder = os.environ.get("MBTREF_KODAK")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        raise Verdict(Outcome.NOT_RUN, f"no {name}: set MBTREF_KODAK to its folder, see 'mbtref kodak fetch'")
    with PIL.Image.open(path) as file:
        pixels: npt.NDArray[np.uint8] = np.array(file.convert("RGB"))
    if hashlib.sha256(pixels.tobytes()).hexdigest() != PIXELS[name]:
        raise Verdict(Outcome.NOT_RUN, f"{path} hasn't the pixels of {name}")
    return pixels


def cases(requirement: str, capability: str) -> list[object]:
    """Every picture at every model, a record of kodak.json each, as pytest's parameters."""
    return [
        pytest.param(
            record,
            id=f"{record['model']}-{record['image']}",
            marks=pytest.mark.case(requirement, f"{record['model']}/{record['image']}", capability, "kodak"),
        )
        for record in vectors.frozen().kodak
    ]
