"""The objective of training: rate + λ · distortion, with noise in place of rounding.

Rounding has no useful gradient, so training adds uniform noise in [-1/2, 1/2) to y and z instead (Ballé et
al. 2017, arXiv:1611.01704, section 3): the density of a noisy latent at an integer is the probability of
that integer.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbtref.networks import MBT2018, FactorizedPrior
from mbtref.openloop.forward import parameters_of_y
from mbtref.openloop.likelihoods import factorized_likelihoods, gaussian_likelihoods, logits

TAIL_MASS = 1e-9
"""The outer quantiles of z leave out this much probability, half of it on each side."""
TAIL_LOGIT = math.log(2 / TAIL_MASS - 1)
"""Logit of 1 - TAIL_MASS / 2, where the upper quantile belongs; the lower at minus that, the median at 0."""


class Loss(NamedTuple):
    """The loss of one batch and its parts, scalars."""

    total: Tensor  # bpp_y + bpp_z + λ · 255² · mse
    bpp_y: Tensor  # bits per pixel of the noisy y
    bpp_z: Tensor
    mse: Tensor  # mean squared error of pixels in [0, 1]


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at a step (from 0): a linear rise, times a cosine that ends at zero."""
    # min(1, (step + 1) / warmup) · (1 + cos(π · step / steps)) / 2
    return min(1.0, (step + 1) / warmup) * (1 + math.cos(math.pi * step / steps)) / 2


def add_noise(latents: Tensor, rng: np.random.Generator) -> Tensor:
    """latents + U[-1/2, 1/2), the same shape and dtype. Drawn on the CPU: the same on every device."""
    noise = rng.random(tuple(latents.shape), dtype=np.float32) - np.float32(0.5)
    return latents + torch.from_numpy(noise).to(latents.device)


def rate_distortion(net: MBT2018, x: Tensor, lambda_: float, rng: np.random.Generator) -> Loss:
    """The noisy pass and its loss. x: (B, 3, 64h, 64w) float in [0, 1]."""
    y = net.g_a(x)
    z_tilde = add_noise(net.h_a(y), rng)
    y_tilde = add_noise(y, rng)
    sigma, mu = parameters_of_y(net, y_tilde, z_tilde)
    pixels = x.numel() / x.shape[1]
    bpp_y = -torch.log2(gaussian_likelihoods(y_tilde - mu, sigma)).sum() / pixels
    bpp_z = -torch.log2(factorized_likelihoods(net.entropy_bottleneck, z_tilde)).sum() / pixels
    mse = torch.mean((net.g_s(y_tilde) - x) ** 2)
    return Loss(bpp_y + bpp_z + lambda_ * 255**2 * mse, bpp_y, bpp_z, mse)


def quantile_loss(prior: FactorizedPrior) -> Tensor:
    """The auxiliary loss, 0 where each quantile of z sits at its logit. A scalar.

    Only `prior.quantiles` may learn from it: differentiate with `backward(inputs=[prior.quantiles])`.
    """
    # sum |logit(quantile) - target|
    target = torch.tensor([-TAIL_LOGIT, 0.0, TAIL_LOGIT], device=prior.quantiles.device)
    return torch.abs(logits(prior, prior.quantiles) - target).sum()
