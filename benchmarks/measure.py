"""Measures one setting, a model, a size and a number of threads, in processes of its own.

Surprises first:

- A machine's speed drifts while it warms up or works for others. So calls that are compared take turns, round by
  round, and each call's median stands for it. A slow call has fewer rounds than a quick one.
- Memory is Linux's own count of a process that makes one call. `getrusage` would begin with what the parent held.
"""

import re
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from benchmarks.calls import COMPARED_UP_TO, COMPRESS, DECODE, DECOMPRESS, ENCODE, Call, CompressAI, all_calls
from mbtref.codec import Encoded, decode, encode, encode_latents
from mbtref.image import Image
from mbtref.model import Model, load

T = TypeVar("T")

FEWEST = 2
"""Rounds that even a slow call has, if so many are asked for."""
PATIENCE = 60.0
"""Seconds that the rounds of one call may take together, beyond FEWEST rounds."""
STATUS, PEAK = Path("/proc/self/status"), re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
"""Where Linux says how much memory this process has held, and the line; some containers leave it out."""
FROM_FILE: dict[str, Callable[[Path, Any], object]] = {
    ENCODE: lambda file, picture: encode(load(file), picture),
    DECODE: lambda file, data: decode(load(file), data),
    COMPRESS: lambda file, picture: CompressAI(file).compress(picture),
    DECOMPRESS: lambda file, strings: CompressAI(file).decompress(strings),
}
"""Whole calls from a model file."""


class Result(NamedTuple):
    """What one setting gave."""

    model: str
    height: int
    width: int
    threads: int
    coded: Mapping[str, float]
    """What the picture became: N, M, bpp, and the shares of `zeros` and `escapes` among the symbols of y."""
    seconds: Mapping[str, float]
    """The median of each call."""
    rounds: Mapping[str, int]
    """How many times each median is of."""
    peak_bytes: Mapping[str, int]
    """The most memory of a process that makes one whole call: Python, PyTorch and the model included."""


def run(name: str, file: Path, picture: Image, threads: int, rounds: int) -> Result:
    """Measures a setting. name, file: the model's. picture: (height, width, 3) uint8.

    Raises BrokenProcessPool if a process is killed, for example because memory ends.
    """
    result = alone(timed, name, file, picture, threads, rounds)
    return result._replace(peak_bytes=peaks(file, picture, threads))


def alone(work: Callable[..., T], *arguments: object) -> T:
    """The result of a function in a new process. Raises BrokenProcessPool if the process is killed."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def timed(name: str, file: Path, picture: Image, threads: int, rounds: int) -> Result:
    """Times all calls of a setting, in turns. Arguments as for `run`."""
    torch.set_num_threads(threads)
    model, (height, width, _) = load(file), picture.shape
    encoded = encode_latents(model, picture)
    with torch.no_grad():
        times = take_turns(all_calls(model, file, picture, encoded), rounds)
    coded = {"N": model.networks.N, "M": model.networks.M, "bpp": 8 * len(encoded.data) / (height * width)}
    medians = {call: statistics.median(row) for call, row in times.items()}
    counts = {call: len(row) for call, row in times.items()}
    return Result(name, height, width, threads, coded | shares(model, encoded), medians, counts, {})


def take_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """The times of each call in seconds, under the same names.

    rounds: how often each is timed, at least 1; fewer times where that passes PATIENCE. Every call runs once
    before the first round: it fills caches, and its time decides how many rounds there are.
    """
    first = {name: seconds(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            if turn < max(FEWEST, int(PATIENCE / first[name])):
                times[name].append(seconds(call))
    return times


def seconds(call: Call) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def shares(model: Model, encoded: Encoded) -> dict[str, float]:
    """The shares of zeros and of escapes, symbols outside their table, among the symbols of y."""
    k, table = np.asarray(encoded.symbols), np.asarray(encoded.indexes)
    k, table = k[table >= model.networks.N], table[table >= model.networks.N]
    offsets = np.array([t.offset for t in model.tables])[table]
    bins = np.array([len(t.cdf) - 2 for t in model.tables])[table]
    escaped = (k < offsets) | (k >= offsets + bins)
    return {"zeros": float((k == 0).mean()), "escapes": float(escaped.mean())}


def peaks(file: Path, picture: Image, threads: int) -> dict[str, int]:
    """`peak_bytes` of a Result; empty where the system doesn't tell. Raises BrokenProcessPool as `alone` does."""
    found: dict[str, int] = {}
    compared = picture.shape[0] * picture.shape[1] <= COMPARED_UP_TO
    if STATUS.exists() and PEAK.search(STATUS.read_text(encoding="ascii")):
        for there, back in ((ENCODE, DECODE), (COMPRESS, DECOMPRESS))[: 1 + compared]:
            found[there], coded = alone(peak, there, file, picture, threads)
            found[back], _ = alone(peak, back, file, coded, threads)
    return found


def peak(name: str, file: Path, given: object, threads: int) -> tuple[int, object]:
    """The most memory that this process has held after a call of FROM_FILE, in bytes, and the call's result."""
    torch.set_num_threads(threads)
    result = FROM_FILE[name](file, given)
    found = PEAK.search(STATUS.read_text(encoding="ascii"))
    assert found, f"{STATUS} has VmHWM in the process above, and not here"
    return 1024 * int(found[1]), result
