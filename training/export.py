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

from mbtref.making.complete import export
from mbtref.networks import MBT2018
from training.closed_loop import STEPS, refine
from training.command import refusing
from training.config import Config
from training.data import read_pictures
from training.train import Training

KEPT = 10
"""Bits of mantissa that are kept, those of a 16-bit float. The exponent stays a float32's: nothing overflows."""


@torch.no_grad()
def compact(net: MBT2018) -> None:
    """Cuts all weights to the nearest floats with KEPT bits of mantissa, and those that the mask hides to 0."""
    net.context_prediction.weight *= net.context_prediction.mask
    units = 2 ** (KEPT + 1)
    for parameter in net.parameters():
        # significand · 2^exponent, |significand| in [1/2, 1): one bit more than the stored mantissa
        significand, exponent = torch.frexp(parameter)
        parameter.copy_(torch.ldexp(torch.round(significand * units) / units, exponent))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit status: 0, or 2 if a file can't be read or the weights can't be made exact."""
    parser = argparse.ArgumentParser("training.export", description="Writes a run's model file.")
    parser.add_argument("run", type=Path, help="the --out folder of training.train")
    parser.add_argument("model", type=Path, help="the model file to write, .safetensors")
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, .jpg or .png")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps on the closed loop; default: %(default)s")
    parser.add_argument("--compact", action="store_true", help=f"keep {KEPT} bits of mantissa, to compress well")
    options = parser.parse_args(arguments)
    with refusing(parser):
        checkpoint = options.run / "checkpoint.pt"
        config = Config(**torch.load(checkpoint, map_location="cpu", weights_only=True)["config"])
        training = Training(config, torch.device("cpu"))
        training.load(checkpoint)
        net = training.average.eval()
        refine(net, read_pictures(options.data, config.crop), config, options.steps)
        if options.compact:
            compact(net)
        export(net, options.model, {"quality": config.quality, "lambda": str(config.lambda_)})


if __name__ == "__main__":
    main()
