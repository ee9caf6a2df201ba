"""What the model card says of each model: its config, its training, its file and its figures on Kodak.

The stem of a config is the model's name everywhere: `logs/lite-q4.csv`, `lite-q4.safetensors`, "lite-q4" in the
evaluation.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbtref.workbench.facts import published_curves
from mbtref.workbench.records import family
from training.config import Config, read_rounds
from training.log import Row, read

HERE = Path(__file__).parent
PUBLISHED = {"jpeg": "JPEG", "webp": "WebP", "mbt2018-compressai-cpu": "mbt2018"}
"""The published curves that the card compares with, and their names there."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rates in bpp and PSNR in dB, Kodak means, by rate."""


class Entry(NamedTuple):
    """The data of one model on the card."""

    name: str
    rounds: Sequence[Config]
    log: Sequence[Row]  # the table of its training
    means: Mapping[str, float]  # over the Kodak pictures, keys as `mbtref eval` names them

    @property
    def point(self) -> tuple[float, float]:
        """Rate in bpp and PSNR in dB of the bitstreams."""
        return self.means["bpp_bitstream"], self.means["psnr_bitstream"]


def read_entries(evaluation: Mapping[str, Any]) -> list[Entry]:
    """All models with a config, by name. Raises OSError, or KeyError if the evaluation lacks one."""
    means = {mean["model"]: mean for mean in evaluation["means"]}
    found = []
    for config in sorted(HERE.glob("*-q?.toml")):
        name = config.stem
        found.append(Entry(name, read_rounds(config), read(HERE / f"logs/{name}.csv"), means[name]))
    return found


def read_published() -> dict[str, Curve]:
    """The curves of PUBLISHED, by name."""
    curves = published_curves()
    return {
        name: curve(zip(curves[key]["bpp"], curves[key]["psnr-rgb"], strict=True))
        for key, name in PUBLISHED.items()
    }


def curve(points: Iterable[tuple[float, float]]) -> Curve:
    """Points (bpp, PSNR) as a curve."""
    bpp, psnr = np.transpose(sorted(points))
    return bpp, psnr


def series(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each series of models by its name. entries: sorted by name."""
    return {name: list(models) for name, models in groupby(entries, lambda entry: family(entry.name)[0])}
