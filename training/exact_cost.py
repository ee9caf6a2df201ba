"""The rate that exact arithmetic costs: `python -m training.exact_cost FOLDER --model lite`.

Codes pictures in closed loop twice: with the integer entropy networks, and with the same weights in float64, not
rounded. Compares the bits of the symbols under their Gaussians. The last columns are the largest change of one
picture. One rounding that goes the other way changes all later contexts, so two correct codecs scatter that much.
"""

import argparse
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
from mbtref.workbench.arguments import checked, models
from mbtref.workbench.inputs import find_pictures


class FloatNetworks(EntropyNetworks):
    """The entropy networks in float64: the methods of `EntropyNetworks`, without its grids. Units as there."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.networks.state_dict())
        self.state: dict[str, Tensor] = {key: value.double() for key, value in model.networks.state_dict().items()}

    def psi(self, z_hat: Tensor) -> Tensor:
        def up(a: Tensor, name: str) -> Tensor:
            weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            return F.leaky_relu(F.conv_transpose2d(a, weight, bias, stride=2, padding=2, output_padding=1))

        a = up(up(z_hat.permute(0, 3, 1, 2) / ONE, "h_s.0"), "h_s.2")
        psi = F.conv2d(a, self.state["h_s.4.weight"], self.state["h_s.4.bias"], padding=1)
        return psi.permute(0, 2, 3, 1) * ONE

    def phi(self, context: Tensor) -> Tensor:
        kernel = self.state["context_prediction.weight"]
        taps = torch.cat([kernel[:, :, row, column].T for row, column in CONTEXT_TAPS])
        return (context / ONE @ taps + self.state["context_prediction.bias"]) * ONE

    def psi_sums(self, psi: Tensor) -> Tensor:
        weight = self.state["entropy_parameters.0.weight"][:, : 2 * self.M, 0, 0]
        return psi / ONE @ weight.T + self.state["entropy_parameters.0.bias"]

    def parameters(self, psi_sums: Tensor, phi: Tensor) -> Parameters:
        a = F.leaky_relu(psi_sums + phi / ONE @ self.state["entropy_parameters.0.weight"][:, 2 * self.M :, 0, 0].T)
        for i in (2, 4):
            a = (
                a @ self.state[f"entropy_parameters.{i}.weight"][:, :, 0, 0].T
                + self.state[f"entropy_parameters.{i}.bias"]
            )
            a = F.leaky_relu(a) if i == 2 else a * ONE
        return Parameters(*a.chunk(2, dim=-1))


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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="training.exact_cost", description="Prints the rate that exact arithmetic costs."
    )
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--model", type=checked(models), required=True, help="models or ladders, with commas")
    options = parser.parse_args(arguments)
    pictures = find_pictures([options.pictures])
    print("| model | bits of y, exact | bits of y, float64 | cost | rate of a picture | its PSNR | its MS-SSIM |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for wanted in options.model:
        model = wanted.get(None).load()
        floats = FloatNetworks(model)
        pairs = [
            (coded(model, model.entropy, path), coded(model, floats, path))
            for path in tqdm(pictures, leave=False, disable=None)
        ]
        exact, real = (sum(picture.bits for picture in column) for column in zip(*pairs, strict=True))
        rate = max(abs(a.bits / b.bits - 1) for a, b in pairs)
        psnr = max(abs(a.psnr - b.psnr) for a, b in pairs)
        msssim = max(abs(a.msssim - b.msssim) for a, b in pairs)
        print(
            f"| {model.name} | {exact:.0f} | {real:.0f} | {exact / real - 1:+.3%} "
            f"| ±{rate:.2%} | ±{psnr:.4f} dB | ±{msssim:.4f} dB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
