"""Gives a model more channels: `python -m training.widen lite-q6 wider.safetensors --M 128`.

The wide model begins as the narrow one. Its first channels are the narrow model's and take no input from the new
ones, so z, sigma, mu and the picture don't change. The new channels of y carry random features, which cost bits
until training finds a use for them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mbtref import load
from mbtref.making.complete import export
from mbtref.networks import MBT2018
from training.command import refusing
from training.train import initial

PAIRS = {
    ("entropy_parameters.0.weight", 1),  # psi, phi
    ("entropy_parameters.4.weight", 0),  # sigma, mu
    ("entropy_parameters.4.bias", 0),
}
"""The axes of weights along which two tensors follow one another."""
SIGMA = 1.0
"""The bias of the new channels' sigma. Without it, sigma is near 0 and every feature costs many bits."""


@torch.no_grad()
def widen(narrow: MBT2018, N: int, M: int, seed: int) -> MBT2018:
    """A model with N and M channels that begins as the narrow one.

    The weights from a new input to an old output are 0. Those of a new output are PyTorch's initial ones, drawn by
    `seed`. Raises ValueError if N or M is less than before.
    """
    if N < narrow.N or M < narrow.M:
        raise ValueError(f"N={N}, M={M} is narrower than N={narrow.N}, M={narrow.M}: choose at least these")
    wide = initial(N, M, seed)
    transposed = {f"{name}.weight" for name, m in wide.named_modules() if isinstance(m, nn.ConvTranspose2d)}
    state = wide.state_dict()
    state["entropy_parameters.4.bias"][:M] = SIGMA
    for name, old in narrow.state_dict().items():
        new, places = state[name], []
        for axis, length in enumerate(old.shape):
            # the first channels, or the first of each half of a pair
            parts = 2 if (name, axis) in PAIRS else 1
            places.append(torch.arange(new.shape[axis]).reshape(parts, -1)[:, : length // parts].flatten())
        outputs = int(name in transposed)  # the axis
        new.index_fill_(outputs, places[outputs], 0)
        new[torch.meshgrid(*places, indexing="ij")] = old
    return wide


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("training.widen", description="Gives a model more channels.")
    parser.add_argument("narrow", help="the name or the file of a model")
    parser.add_argument("wide", type=Path, help="the model file to write, .safetensors")
    parser.add_argument("--N", type=int, help="channels of the transforms and of z; default: as before")
    parser.add_argument("--M", type=int, help="channels of y; default: as before")
    parser.add_argument("--seed", type=int, default=0, help="of the new weights; default: %(default)s")
    options = parser.parse_args(arguments)
    with refusing(parser):
        narrow = load(options.narrow)
        N, M = options.N or narrow.networks.N, options.M or narrow.networks.M
        wide = widen(narrow.networks, N, M, options.seed).eval().requires_grad_(False)
        export(wide, options.wide, narrow.metadata)


if __name__ == "__main__":
    main()
