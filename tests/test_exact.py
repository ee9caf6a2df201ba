"""Exact arithmetic: near the float networks, the same in any order of sums, or refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mbtref import decoder, load
from mbtref.exact import EntropyNetworks, Linear
from mbtref.grid import EXACT, LIMIT, WEIGHT_BITS, from_activation
from mbtref.making.complete import export
from mbtref.modelfile import EMBEDDED
from mbtref.openloop.forward import parameters_of_y
from mbtref.planes import to_tensor
from mbtref.suite.subjects.data import gaussian_file
from tests.support import picture, scanned, varied_networks

State = dict[str, Tensor]


def small_state() -> State:
    """Weights that a test may spoil."""
    return {key: tensor.clone() for key, tensor in varied_networks(3, 5).state_dict().items()}


@pytest.mark.parametrize("name", EMBEDDED)
def test_exact_parameters_are_near_the_float_ones(name: str) -> None:
    """Every embedded model passes the proof, and its grids move sigma and mu by thousandths."""
    model = load(name)
    z = model.networks.h_a(model.networks.g_a(to_tensor(picture(64, 128)))).permute(0, 2, 3, 1)
    z_hat = model.entropy.z_hat(torch.round(z.double()))
    k = torch.randint(-3, 4, (1, 4, 8, model.networks.M), generator=torch.Generator().manual_seed(3)).double()
    found = scanned(model.entropy, z_hat, k)
    y_hat_float, z_hat_float = (from_activation(a).permute(0, 3, 1, 2) for a in (found.y_hat, z_hat))
    floats = parameters_of_y(model.networks, y_hat_float, z_hat_float)
    for what, exact, in_float in zip(("sigma", "mu"), (found.sigma, found.mu), floats, strict=True):
        error = (from_activation(exact).permute(0, 3, 1, 2) - in_float).abs()
        assert in_float.std() > 0.5, f"{what} that doesn't vary proves nothing"
        # a few roundings to 2^-10 on the way, and weights of 2^-14: they add up as the root of the channels
        units = 2.0**-10 * (model.networks.M / 64) ** 0.5
        assert error.mean() < 2 * units, f"{what} is off by {error.mean():.3g} on average"
        assert error.max() < 50 * units, f"{what} is off by up to {error.max():.3g}"


def test_sums_do_not_depend_on_their_order() -> None:
    """Sums of products that come as near to 2^53 as the proof allows are one sum, however ordered or grouped."""
    terms, random = 512, torch.Generator().manual_seed(4)
    # 512 odd weights a little below 2^22 units each, and odd activations a little below 2^22
    weight = 2.0**22 - 1 - 2 * torch.randint(0, 500, (terms, 8), generator=random).double()
    weight[:, 4:] *= torch.randint(0, 2, (terms, 4), generator=random) * 2 - 1
    inputs = LIMIT - 1 - 2 * torch.randint(0, 500, (4, terms), generator=random).double()

    def sums(order: Tensor) -> Tensor:
        layer = Linear("layer", weight[order] * 2.0**-WEIGHT_BITS, torch.zeros(8, dtype=torch.float64))
        return layer(inputs[:, order])

    expected = sums(torch.arange(terms))
    assert 0.99 * EXACT < expected.max() < EXACT, f"sums up to {expected.max():.4g} aren't at risk"
    for order in (torch.arange(terms).flip(0), torch.randperm(terms, generator=random), weight[:, 4].argsort()):
        assert torch.equal(sums(order), expected), "the sum depends on the order of its terms"
    products = inputs[:, :, None] * weight
    assert torch.equal(products.cumsum(1)[:, -1], expected), "the sum depends on its grouping: one by one"
    assert torch.equal(products.reshape(4, 16, -1, 8).sum(1).sum(1), expected), "the sum depends on its grouping"


def test_the_proof_ends_where_float64_does() -> None:
    """A channel whose sums and rounding stay below 2^53 units is accepted, one that can reach it is refused."""
    # |w| · 2^22 + |b| + 2^13 = 2^53 with w = 2^31 - 1 units
    weight = torch.tensor([[2.0**17 - 2.0**-14]], dtype=torch.float64)
    bias = torch.tensor([2.0**22 - 2.0**13], dtype=torch.float64) * 2.0**-24
    for sign in (-1, 1):
        Linear("layer", sign * weight, sign * (bias - 2.0**-24))
        with pytest.raises(ValueError, match="layer, output channel 0"):
            Linear("layer", sign * weight, sign * bias)


@pytest.mark.parametrize("value", [1e18, -1e18, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("key", "place", "channel"),
    [
        ("h_s.0.weight", (0, 3, 1, 1), 3),
        ("h_s.2.weight", (4, 6, 0, 0), 6),
        ("h_s.2.bias", (2,), 2),
        ("h_s.4.weight", (7, 0, 2, 2), 7),
        ("context_prediction.weight", (9, 0, 1, 4), 9),
        ("entropy_parameters.0.weight", (15, 0, 0, 0), 15),
        ("entropy_parameters.4.bias", (1,), 1),
    ],
)
def test_weights_that_are_not_exact_are_refused(
    key: str, place: tuple[int, ...], channel: int, value: float
) -> None:
    """A weight too large or not finite is a ValueError that names its layer and output channel."""
    state = small_state()
    state[key][place] = value
    layer = key.rpartition(".")[0]
    with pytest.raises(ValueError, match=rf"^{layer}, output channel {channel}:"):
        EntropyNetworks(state)


def test_masked_weights_do_not_matter() -> None:
    """A weight of the context model at its centre or after it changes nothing."""
    state = small_state()
    before = EntropyNetworks(state).context.weight
    for tap in ((2, 2), (2, 3), (3, 0), (4, 4)):
        state["context_prediction.weight"][0, 0, *tap] = 1000.0
        assert torch.equal(EntropyNetworks(state).context.weight, before), f"tap {tap} is not yet decoded"


@pytest.mark.parametrize(("N", "M"), [(1, 1), (4, 6)])
def test_the_smallest_networks_are_integers(N: int, M: int, tmp_path: Path) -> None:
    """Where 10M/3 or 3M/2 isn't whole, or one channel is all, every stage is the one-file decoder's in int64."""
    model = export(varied_networks(N, M), tmp_path / "model.safetensors", {})
    alone = decoder.Model(tmp_path / "model.safetensors", gaussian_file())
    random = torch.Generator().manual_seed(3)
    sizes = (1, 2, 1, N), (1, 8, 4, M)
    symbols, k = (torch.randint(-9, 10, size, generator=random).double() for size in sizes)
    whole = k[0].permute(2, 0, 1).long().numpy()

    def choose(row: int, column: int, index: decoder.Array, mu: decoder.Array) -> decoder.Array:
        return decoder.saturate(whole[:, row, column] * 1024 + mu)

    right = decoder.visit(alone, symbols[0].permute(2, 0, 1).long().numpy(), np.ndindex(8, 4), choose)
    z_hat = model.entropy.z_hat(symbols)
    found = {"psi": model.entropy.psi(z_hat), **scanned(model.entropy, z_hat, k)._asdict()}
    for name, units in found.items():
        assert (units[0].permute(2, 0, 1).long().numpy() == right[name]).all(), f"{name} differs from its integers"
