"""Compares the times of reproducible and float32 transforms, and of pictures coded together, in one run:

    python -m benchmarks.reproducible PICTURE [DEVICE]

The models are lite-q4, and N = M = 192 with seeded weights (`seeded`). Times are medians of a picture in seconds;
the kinds take turns.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.calls import BATCH
from benchmarks.measure import take_turns
from benchmarks.seeded import make
from mbtref import decode_batch, encode_batch, load
from mbtref.devices import usable
from mbtref.workbench import picturefiles
from mbtref.workbench.machine import setting

ROUNDS = 5


def main(path: Path, device: str = "cpu") -> None:
    """Prints a table of the times. path: a picture. device: as for `mbtref.load`."""
    picture = picturefiles.read(path)
    height, width, _ = picture.shape
    print(f"{path.name}, {width}×{height}, {setting(usable(device))}, medians of up to {ROUNDS} rounds")
    print(f"| model | | float32 | {BATCH} together | reproducible | ratio |\n|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder, "N=M=192.safetensors")
        make(192, 192, wide)
        models = [load(name, device=device) for name in ("lite-q4", wide)]
    for model in models:
        exact, (data,) = model.made_reproducible(), encode_batch(model, [picture])
        codes: list[tuple[Callable[..., object], object]] = [(encode_batch, picture), (decode_batch, data)]
        for name, (code, given) in zip(("encode", "decode"), codes, strict=True):
            kinds = {"one": (model, 1), "batch": (model, BATCH), "exact": (exact, 1)}
            times = take_turns({key: partial(code, m, [given] * n) for key, (m, n) in kinds.items()}, ROUNDS)
            one, batch, slow = (median(row) for row in times.values())
            print(f"| {model.name} | {name} | {one:.3f} | {batch / BATCH:.3f} | {slow:.3f} | {slow / one:.1f} |")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except ValueError as error:
        sys.exit(str(error))
