"""Searches pictures near ties for `reproducible`: python -m mbtref.suite.generate.ties MODEL WHAT FIRST LAST

WHAT is y, z or samples. Seeds of square pictures are tried from FIRST to LAST, without the last one. For y and z
one sample of a picture is moved by one level: the gradient of a latent tells which samples may do.
"""

import sys
from collections.abc import Iterable, Iterator

import torch

from mbtref.suite.generate import models, reproducible
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.generate.reproducible import LATENTS, LEVELS, Edit, nearest_latents
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.pictures import tensor

TRIED = 8
"""Latents of a picture that are tried: those nearest to ties."""
ERROR = 1e-6
"""How far what a gradient tells may lie from the truth."""


def edits(bench: Bench, model: str, latent: str, seeds: Iterable[int]) -> Iterator[Edit]:
    """The pictures one latent of which, y or z, has the distance LATENTS from its tie."""
    for seed in seeds:
        pixels = picture(SIZES["square"], seed)
        x = torch.from_numpy(tensor(pixels)).double().requires_grad_()
        distances = reproducible.latents_from_ties(bench, model, x)[latent].flatten()
        for at in distances.abs().argsort()[:TRIED].tolist():
            (gradient,) = torch.autograd.grad(distances[at], x, retain_graph=True)
            for change in (1, -1):
                far = distances[at].detach() + change * gradient / 255
                for channel, row, column in torch.argwhere(far.abs() < ERROR).tolist():
                    edit = Edit(seed, row, column, channel, change)
                    if 0 <= int(pixels[row, column, channel]) + change <= 255 and near(bench, model, latent, edit):
                        yield edit


def near(bench: Bench, model: str, latent: str, edit: Edit) -> bool:
    """Whether the latent nearest to a tie is one of these, y or z, and has the distance LATENTS."""
    nearest = nearest_latents(bench, model, edit.picture())
    return LATENTS[0] < min(nearest.values()) == nearest[latent] < LATENTS[1]


def seeds_of_samples(bench: Bench, model: str, seeds: Iterable[int]) -> Iterator[int]:
    """The pictures in whose stream a sample has the distance LEVELS from its tie, and none is nearer."""
    for seed in seeds:
        stream = bytes(bench.golden.call("encode", model, {"image": picture(SIZES["square"], seed)})["stream"])
        if LEVELS[0] < reproducible.nearest_sample(bench, model, stream) < LEVELS[1]:
            yield seed


if __name__ == "__main__":
    model, what, *ends = sys.argv[1:]
    bench, seeds = Bench(models()), range(*map(int, ends))
    found = seeds_of_samples(bench, model, seeds) if what == "samples" else edits(bench, model, what, seeds)
    for each in found:
        print(each, flush=True)
