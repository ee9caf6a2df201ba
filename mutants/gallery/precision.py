"""What goes wrong in the last digits (§§9, 10, 12, 13): float32 in place of real arithmetic, small constants."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mbtref import networks, planes, reproducible
from mbtref.networks import MBT2018, PEDESTAL
from mbtref.openloop import likelihoods
from mbtref.progress import Watch
from mbtref.reproducible import Normalisation
from mbtref.surroundings import convolve
from mbtref.transforms import Run, Transforms, apply
from mutants.gallery.pictures import built
from mutants.mutant import Change, around, constant, instead, mutant


def in_float32(part: str, place: int) -> Change:
    """This layer of g_a, h_a or g_s is the float32 one in a reproducible model."""

    def wrong(right: Callable[[MBT2018], Transforms], given: MBT2018) -> Transforms:
        made, plain = right(given), getattr(given, part)[place]
        layers: Any = made._h_a if part == "h_a" else getattr(made, f"_{part}").layers
        # the first one changes the order in memory
        layers[place + 1] = lambda a: reproducible.channels_last(plain(reproducible.channels_first(a).float()))
        return made

    return around(reproducible.in_exact_sums, wrong)


def stored_in_float32(inverse: bool) -> Change:
    """beta and gamma are computed in float32, in the GDNs of one transform."""

    def wrong(right: Callable[..., None], self: Normalisation, layer: networks.GDN) -> None:
        right(self, layer)
        if layer.inverse == inverse:
            gamma = networks.non_negative(layer.gamma.float(), 0.0)
            beta = networks.non_negative(layer.beta.float(), networks.BETA_MIN)
            self.norm = reproducible.Sums(gamma.T, beta)

    return around(Normalisation.__init__, wrong)


def rooted_in_float32(inverse: bool) -> Change:
    """The square root is a float32, in the GDNs of one transform."""

    def wrong(right: Callable[..., Tensor], self: Normalisation, x: Tensor) -> Tensor:
        if self.inverse != inverse:
            return right(self, x)
        root = self.norm(x * x).float().sqrt().double()
        return x * root if inverse else x / root

    return around(Normalisation.__call__, wrong)


def rounded_late(self: Any, x: Tensor, watch: Watch) -> Tensor:
    """g_a, which keeps y before it is rounded."""
    self.y = self._g_a(x, watch)
    return torch.as_tensor(self.y).float()


def toward_zero(v: Tensor) -> Tensor:
    """float32, rounded toward zero."""
    near = v.float()
    return torch.where(near.double().abs() > v.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


def gdn(root: Run = torch.sqrt, square: Run = torch.square) -> Change:
    """GDNs with another square root, or another square."""

    def forward(self: networks.GDN, x: Tensor) -> Tensor:
        beta, gamma = networks.non_negative(self.beta, networks.BETA_MIN), networks.non_negative(self.gamma, 0.0)
        norm = root(convolve(square(x), gamma[:, :, None, None], beta, 1, 0))
        return x * norm if self.inverse else x / norm

    return instead(networks.GDN.forward, forward)


def of_two_steps(norm: Tensor) -> Tensor:
    """√norm by way of 1 / √norm: a guess of an integer's bits, then two steps of Newton's."""
    inverse = (0x5F3759DF - (norm.contiguous().view(torch.int32) >> 1)).view(torch.float32)
    for _ in range(2):
        inverse = inverse * (1.5 - 0.5 * norm * inverse * inverse)
    return 1 / inverse


def of_16_bits(norm: Tensor) -> Tensor:
    """√norm, whose last bits are cut off."""
    return (norm.sqrt().contiguous().view(torch.int32) & -(1 << 7)).view(torch.float32)


def unbounded(dimensions: int) -> Change:
    """beta, of one dimension, or gamma, of two, has no lower bound."""
    return around(networks.non_negative, lambda right, stored, minimum:
                  stored**2 - PEDESTAL if stored.ndim == dimensions else right(stored, minimum))  # fmt: skip


def with_slope(part: str) -> Change:
    """The float LeakyReLUs of a network have the slope of the exact ones."""

    def change(network: MBT2018) -> None:
        for layer in getattr(network, part):
            if isinstance(layer, nn.LeakyReLU):
                layer.negative_slope = 1311 / 2**17

    return built(change)


MUTANTS = (
    # §§9 and 12: GDN
    mutant("root_of_two_steps", "TRANSFORM-1", "y", "square roots take two steps of Newton's", gdn(of_two_steps)),
    mutant("root_of_16_bits", "TRANSFORM-3", "x_hat", "square roots have 16 bits", gdn(of_16_bits)),
    mutant("beta_unbounded", "TRANSFORM-1", "y", "beta has no lower bound", unbounded(1)),
    mutant("gamma_unbounded", "TRANSFORM-3", "x_hat", "gamma has no lower bound", unbounded(2)),
    mutant("pedestal_left_out", "TRANSFORM-3", "x_hat", "2^-36 isn't taken off",
      around(networks.non_negative, lambda right, *given: right(*given) + PEDESTAL)),
    # §§12 and 13: LeakyReLU
    mutant("float_slope_of_h_a", "TRANSFORM-2", "z", "LeakyReLU's slope is 1311 / 2^17 in h_a", with_slope("h_a")),
    mutant("float_slope_of_h_s", "FLOAT-1", "psi", "LeakyReLU's slope is 1311 / 2^17 in h_s", with_slope("h_s")),
    # §13: likelihoods
    mutant("floor_of_1e_10", "FLOAT-3", "y_likelihoods", "likelihoods are at least 1e-10",
      constant(likelihoods, "LIKELIHOOD_MIN", 1e-10)),
    mutant("likelihoods_plus_1e_6", "FLOAT-3", "y_likelihoods", "1e-6 is added to likelihoods",
      around(likelihoods.gaussian_likelihoods, lambda right, *given: right(*given) + 1e-6),
      around(likelihoods.factorized_likelihoods, lambda right, *given: right(*given) + 1e-6)),
    # §10: what is rounded to float32, and what isn't
    mutant("y_unrounded", "REPRODUCIBLE-1", "stream", "y isn't rounded to float32",
      instead(Transforms.g_a, lambda self, x, watch: self._g_a(x, watch))),
    mutant("y_rounded_toward_zero", "REPRODUCIBLE-1", "stream", "y is rounded to float32 toward zero",
      instead(Transforms.g_a, lambda self, x, watch: toward_zero(self._g_a(x, watch)))),
    mutant("y_unrounded_for_h_a", "REPRODUCIBLE-1", "stream", "h_a gets y before it is rounded",
      instead(Transforms.g_a, rounded_late), around(Transforms.h_a, lambda right, self, y: right(self, self.y))),
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
      around(planes.to_image, lambda right, x_hat:
             right((x_hat.clip(0, 1) * 255).float().round().double() / 255))),
    # §10: one operation in float32
    mutant("slope_in_float32", "REPRODUCIBLE-1", "stream", "LeakyReLU's slope is 0.01 as float32",
      around(reproducible.leaky_relu, lambda right, a, slope: right(a, float(np.float32(slope))))),
    mutant("slope_of_h_s", "REPRODUCIBLE-1", "stream", "LeakyReLU's slope is 1311 / 2^17 in h_a",
      around(reproducible.leaky_relu, lambda right, a, slope: right(a, 1311 / 2**17))),
    *(mutant(f"{part}_{place}_in_float32", requirement, output, f"{part}.{place} alone is float32",
        in_float32(part, place))
      for part, requirement, output, places in (
          ("g_a", "REPRODUCIBLE-1", "stream", (0, 1, 6)), ("h_a", "REPRODUCIBLE-1", "stream", (0, 1, 4)),
          ("g_s", "REPRODUCIBLE-2", "image", (0, 1, 6)))
      for place in places),
    *(mutant(f"{part}_{name}_in_float32", requirement, output, f"{what} in the GDNs of {part}", change(inverse))
      for part, requirement, output, inverse in (
          ("g_a", "REPRODUCIBLE-1", "stream", False), ("g_s", "REPRODUCIBLE-2", "image", True))
      for name, what, change in (
          ("roots", "square roots are float32", rooted_in_float32),
          ("parameters", "beta and gamma are computed in float32", stored_in_float32))),
)  # fmt: skip
