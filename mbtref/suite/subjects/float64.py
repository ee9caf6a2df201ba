"""The reference with other arithmetic: it shows how far float64 moves float answers, and checks the integers.

The float networks are the reference's, in float64. The exact ones are the same networks with whole numbers as
weights, requantised after each layer. They use PyTorch's convolutions, where `mbtref.exact` uses matrix products.
"""

import copy
import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mbtref.grid import ACTIVATION_BITS, BIAS_BITS, ONE, WEIGHT_BITS, requantize, round_half_up, saturate, to_grid
from mbtref.model import Model
from mbtref.networks import MBT2018
from mbtref.suite.operations import Values
from mbtref.suite.subjects.reference import Reference, load
from mbtref.suite.subjects.tensors import F32, I32, batch


class Stages(NamedTuple):
    """Entropy parameters of a whole picture: (1, C, h, w) grid units each."""

    phi: Tensor
    sigma: Tensor
    mu: Tensor


@functools.cache
def wide(name: str) -> Model:
    """A model with its float networks in float64."""
    return dataclasses.replace(load(name), networks=copy.deepcopy(load(name).networks).double())


@functools.cache
def whole(name: str) -> MBT2018:
    """Its networks with the weights of the entropy path in grid units."""
    networks = copy.deepcopy(wide(name).networks)
    for layer in (*networks.h_s, networks.context_prediction, *networks.entropy_parameters):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.bias is not None
            layer.weight.data = to_grid(layer.weight.data, WEIGHT_BITS)
            layer.bias.data = to_grid(layer.bias.data, BIAS_BITS)
    return networks


class Float64(Reference):
    """The reference with other arithmetic. A latent buffer holds integers, so buffers are the reference's own."""

    name = "mbtref-float64"
    capabilities = ("transforms", "entropy-float", "entropy-exact", "buffers")
    dtype = torch.float64

    def __init__(self) -> None:
        """It runs on the CPU alone."""

    def model(self, name: str) -> Model:
        return wide(name)

    def exact_parameters(self, model: str, k_z: I32, y_hat: I32) -> Values:
        z_hat = z_hat_of(model, k_z)
        psi = exactly(whole(model).h_s, z_hat)
        stages = stages_of(model, psi, batch(y_hat).double())
        return integers(z_hat=z_hat, psi=psi, index=index_of(model, stages.sigma), **stages._asdict())

    def exact_symbols(self, model: str, k_z: I32, y: F32) -> Values:
        """Needs no traversal. A latent depends on earlier ones only. So computing all latents from all, until none
        moves, gives the same as coding them one by one."""
        psi = exactly(whole(model).h_s, z_hat_of(model, k_z))
        wanted = saturate(torch.floor(batch(y).double() * ONE))
        y_hat, previous = torch.zeros_like(wanted), None
        while previous is None or not torch.equal(y_hat, previous):
            previous = y_hat
            _, sigma, mu = stages_of(model, psi, y_hat)
            k = round_half_up((wanted - mu) / ONE)
            y_hat = saturate(k * ONE + mu)
        return integers(mu=mu, index=index_of(model, sigma), k=k, y_hat=y_hat)


def z_hat_of(model: str, k_z: I32) -> Tensor:
    """(N, h, w) symbols -> (1, N, i, j) grid units."""
    medians = saturate(to_grid(wide(model).networks.entropy_bottleneck.medians, ACTIVATION_BITS))
    return saturate(batch(k_z).double() * ONE + medians)


def stages_of(model: str, psi: Tensor, y_hat: Tensor) -> Stages:
    """The rest of the entropy path, from grid units of all latents."""
    networks = whole(model)
    phi = exactly([networks.context_prediction], y_hat)
    sigma, mu = exactly(networks.entropy_parameters, torch.cat((psi, phi), 1)).chunk(2, 1)
    return Stages(phi, sigma, mu)


def index_of(model: str, sigma: Tensor) -> Tensor:
    """How many thresholds are below sigma, by comparing with each."""
    return (wide(model).thresholds < sigma[..., None]).sum(-1)


@torch.no_grad()
def exactly(layers: Iterable[nn.Module], units: Tensor) -> Tensor:
    """Runs layers whose weights are in grid units. units: (1, C, H, W) in grid units, and so is the result."""
    for layer in layers:
        units = leaky_relu(units) if isinstance(layer, nn.LeakyReLU) else requantize(layer(units))
    return units


def leaky_relu(units: Tensor) -> Tensor:
    """LeakyReLU of the specification, §2, on int64."""
    integer = units.long()
    return torch.where(integer < 0, (integer * 1311 + (1 << 16)) >> 17, integer).double()


def integers(**stages: Tensor) -> Values:
    """(1, C, H, W) whole numbers each -> (C, H, W) int32."""
    return {name: stage[0].int().numpy() for name, stage in stages.items()}
