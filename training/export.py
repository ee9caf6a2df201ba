"""Writes a model file from a run: `python -m training.export RUN MODEL.safetensors --data PHOTOGRAPHS`.

Takes the averaged weights of `RUN/checkpoint.pt`, ends their training on the closed loop (`closed_loop`), shortens
their mantissas if asked, and makes their integer tables.

A float32 weight has 23 bits of mantissa, and most of them are noise that no archive can compress. With the 10 bits
of a 16-bit float, the archive of a model shrinks to two thirds. Each weight moves by 2⁻¹¹ of itself at most.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mbtref.making.complete import export
from mbtref.networks import MBT2018
from training.closed_loop import STEPS, refine
from training.command import refusing
from training.config import Config
from training.data import read_pictures
from training.train import Training

KEPT = 10
"""Bits of mantissa that are kept, those of a 16-bit float. The exponent stays a float32's: nothing overflows."""


def cut_mantissa(weight: Tensor) -> Tensor:
    """The nearest floats with KEPT bits of mantissa, ties to even. weight: float32, finite, any shape."""
    # weight = significand · 2^exponent, |significand| in [1/2, 1): one bit more than the stored mantissa
    significand, exponent = torch.frexp(weight)
    units = 2 ** (KEPT + 1)
    return torch.ldexp(torch.round(significand * units) / units, exponent)


@torch.no_grad()
def compact(net: MBT2018) -> None:
    """Cuts the mantissas of all weights, and sets to 0 the weights that the mask of the context hides."""
    net.context_prediction.weight *= net.context_prediction.mask
    for parameter in net.parameters():
        parameter.copy_(cut_mantissa(parameter))


def export_run(run: Path, model_file: Path, data: Path, steps: int, small: bool) -> None:
    """Writes the model file of a run, after `steps` steps on the closed loop.

    data: the folder of photographs. small: whether to cut the mantissas. Raises OSError, or ValueError if the
    weights can't be made exact.
    """
    checkpoint = run / "checkpoint.pt"
    config = Config(**torch.load(checkpoint, map_location="cpu", weights_only=True)["config"])
    training = Training(config, torch.device("cpu"))
    training.load(checkpoint)
    net = training.average.eval()
    refine(net, read_pictures(data, config.crop), config, steps)
    if small:
        compact(net)
    export(net, model_file, {"quality": config.quality, "lambda": str(config.lambda_)})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="training.export", description="Writes a run's model file.")
    parser.add_argument("run", type=Path, help="the --out folder of training.train")
    parser.add_argument("model", type=Path, help="the model file to write, .safetensors")
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, .jpg or .png")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps on the closed loop; default: %(default)s")
    parser.add_argument("--compact", action="store_true", help=f"keep {KEPT} bits of mantissa, to compress well")
    options = parser.parse_args(arguments)
    with refusing(parser):
        export_run(options.run, options.model, options.data, options.steps, options.compact)


if __name__ == "__main__":
    main()
