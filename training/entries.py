"""What the model card tells of each model: its config, its log, its file and its figures on Kodak.

A config's stem is the name of its model everywhere: `RUNS/lite-q4/log.jsonl`, `MODELS/lite-q4.safetensors`,
"lite-q4" in the evaluation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbtref.workbench.records import family
from training.train import Config, read_config

PUBLISHED = {"jpeg": "JPEG", "webp": "WebP", "mbt2018-compressai-cpu": "mbt2018"}
"""The published curves in the card's comparisons, and their names there."""
Curves = Mapping[str, Mapping[str, Sequence[float]]]
"""Published curves: "bpp" and "psnr-rgb" of each, Kodak means."""


Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """The data of one model on the card."""

    name: str
    config: Config
    log: list[dict[str, float]]
    """The lines of the training's log, at least one."""
    sha256: str
    """Of the model file, in hexadecimal."""
    means: Mapping[str, float]
    """Means over the Kodak pictures, keys as `mbtref eval` names them."""

    @property
    def start(self) -> str:
        """What the training began from."""
        stem = Path(self.config.start).stem
        return f"an earlier {stem}" if stem == self.name else stem or "scratch"

    @property
    def hours(self) -> float:
        """Time of the training, beside whatever else the machine did."""
        return self.log[-1]["seconds"] / 3600


def read_entry(config_file: Path, runs: Path, models: Path, evaluation: Mapping[str, Any]) -> Entry:
    """Gathers the data of one config. Raises OSError, or ValueError if something is missing."""
    name = config_file.stem
    log_file = runs / name / "log.jsonl"
    log = [json.loads(line) for line in log_file.read_text().splitlines()]
    if not log:
        raise ValueError(f"{log_file} is empty")
    for means in evaluation["means"]:
        if means["model"] == name:
            model_file = models / f"{name}.safetensors"
            sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
            return Entry(name, read_config(config_file), log, sha256, means)
    raise ValueError(f"the evaluation has no means of {name}")


def ladders(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of each ladder by its name, ladders and entries in the given order."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(family(entry.name)[0], []).append(entry)
    return found


def points(entries: Sequence[Entry]) -> tuple[Floats, Floats]:
    """Rates in bpp and PSNR in dB of the bitstreams, by rate."""
    bpp, psnr = np.transpose(sorted((e.means["bpp_bitstream"], e.means["psnr_bitstream"]) for e in entries))
    return bpp, psnr


def published(curve: Mapping[str, Sequence[float]]) -> tuple[Floats, Floats]:
    """Rates in bpp and PSNR in dB of a published curve, by rate."""
    order = np.argsort(curve["bpp"])
    return np.asarray(curve["bpp"])[order], np.asarray(curve["psnr-rgb"])[order]
