"""A twin of the reference: it shows how far float64 moves float answers, and computes integers in another way.

The float networks are the reference's, in float64. The exact ones are the same networks with whole numbers as
weights, requantised after each layer. They use PyTorch's convolutions, where `mbtref.exact` uses matrix products.
"""

import copy
import functools
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mbtref.grid import ACTIVATION_BITS, BIAS_BITS, ONE, WEIGHT_BITS, requantize, round_half_up, saturate, to_grid
from mbtref.networks import MBT2018
from mbtref.suite.operations import Values
from mbtref.suite.subjects.reference import F32, I32, Reference, batch, single


class Stages(NamedTuple):
    """Entropy parameters of a whole picture: (1, C, h, w) grid units each."""

    phi: Tensor
    sigma: Tensor
    mu: Tensor


class Float64(Reference):
    """The reference with other arithmetic. A latent buffer holds integers, so buffers are the reference's own."""

    name = "mbtref-float64"
    capabilities = ("transforms", "entropy-float", "entropy-exact", "buffers")
    dtype = torch.float64

    @functools.cache  # noqa: B019 - there is one twin, for the whole run
    def wide(self, model: str) -> MBT2018:
        """The float networks in float64."""
        return copy.deepcopy(self.model(model).networks).double()

    @functools.cache  # noqa: B019
    def whole(self, model: str) -> MBT2018:
        """The same networks with the weights of the entropy path in grid units."""
        networks = copy.deepcopy(self.wide(model))
        for layer in (*networks.h_s, networks.context_prediction, *networks.entropy_parameters):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.bias is not None
                layer.weight.data = to_grid(layer.weight.data, WEIGHT_BITS)
                layer.bias.data = to_grid(layer.bias.data, BIAS_BITS)
        return networks

    @torch.no_grad()
    def g_a(self, model: str, x: F32) -> Values:
        return {"y": single(self.wide(model).g_a(batch(x).double()))}

    @torch.no_grad()
    def h_a(self, model: str, y: F32) -> Values:
        return {"z": single(self.wide(model).h_a(batch(y).double()))}

    @torch.no_grad()
    def g_s(self, model: str, y_hat: F32) -> Values:
        return {"x_hat": single(self.wide(model).g_s(batch(y_hat).double()))}

    @torch.no_grad()
    def parameters(self, model: str, z_hat: F32, y_hat: F32) -> Values:
        networks = self.wide(model)
        psi = networks.h_s(batch(z_hat).double())
        phi = networks.context_prediction(batch(y_hat).double())
        sigma, mu = networks.entropy_parameters(torch.cat((psi, phi), 1)).chunk(2, 1)
        return {"psi": single(psi), "phi": single(phi), "sigma": single(sigma), "mu": single(mu)}

    @torch.no_grad()
    def forward(self, model: str, x: F32) -> Values:
        return {name: single(value) for name, value in self.wide(model)(batch(x).double())._asdict().items()}

    @torch.no_grad()
    def factorized_likelihoods(self, model: str, z_hat: F32) -> Values:
        return {"z_likelihoods": single(self.wide(model).entropy_bottleneck.likelihoods(batch(z_hat).double()))}

    def exact_parameters(self, model: str, k_z: I32, y_hat: I32) -> Values:
        z_hat = self._z_hat(model, k_z)
        psi = exactly(self.whole(model).h_s, z_hat)
        stages = self._stages(model, psi, batch(y_hat).double())
        answer = {"z_hat": z_hat, "psi": psi, **stages._asdict(), "index": self._index(model, stages.sigma)}
        return {name: integers(value) for name, value in answer.items()}

    def exact_symbols(self, model: str, k_z: I32, y: F32) -> Values:
        """Needs no traversal. A latent depends on earlier ones only. So computing all latents from all, until none
        moves, gives the same as coding them one by one."""
        psi = exactly(self.whole(model).h_s, self._z_hat(model, k_z))
        wanted = saturate(torch.floor(batch(y).double() * ONE))
        y_hat, previous = torch.zeros_like(wanted), None
        while previous is None or not torch.equal(y_hat, previous):
            previous = y_hat
            stages = self._stages(model, psi, y_hat)
            k = round_half_up((wanted - stages.mu) / ONE)
            y_hat = saturate(k * ONE + stages.mu)
        answer = {"mu": stages.mu, "index": self._index(model, stages.sigma), "k": k, "y_hat": y_hat}
        return {name: integers(value) for name, value in answer.items()}

    def _z_hat(self, model: str, k_z: I32) -> Tensor:
        """(N, h, w) symbols -> (1, N, i, j) grid units."""
        medians = saturate(to_grid(self.wide(model).entropy_bottleneck.medians, ACTIVATION_BITS))
        return saturate(batch(k_z).double() * ONE + medians)

    def _stages(self, model: str, psi: Tensor, y_hat: Tensor) -> Stages:
        """The rest of the entropy path, from grid units of all latents."""
        networks = self.whole(model)
        phi = exactly([networks.context_prediction], y_hat)
        sigma, mu = exactly(networks.entropy_parameters, torch.cat((psi, phi), 1)).chunk(2, 1)
        return Stages(phi, sigma, mu)

    def _index(self, model: str, sigma: Tensor) -> Tensor:
        """How many thresholds are below sigma, by comparing with each."""
        return (self.model(model).thresholds < sigma[..., None]).sum(-1)


@torch.no_grad()
def exactly(layers: Iterable[nn.Module], units: Tensor) -> Tensor:
    """Runs layers whose weights are in grid units. units: (1, C, H, W) in grid units, and so is the result."""
    for layer in layers:
        units = leaky_relu(units) if isinstance(layer, nn.LeakyReLU) else requantize(layer(units))
    return units


def leaky_relu(units: Tensor) -> Tensor:
    """LeakyReLU of the specification, §2, on int64."""
    whole = units.long()
    return torch.where(whole < 0, (whole * 1311 + (1 << 16)) >> 17, whole).double()


def integers(tensor: Tensor) -> I32:
    """(1, C, H, W) whole numbers -> (C, H, W) int32."""
    result: I32 = tensor[0].int().numpy()
    return result
