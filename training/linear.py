"""What M numbers can hold of a block: `python -m training.linear PHOTOGRAPHS KODAK --M 64,128`.

A position of y stands for a block of 16×16 pixels, 768 values. The best linear transform to M numbers and back is
the Karhunen-Loève transform: projection on the M strongest eigenvectors of the blocks' second moments. It is made
from the photographs; the table has its mean PSNR on the other pictures, without rounding. A trained g_a and g_s do
a little better, because they aren't linear and see beyond the block.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbtref.bitstream import STRIDE_Y
from mbtref.workbench import picturefiles
from mbtref.workbench.arguments import checked, count
from mbtref.workbench.inputs import find_pictures
from training.command import refusing

Floats = NDArray[np.float64]


def blocks(path: Path) -> Floats:
    """The whole blocks of a picture: (count, 3 · STRIDE_Y²) float in [0, 1]."""
    pixels = picturefiles.read(path)
    height, width = (side - side % STRIDE_Y for side in pixels.shape[:2])
    grid = pixels[:height, :width].reshape(height // STRIDE_Y, STRIDE_Y, width // STRIDE_Y, STRIDE_Y, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, 3 * STRIDE_Y**2) / 255


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("training.linear")
    parser.add_argument("photographs", type=Path, help="a folder of pictures, for the transform")
    parser.add_argument("pictures", type=Path, help="a folder of other pictures, for the figures")
    counts = checked(lambda text: [count(number) for number in text.split(",")])
    parser.add_argument("--M", type=counts, required=True, help="numbers of channels, separated by commas")
    options = parser.parse_args(arguments)
    with refusing(parser):
        # sum of b bᵀ, the mean not taken off: it is nearly the first eigenvector
        moments = sum(found.T @ found for found in map(blocks, find_pictures([options.photographs])))
        pictures = [blocks(path) for path in find_pictures([options.pictures])]
    strongest_first = np.linalg.eigh(moments).eigenvectors[:, ::-1]
    print("| M | PSNR |\n|---:|---:|")
    for M in options.M:
        basis = strongest_first[:, :M]
        errors = [np.mean((found - found @ basis @ basis.T) ** 2) for found in pictures]
        print(f"| {M} | {np.mean(-10 * np.log10(errors)):.2f} dB |")


if __name__ == "__main__":
    main()
