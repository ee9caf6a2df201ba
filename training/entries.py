"""What the model card says of each model: its config, its training, its file and its figures on Kodak.

The stem of a config is the model's name everywhere: `LOGS/lite-q4.csv`, `MODELS/lite-q4.safetensors`, "lite-q4" in
the evaluation.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbtref.workbench.records import family
from training.config import Config, read_rounds
from training.log import Row, read

PUBLISHED = {"jpeg": "JPEG", "webp": "WebP", "mbt2018-compressai-cpu": "mbt2018"}
"""The published curves that the card compares with, and their names there."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rates in bpp and PSNR in dB, Kodak means, by rate."""


@dataclass(frozen=True)
class Entry:
    """The data of one model on the card."""

    name: str
    rounds: Sequence[Config]
    log: Sequence[Row]
    """The table of its training."""
    sha256: str
    """Of the model file, in hexadecimal."""
    means: Mapping[str, float]
    """Means over the Kodak pictures, keys as `mbtref eval` names them."""

    @property
    def start(self) -> str:
        """What the first round began from."""
        stem = Path(self.rounds[0].start).stem
        return f"an earlier {stem}" if stem == self.name else stem or "scratch"

    @property
    def point(self) -> tuple[float, float]:
        """Rate in bpp and PSNR in dB of the bitstreams."""
        return self.means["bpp_bitstream"], self.means["psnr_bitstream"]


def read_entry(config: Path, logs: Path, models: Path, evaluation: Mapping[str, Any]) -> Entry:
    """Gathers the data of one config. Raises OSError, or ValueError if something is missing."""
    name = config.stem
    means = next((means for means in evaluation["means"] if means["model"] == name), None)
    if means is None:
        raise ValueError(f"the evaluation has no means of {name}")
    sha256 = hashlib.sha256((models / f"{name}.safetensors").read_bytes()).hexdigest()
    return Entry(name, read_rounds(config), read(logs / f"{name}.csv"), sha256, means)


def read_published(file: Path) -> dict[str, Curve]:
    """The curves of PUBLISHED, by key."""
    curves = json.loads(file.read_text())["curves"]
    return {key: curve(zip(curves[key]["bpp"], curves[key]["psnr-rgb"], strict=True)) for key in PUBLISHED}


def curve(points: Iterable[tuple[float, float]]) -> Curve:
    """Points (bpp, PSNR) as a curve."""
    bpp, psnr = np.transpose(sorted(points))
    return bpp, psnr


def series(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of each series of models by its name, series and entries in the given order."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(family(entry.name)[0], []).append(entry)
    return found
