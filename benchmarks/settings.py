"""One setting of the benchmark: a model, a size and a number of threads. Each has a process of its own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.calls import all_calls
from benchmarks.memory import alone, peaks
from benchmarks.timing import Timing, take_turns
from mbtref.codec import Encoded, encode_latents
from mbtref.image import Image
from mbtref.model import Model, load


class Setting(NamedTuple):
    """What a result is of."""

    model: str
    height: int
    width: int
    threads: int

    def __str__(self) -> str:
        return f"{self.model}, {self.width}×{self.height}, {self.threads} thread{'s' * (self.threads > 1)}"


class Coded(NamedTuple):
    """What the picture became."""

    N: int
    M: int
    bpp: float
    zeros: float
    """The share of zeros among the symbols of y."""
    escapes: float
    """The share of the symbols of y that are outside their table."""


class Result(NamedTuple):
    """What a setting gave."""

    setting: Setting
    coded: Coded
    timings: dict[str, Timing]
    peaks: dict[str, int]
    """See `memory.peaks`."""

    def best(self, names: tuple[str, ...]) -> float | None:
        """The shortest median of these calls, in seconds; None if one wasn't timed."""
        return min(self.timings[n].median for n in names) if self.timings.keys() >= set(names) else None


def run(setting: Setting, file: Path, picture: Image, rounds: int) -> Result:
    """Measures a setting. file: the model's. picture: (height, width, 3) uint8.

    Raises BrokenProcessPool if a process is killed, as for want of memory.
    """
    coded, timings = alone(timed, file, picture, setting.threads, rounds)
    return Result(setting, coded, timings, peaks(file, picture, setting.threads))


def timed(file: Path, picture: Image, threads: int, rounds: int) -> tuple[Coded, dict[str, Timing]]:
    """Times all calls, in turns."""
    torch.set_num_threads(threads)
    model = load(file)
    encoded = encode_latents(model, picture)
    with torch.no_grad():
        timings = take_turns(all_calls(model, file, picture, encoded), rounds)
    bpp = 8 * len(encoded.data) / (picture.shape[0] * picture.shape[1])
    return Coded(model.networks.N, model.networks.M, bpp, *shares(model, encoded)), timings


def shares(model: Model, encoded: Encoded) -> tuple[float, float]:
    """The shares of zeros and of escapes among the symbols of y."""
    k, table = np.asarray(encoded.symbols), np.asarray(encoded.indexes)
    k, table = k[table >= model.networks.N], table[table >= model.networks.N]
    offsets = np.array([t.offset for t in model.tables])[table]
    bins = np.array([len(t.cdf) - 2 for t in model.tables])[table]
    escaped = (k < offsets) | (k >= offsets + bins)
    return float((k == 0).mean()), float(escaped.mean())
