"""The PSNR that the transforms alone can reach: `python -m training.ceiling FOLDER --model lite`.

Prints the mean PSNR of g_s(g_a(x)), without any rounding, beside that of g_s(round(g_a(x))). If the first is
hardly higher, neither more rate nor a better entropy model would help: y has too few channels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from tqdm import tqdm

from mbtref import Model, planes
from mbtref.workbench import picturefiles
from training.command import print_table


@torch.no_grad()
def ceiling(model: Model, path: Path) -> tuple[float, float]:
    """PSNR in dB of one picture, unrounded and rounded."""
    x = planes.to_tensor(picturefiles.read(path))
    y = model.networks.g_a(planes.pad(x))

    def psnr(latents: Tensor) -> float:
        x_hat = model.networks.g_s(latents)[..., : x.shape[2], : x.shape[3]]
        return planes.psnr(x_hat.clamp(0, 1), x)

    return psnr(y), psnr(torch.round(y))


def row(model: Model, pictures: Sequence[Path]) -> list[str]:
    """The means over the pictures."""
    figures = [ceiling(model, path) for path in tqdm(pictures, leave=False, disable=None)]
    return [f"{fmean(column):.2f} dB" for column in zip(*figures, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="training.ceiling", description="Prints the PSNR that the transforms alone can reach."
    )
    print_table(parser, ("PSNR, nothing rounded", "PSNR, y rounded"), row, arguments)


if __name__ == "__main__":
    main()
