"""The PSNR that the transforms alone can reach: `python -m training.ceiling FOLDER --model lite`.

Prints the mean PSNR of g_s(g_a(x)), without any rounding, beside that of g_s(round(g_a(x))). If the first
is hardly higher, neither rate nor a better entropy model would help: the M channels of y are too few.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from mbtref import Model, planes
from mbtref.workbench import picturefiles
from mbtref.workbench.arguments import checked, models
from mbtref.workbench.inputs import find_pictures


@torch.no_grad()
def ceiling(model: Model, path: Path) -> tuple[float, float]:
    """PSNR in dB of one picture, unrounded and rounded."""
    x = planes.to_tensor(picturefiles.read(path))
    y = model.networks.g_a(planes.pad(x))

    def psnr(latents: torch.Tensor) -> float:
        x_hat = model.networks.g_s(latents)[..., : x.shape[2], : x.shape[3]]
        return planes.psnr(x_hat.clamp(0, 1), x)

    return psnr(y), psnr(torch.round(y))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="training.ceiling", description="Prints the PSNR that the transforms alone can reach."
    )
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--model", type=checked(models), required=True, help="models or ladders, with commas")
    options = parser.parse_args(arguments)
    pictures = find_pictures([options.pictures])
    print("| model | PSNR, nothing rounded | PSNR, y rounded |\n|---|---:|---:|")
    for wanted in options.model:
        model = wanted.get(None).load()
        figures = torch.tensor([ceiling(model, path) for path in tqdm(pictures, leave=False, disable=None)])
        unrounded, rounded = figures.mean(0).tolist()
        print(f"| {model.name} | {unrounded:.2f} dB | {rounded:.2f} dB |")


if __name__ == "__main__":
    main()
