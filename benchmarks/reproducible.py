"""Compares the times of reproducible and float32 transforms in one run:

    python -m benchmarks.reproducible PICTURE

The models are lite-q4, and N = M = 192 with seeded weights (`seeded`). Times are medians in seconds; the two kinds
take turns.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks.measure import take_turns
from benchmarks.seeded import make
from mbtref import decode, encode, load
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
        kinds = {"float32": model, "reproducible": model.made_reproducible()}
        data = encode(model, picture)
        for name, call in (("encode", partial(encode, picture=picture)), ("decode", partial(decode, data=data))):
            times = take_turns({kind: partial(call, kinds[kind]) for kind in kinds}, ROUNDS)
            plain, exact = (median(row) for row in times.values())
            print(f"| {model.name} | {name} | {plain:.2f} s | {exact:.2f} s | {exact / plain:.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
