"""Writes a model file from a run: `python -m training.export RUN MODEL.safetensors --data PHOTOGRAPHS`.

Takes the averaged weights of `RUN/checkpoint.pt`, ends their training on the closed loop (`closed_loop`), cuts
their mantissas if asked (`compact`) and makes their integer tables.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mbtref.making.complete import export
from training.closed_loop import STEPS, refine
from training.compact import KEPT, compact
from training.data import read_pictures
from training.train import Config, Training


def export_run(run: Path, model_file: Path, data: Path, steps: int, small: bool) -> None:
    """Writes the model file of a run, after `steps` steps on the closed loop.

    data: the folder of photographs. small: whether to cut the mantissas. Raises OSError, or ValueError if the
    weights can't be made exact.
    """
    checkpoint = run / "checkpoint.pt"
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)["config"]
    training = Training(Config(**stored), torch.device("cpu"))
    training.load(checkpoint)
    config = training.config
    net = training.average.eval()
    refine(net, read_pictures(data, config.crop), config, steps)
    if small:
        compact(net)
    export(net, model_file, {"quality": config.quality, "lambda": str(config.lambda_)})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 with a line on stderr."""
    parser = argparse.ArgumentParser(prog="training.export", description="Writes a run's model file.")
    parser.add_argument("run", type=Path, help="the --out folder of training.train")
    parser.add_argument("model", type=Path, help="the model file to write, .safetensors")
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, .jpg or .png")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps on the closed loop; default: %(default)s")
    parser.add_argument("--compact", action="store_true", help=f"keep {KEPT} bits of mantissa, to compress well")
    options = parser.parse_args(arguments)
    try:
        export_run(options.run, options.model, options.data, options.steps, options.compact)
    except (OSError, ValueError) as error:
        print(f"training.export: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
