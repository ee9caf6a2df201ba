"""The forward pass: one pass through all networks without a bitstream, like CompressAI's in eval mode.

It quantises *open-loop*, y_hat = round(y), but gives the likelihoods of round(y - mu) + mu, as CompressAI does. No
bitstream has that rate: `codec.encode` is closed-loop, y_hat = round(y - mu) + mu.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mbtref.brief import brief
from mbtref.networks import MBT2018
from mbtref.openloop.likelihoods import factorized_likelihoods, gaussian_likelihoods


class Forward(NamedTuple):
    """The result of `forward_pass` for B pictures of 64h × 64w pixels."""

    x_hat: Tensor
    """(B, 3, 64h, 64w) float, unclamped: g_s(y_hat)."""
    y_likelihoods: Tensor
    """(B, M, 4h, 4w) float in [1e-9, 1], of round(y - mu) + mu."""
    z_likelihoods: Tensor
    """(B, N, h, w) float in [1e-9, 1]."""
    y_hat: Tensor
    """(B, M, 4h, 4w) float holding integers: round(y), open-loop."""
    z_hat: Tensor
    """(B, N, h, w) float: round(z - median) + median."""

    def __repr__(self) -> str:
        return brief(self)


def forward_pass(networks: MBT2018, x: Tensor) -> Forward:
    """Transforms, quantises and transforms back. x: (B, 3, 64h, 64w) float in [0, 1]."""
    y = networks.g_a(x)
    z_hat = quantized(networks, networks.h_a(y))
    y_hat = torch.round(y)
    sigma, mu = parameters_of_y(networks, y_hat, z_hat)
    return Forward(
        x_hat=networks.g_s(y_hat),
        y_likelihoods=gaussian_likelihoods(torch.round(y - mu) + mu - mu, sigma),
        z_likelihoods=factorized_likelihoods(networks.entropy_bottleneck, z_hat),
        y_hat=y_hat,
        z_hat=z_hat,
    )


def quantized(networks: MBT2018, z: Tensor) -> Tensor:
    """Rounds around the medians. z: (B, N, h, w) float -> z_hat, the same shape."""
    medians = networks.entropy_bottleneck.medians
    return torch.round(z - medians) + medians


def parameters_of_y(networks: MBT2018, y_hat: Tensor, z_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and mean of every latent, teacher-forced: all latents are known.

    y_hat: (B, M, 4h, 4w) float, z_hat: (B, N, h, w) float. Returns (sigma, mu), each shaped as y_hat.
    """
    psi, phi = networks.h_s(z_hat), networks.context_prediction(y_hat)
    sigma, mu = networks.entropy_parameters(torch.cat((psi, phi), dim=1)).chunk(2, dim=1)
    return sigma, mu
