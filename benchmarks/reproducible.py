"""Compares the times of reproducible and float32 transforms in one run:

    python -m benchmarks.reproducible PICTURE

The models are lite-q4, and N = M = 192 with seeded weights. Times are medians in
seconds; the two kinds take turns.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mbtref import Model, decode, encode, image, load
from mbtref.model import MBT2018
from mbtref.weights import export

RUNS = 5


def seeded(channels: int) -> Model:
    """An untrained model of N = M channels."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        return export(MBT2018(channels, channels).eval(), Path(folder, f"N=M={channels}.safetensors"), {})


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(path: Path) -> None:
    """Prints a table of the times. path: a picture."""
    picture = image.read(path)
    height, width, _ = picture.shape
    print(f"{path.name}, {width}×{height}, {torch.get_num_threads()} threads, medians of {RUNS} runs")
    print("| model | | float32 | reproducible | ratio |\n|---|---|---:|---:|---:|")
    for model in (load("lite-q4"), seeded(192)):
        kinds = (model, model.made_reproducible())
        data = encode(model, picture)
        calls: dict[str, Callable[[Model], object]] = {
            "encode": lambda kind: encode(kind, picture),
            "decode": lambda kind, data=data: decode(kind, data),  # type: ignore[misc]
        }
        for name, call in calls.items():
            times = [[seconds(lambda: call(kind)) for kind in kinds] for _ in range(RUNS)]  # noqa: B023
            plain, exact = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"| {model.name} | {name} | {plain:.2f} s | {exact:.2f} s | {exact / plain:.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
