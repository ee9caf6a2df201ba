"""The rate that exact arithmetic costs: `python -m training.exact_cost FOLDER --model lite`.

Codes pictures in closed loop twice: with the integer entropy networks, and with the same weights in float64
without rounding. Compares the bits of the symbols under their Gaussians. The last columns are the largest change
of a single picture. One rounding in the other direction changes all later contexts, so two correct codecs differ
by that much.
"""

import argparse
import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mbtref import Model, codec, planes
from mbtref.exact import CONTEXT_TAPS, EntropyNetworks, Parameters
from mbtref.grid import ONE
from mbtref.openloop.likelihoods import gaussian_likelihoods
from mbtref.scan import Step, scan
from mbtref.suite.msssim import decibels, ms_ssim
from mbtref.workbench import picturefiles
from training.command import print_table


class FloatNetworks(EntropyNetworks):
    """The entropy networks in float64: the methods of `EntropyNetworks`, without its grids. Units as there."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.networks.state_dict())
        self.networks = copy.deepcopy(model.networks).double()
        self.state: dict[str, Tensor] = self.networks.state_dict()
        kernel = self.state["context_prediction.weight"]
        self.taps = torch.cat([kernel[:, :, row, column].T for row, column in CONTEXT_TAPS])

    def psi(self, z_hat: Tensor) -> Tensor:
        psi: Tensor = self.networks.h_s(z_hat.permute(0, 3, 1, 2) / ONE)
        return psi.permute(0, 2, 3, 1) * ONE

    def phi(self, context: Tensor) -> Tensor:
        return (context / ONE @ self.taps + self.state["context_prediction.bias"]) * ONE

    def psi_sums(self, psi: Tensor) -> Tensor:
        weight, bias = self.head(0)
        return F.linear(psi / ONE, weight[:, : 2 * self.M], bias)

    def parameters(self, psi_sums: Tensor, phi: Tensor) -> Parameters:
        a = psi_sums + F.linear(phi / ONE, self.head(0)[0][:, 2 * self.M :])
        for layer in (2, 4):
            a = F.linear(F.leaky_relu(a), *self.head(layer))
        return Parameters(*(a * ONE).chunk(2, dim=-1))

    def head(self, layer: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a layer of entropy_parameters."""
        name = f"entropy_parameters.{layer}"
        return self.state[f"{name}.weight"][:, :, 0, 0], self.state[f"{name}.bias"]


class Coded(NamedTuple):
    """A picture after closed-loop coding."""

    bits: float
    """Of the symbols of y, under their Gaussians."""
    psnr: float
    """dB, float, clamped."""
    msssim: float
    """dB, of the same picture. NaN for a small one."""


@torch.no_grad()
def coded(model: Model, entropy: EntropyNetworks, path: Path) -> Coded:
    """Codes one picture with these entropy networks."""
    x = planes.to_tensor(picturefiles.read(path))
    y = model.networks.g_a(planes.pad(x))
    y_units, z_units = codec.grid_units(y), codec.grid_units(model.networks.h_a(y))
    bits = 0.0

    def choose(step: Step) -> Tensor:
        nonlocal bits
        k = codec.nearest_symbol(step.of(y_units) - step.mu)
        bits -= torch.log2(gaussian_likelihoods(k, step.sigma / ONE)).sum().item()
        return step.y_hat(k)

    y_hat = scan(entropy, entropy.z_hat(codec.nearest_symbol(z_units - entropy.medians)), choose)
    x_hat = model.networks.g_s(codec.channels_first(y_hat))[..., : x.shape[2], : x.shape[3]]
    x_hat = x_hat.clamp(0, 1)
    msssim = ms_ssim(x_hat[0].numpy(), x[0].numpy())
    return Coded(bits, planes.psnr(x_hat, x), math.nan if msssim is None else decibels(msssim))


def row(model: Model, pictures: Sequence[Path]) -> list[str]:
    """Bits over all pictures, and the largest change of a single one."""
    floats = FloatNetworks(model)
    pairs = [
        (coded(model, model.entropy, path), coded(model, floats, path))
        for path in tqdm(pictures, leave=False, disable=None)
    ]
    exact, real = (sum(picture.bits for picture in column) for column in zip(*pairs, strict=True))
    rate = max(abs(a.bits / b.bits - 1) for a, b in pairs)
    psnr = max(abs(a.psnr - b.psnr) for a, b in pairs)
    msssim = max(abs(a.msssim - b.msssim) for a, b in pairs)
    changes = [f"±{rate:.2%}", f"±{psnr:.4f} dB", f"±{msssim:.4f} dB"]
    return [f"{exact:.0f}", f"{real:.0f}", f"{exact / real - 1:+.3%}", *changes]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="training.exact_cost", description="Prints the rate that exact arithmetic costs."
    )
    header = ("bits of y, exact", "bits of y, float64", "cost", "rate of a picture", "its PSNR", "its MS-SSIM")
    print_table(parser, header, row, arguments)


if __name__ == "__main__":
    main()
