"""Compares the times of reproducible and float32 transforms in one run:

    python -m benchmarks.reproducible PICTURE

The models are lite-q4, and N = M = 192 with seeded weights (`seeded`). Times are medians in seconds; the two kinds
take turns.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.calls import Call
from benchmarks.measure import take_turns
from benchmarks.seeded import make
from mbtref import Model, decode, encode, load
from mbtref.image import Image
from mbtref.workbench import picturefiles

ROUNDS = 5


def main(path: Path) -> None:
    """Prints a table of the times. path: a picture."""
    picture = picturefiles.read(path)
    height, width, _ = picture.shape
    print(f"{path.name}, {width}×{height}, {torch.get_num_threads()} threads, medians of up to {ROUNDS} rounds")
    print("| model | | float32 | reproducible | ratio |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        wide = make(192, 192, Path(folder, "N=M=192.safetensors"))
    for model in (load("lite-q4"), wide):
        for name, calls in pairs(model, picture).items():
            timings = take_turns(calls, ROUNDS)
            plain, exact = timings["float32"].median, timings["reproducible"].median
            print(f"| {model.name} | {name} | {plain:.2f} s | {exact:.2f} s | {exact / plain:.1f} |")


def pairs(model: Model, picture: Image) -> dict[str, dict[str, Call]]:
    """Encoding and decoding, each with both kinds of transforms."""
    kinds = {"float32": model, "reproducible": model.made_reproducible()}
    data = encode(model, picture)
    return {
        "encode": {name: partial(encode, kind, picture) for name, kind in kinds.items()},
        "decode": {name: partial(decode, kind, data) for name, kind in kinds.items()},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
