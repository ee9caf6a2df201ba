"""What goes wrong in the last digits (§§9, 10, 12, 13): float32 where real arithmetic is due, and small constants."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbtref import networks, planes, reproducible
from mbtref.model import Model
from mbtref.networks import MBT2018, PEDESTAL
from mbtref.openloop import likelihoods
from mbtref.reproducible import Normalisation
from mbtref.transforms import Run, Transforms, apply
from mutants.mutant import Change, around, constant, decoder, instead, mutant


def in_float32(part: str, *places: int) -> Change:
    """These layers of g_a, h_a or g_s are the float32 ones in a reproducible model."""

    def wrong(right: Callable[[MBT2018], Transforms], given: MBT2018) -> Transforms:
        made = right(given)
        layers = made._h_a if part == "h_a" else getattr(made, f"_{part}").layers
        for place in places:
            plain = getattr(given, part)[place]
            layers[place + 1] = lambda a, plain=plain: reproducible.channels_last(
                plain(reproducible.channels_first(a).float())
            )
        return made

    return around(reproducible.in_exact_sums, wrong)


def stored_in_float32(inverse: bool) -> Change:
    """beta and gamma are computed in float32, in the GDNs of one transform."""

    def wrong(right: Callable[..., None], self: Normalisation, layer: networks.GDN) -> None:
        if layer.inverse != inverse:
            return right(self, layer)
        gamma = networks.non_negative(layer.gamma, 0.0)
        self.norm = reproducible.Sums(gamma.T, networks.non_negative(layer.beta, networks.BETA_MIN))
        self.inverse = inverse

    return around(Normalisation.__init__, wrong)


def rooted_in_float32(inverse: bool) -> Change:
    """The square root is a float32, in the GDNs of one transform."""

    def wrong(right: Run, self: Normalisation, x: Tensor) -> Tensor:
        if self.inverse != inverse:
            return right(self, x)
        root = self.norm(x * x).float().sqrt().double()
        return x * root if inverse else x / root

    return around(Normalisation.__call__, wrong)


def toward_zero(v: Tensor) -> Tensor:
    """float32, rounded toward zero."""
    near = v.float()
    return torch.where(near.double().abs() > v.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


MUTANTS = (
    # §10: what is rounded to float32, and what isn't
    mutant("y_unrounded", "REPRODUCIBLE-1", "stream", "y isn't rounded to float32",
      instead(Transforms.g_a, lambda self, x, watch: self._g_a(x, watch))),
    mutant("y_rounded_toward_zero", "REPRODUCIBLE-1", "stream", "y is rounded to float32 toward zero",
      instead(Transforms.g_a, lambda self, x, watch: toward_zero(self._g_a(x, watch)))),
    mutant("y_unrounded_for_h_a", "REPRODUCIBLE-1", "stream", "h_a gets y before it is rounded",
      instead(Transforms.g_a, lambda self, x, watch: setattr(self, "y", self._g_a(x, watch)) or self.y.float()),
      around(Transforms.h_a, lambda right, self, y: right(self, self.y))),
    mutant("y_rounded_for_h_a_alone", "REPRODUCIBLE-1", "stream", "y is rounded for h_a, but not for its symbols",
      instead(Transforms.g_a, lambda self, x, watch: self._g_a(x, watch)),
      around(Transforms.h_a, lambda right, self, y: right(self, y.float()))),
    mutant("z_unrounded", "REPRODUCIBLE-1", "stream", "z isn't rounded to float32",
      instead(Transforms.h_a, lambda self, y: apply(self._h_a, y))),
    mutant("z_rounded_toward_zero", "REPRODUCIBLE-1", "stream", "z is rounded to float32 toward zero",
      instead(Transforms.h_a, lambda self, y: toward_zero(apply(self._h_a, y)))),
    mutant("x_in_float64", "REPRODUCIBLE-1", "stream", "samples are divided by 255 in float64",
      around(reproducible.channels_last, lambda right, v:
             right(torch.round(v.double() * 255) / 255 if v.shape[1] == 3 else v))),
    mutant("x_hat_rounded", "REPRODUCIBLE-2", "image", "x_hat is rounded to float32, and multiplied in float64",
      around(planes.to_image, lambda right, x_hat: right(x_hat.float().double()))),
    mutant("levels_in_float32", "REPRODUCIBLE-2", "image", "255 · x_hat is rounded to float32",
      around(planes.to_image, lambda right, x_hat: right((x_hat.clip(0, 1) * 255).float().round().double() / 255))),
    # §10: one operation in float32
    mutant("slope_in_float32", "REPRODUCIBLE-1", "stream", "LeakyReLU's slope is 0.01 as float32",
      around(reproducible.leaky_relu, lambda right, a, slope: right(a, float(np.float32(slope))))),
    mutant("slope_of_h_s", "REPRODUCIBLE-1", "stream", "LeakyReLU's slope is 1311 / 2^17 in h_a",
      around(reproducible.leaky_relu, lambda right, a, slope: right(a, 1311 / 2**17))),
    *(mutant(f"{part}_{place}_in_float32", requirement, output, f"{part}.{place} alone is float32",
        in_float32(part, place))
      for part, requirement, output, places in (
          ("g_a", "REPRODUCIBLE-1", "stream", (0, 1, 5, 6)), ("h_a", "REPRODUCIBLE-1", "stream", (0, 1, 3, 4)),
          ("g_s", "REPRODUCIBLE-2", "image", (0, 1, 5, 6)))
      for place in places),
    *(mutant(f"{part}_{name}_in_float32", requirement, output, f"{what} in the GDNs of {part}", change(inverse))
      for part, requirement, output, inverse in (
          ("g_a", "REPRODUCIBLE-1", "stream", False), ("g_s", "REPRODUCIBLE-2", "image", True))
      for name, what, change in (
          ("roots", "square roots are float32", rooted_in_float32),
          ("parameters", "beta and gamma are computed in float32", stored_in_float32))),
)  # fmt: skip
