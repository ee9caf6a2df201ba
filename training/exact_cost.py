"""What rounding and exact arithmetic cost: `python -m training.exact_cost FOLDER --model lite`.

Prints the mean PSNR of g_s(g_a(x)), without any rounding, beside that of g_s(round(g_a(x))). If the first is
hardly higher, neither more rate nor a better entropy model would help: y has too few channels.

Then codes pictures in closed loop twice: with the integer entropy networks, and with the same weights in float64
without rounding. Compares the bits of the symbols under their Gaussians. The last columns are the largest change
of a single picture. One rounding in the other direction changes all later contexts, so two correct codecs differ
by that much.
"""

import argparse
import copy
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
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
from training.command import refusing


class FloatNetworks(EntropyNetworks):
    """The entropy networks in float64: the methods of `EntropyNetworks`, without its grids. Units as there."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.networks.state_dict())
        self.networks = copy.deepcopy(model.networks).double()

    def psi(self, z_hat: Tensor) -> Tensor:
        psi: Tensor = self.networks.h_s(z_hat.permute(0, 3, 1, 2) / ONE)
        return psi.permute(0, 2, 3, 1) * ONE

    def phi(self, context: Tensor) -> Tensor:
        kernel, bias = self.networks.context_prediction.parameters()
        taps = torch.cat([kernel[:, :, row, column].T for row, column in CONTEXT_TAPS])
        return (context / ONE @ taps + bias) * ONE

    def psi_sums(self, psi: Tensor) -> Tensor:
        """psi itself: `parameters` has the whole first layer."""
        return psi

    def parameters(self, psi_sums: Tensor, phi: Tensor) -> Parameters:
        positions = torch.cat((psi_sums, phi), dim=-1).mT[..., None]
        heads = self.networks.entropy_parameters(positions / ONE)[..., 0].mT * ONE
        return Parameters(*heads.chunk(2, dim=-1))


@torch.no_grad()
def measured(model: Model, floats: FloatNetworks, path: Path) -> tuple[float, ...]:
    """The figures of one picture.

    PSNR without rounding and with rounded y; then bits, PSNR and MS-SSIM of the exact closed loop, and of that in
    floats. PSNR and MS-SSIM in dB, of the clamped float picture; MS-SSIM of a small picture is NaN.
    """
    x = planes.to_tensor(picturefiles.read(path))
    y = model.networks.g_a(planes.pad(x))
    y_units, z_units = codec.grid_units(y), codec.grid_units(model.networks.h_a(y))

    def decoded(latents: Tensor) -> Tensor:
        x_hat: Tensor = model.networks.g_s(latents)[..., : x.shape[2], : x.shape[3]]
        return x_hat.clamp(0, 1)

    def coded(entropy: EntropyNetworks) -> tuple[float, float, float]:
        bits = 0.0

        def choose(step: Step) -> Tensor:
            nonlocal bits
            k = codec.nearest_symbol(step.of(y_units) - step.mu)
            bits -= torch.log2(gaussian_likelihoods(k, step.sigma / ONE)).sum().item()
            return step.y_hat(k)

        y_hat = scan(entropy, entropy.z_hat(codec.nearest_symbol(z_units - entropy.medians)), choose)
        x_hat = decoded(codec.channels_first(y_hat))
        msssim = ms_ssim(x_hat[0].numpy(), x[0].numpy())
        return bits, planes.psnr(x_hat, x), math.nan if msssim is None else decibels(msssim)

    plain = [planes.psnr(decoded(latents), x) for latents in (y, torch.round(y))]
    return *plain, *coded(model.entropy), *coded(floats)


def row(model: Model, pictures: Iterable[Path]) -> list[str]:
    """The cells of a model: means or sums over the pictures, then the largest change of a single one."""
    floats = FloatNetworks(model)
    figures = np.transpose([measured(model, floats, path) for path in pictures])
    plain, exact, real = np.split(figures, (2, 5))
    bits, float_bits = exact[0].sum(), real[0].sum()
    rate, (_, psnr, msssim) = abs(exact[0] / real[0] - 1).max(), abs(exact - real).max(axis=1)
    cells = [*(f"{psnr:.2f} dB" for psnr in plain.mean(axis=1)), f"{bits:.0f}", f"{float_bits:.0f}"]
    return [*cells, f"{bits / float_bits - 1:+.3%}", f"±{rate:.2%}", f"±{psnr:.4f} dB", f"±{msssim:.4f} dB"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("training.exact_cost")
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--model", type=checked(models), required=True, help="models or series, with commas")
    options = parser.parse_args()
    with refusing(parser):
        pictures = find_pictures([options.pictures])
        print("| model | PSNR, nothing rounded | y rounded | bits of y, exact | bits of y, float64 | cost "
              "| rate of a picture | its PSNR | its MS-SSIM |\n|---|" + "---:|" * 8)  # fmt: skip
        for wanted in options.model:
            model = wanted.get(None).load()
            print(
                f"| {model.name} | {' | '.join(row(model, tqdm(pictures, leave=False, disable=None)))} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
