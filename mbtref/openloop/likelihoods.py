"""The two probability models in floats: the learned density of z, and the Gaussian of y.

They give the rates that training minimises and implementations print. Streams are coded with integer tables.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref.networks import SIGMA_MIN, FactorizedPrior, lower_bound

LIKELIHOOD_MIN = 1e-9
"""Likelihoods are clamped from below, so that no symbol costs more than 30 bits in an estimate."""


def logits(prior: FactorizedPrior, v: Tensor) -> Tensor:
    """Logit of P(z < v). v: (N, 1, K) float -> (N, 1, K) float, increasing in v."""
    for i, (matrix, bias) in enumerate(zip(prior.matrices, prior.biases, strict=True)):
        v = torch.matmul(F.softplus(matrix), v) + bias
        if i < len(prior.factors):
            v = v + torch.tanh(prior.factors[i]) * torch.tanh(v)
    return v


def probability(prior: FactorizedPrior, v: Tensor) -> Tensor:
    """P(v - 1/2 < z < v + 1/2). v: (N, 1, K) float -> (N, 1, K) float in [0, 1]."""
    return torch.sigmoid(logits(prior, v + 0.5)) - torch.sigmoid(logits(prior, v - 0.5))


def factorized_likelihoods(prior: FactorizedPrior, z_hat: Tensor) -> Tensor:
    """Likelihood of every element. z_hat: (B, N, H, W) float -> the same shape, >= LIKELIHOOD_MIN."""
    b, n, h, w = z_hat.shape
    values = z_hat.transpose(0, 1).reshape(n, 1, b * h * w)
    p = lower_bound(probability(prior, values), LIKELIHOOD_MIN)
    return p.reshape(n, b, h, w).transpose(0, 1)


def gaussian_likelihoods(residual: Tensor, sigma: Tensor) -> Tensor:
    """P(|r| - 1/2 < Gaussian(0, sigma) < |r| + 1/2), on the side where erfc keeps its digits.

    residual: y_hat - mu, (B, M, H, W) float; sigma: the same shape, clamped to SIGMA_MIN.
    Returns the same shape, >= LIKELIHOOD_MIN.
    """
    sigma = lower_bound(sigma, SIGMA_MIN)
    distance = torch.abs(residual)
    upper = 0.5 * torch.erfc((distance - 0.5) / (sigma * 2**0.5))
    lower = 0.5 * torch.erfc((distance + 0.5) / (sigma * 2**0.5))
    return lower_bound(upper - lower, LIKELIHOOD_MIN)
