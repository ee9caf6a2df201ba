"""What the model card tells of each model: its config, its log, its file and its figures on Kodak.

A config's stem is the name of its model everywhere: `RUNS/lite-q4/log.jsonl`, `MODELS/lite-q4.safetensors`,
"lite-q4" in the evaluation. A model may have had rounds before: lite-q4.toml starts from lite-q4-1, which has a
config and a log of that name.
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
    rounds: Sequence[Config]
    """The configs of all rounds, the first one first."""
    log: list[dict[str, float]]
    """The lines of all rounds' logs, at least one; steps and seconds count on from round to round."""
    sha256: str
    """Of the model file, in hexadecimal."""
    means: Mapping[str, float]
    """Means over the Kodak pictures, keys as `mbtref eval` names them."""

    @property
    def config(self) -> Config:
        """Of the last round."""
        return self.rounds[-1]

    @property
    def start(self) -> str:
        """What the first round began from."""
        stem = Path(self.rounds[0].start).stem
        return f"an earlier {stem}" if stem == self.name else stem or "scratch"

    @property
    def hours(self) -> float:
        """Time of the training, beside whatever else the machine did."""
        return self.log[-1]["seconds"] / 3600


def read_entry(config_file: Path, runs: Path, models: Path, evaluation: Mapping[str, Any]) -> Entry:
    """Gathers the data of one config. Raises OSError, or ValueError if something is missing."""
    name, rounds = config_file.stem, read_rounds(config_file)
    log = joined([read_log(runs / each / "log.jsonl") for each in rounds])
    for means in evaluation["means"]:
        if means["model"] == name:
            model_file = models / f"{name}.safetensors"
            sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
            return Entry(name, list(rounds.values()), log, sha256, means)
    raise ValueError(f"the evaluation has no means of {name}")


def read_rounds(config_file: Path) -> dict[str, Config]:
    """The configs of a model's rounds by their names, the first one first."""
    config = read_config(config_file)
    found = {config_file.stem: config}
    while (before := Path(config.start).stem).startswith(f"{config_file.stem}-"):
        config = read_config(config_file.with_name(f"{before}.toml"))
        found = {before: config, **found}
    return found


def read_log(file: Path) -> list[dict[str, float]]:
    """The lines of a training's log. Raises OSError, or ValueError if there is none."""
    log = [json.loads(line) for line in file.read_text().splitlines()]
    if not log:
        raise ValueError(f"{file} is empty")
    return log


def joined(logs: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, float]]:
    """One log of several, in which steps and seconds count on."""
    lines: list[dict[str, float]] = []
    for log in logs:
        before = lines[-1] if lines else {"step": 0, "seconds": 0}
        lines += [line | {key: before[key] + line[key] for key in ("step", "seconds")} for line in log]
    return lines


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
