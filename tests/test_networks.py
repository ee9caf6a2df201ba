"""The float networks: CompressAI's model, with the same weights, gives the same numbers."""

from collections.abc import Mapping
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mbtref import Model, codec, planes, rans, tables
from mbtref.making import complete as making
from mbtref.networks import lower_bound
from mbtref.openloop.forward import forward_pass
from mbtref.suite.subjects.data import data_file
from tests import oracle
from tests.support import picture, varied_networks
from training.gradients import BoundsPassGradients

X = planes.to_tensor(picture(64, 128))


def compressai_model(N: int, M: int, state: Mapping[str, Tensor]) -> Any:
    """CompressAI's own model with these weights, loaded strictly."""
    net = oracle.compressai("models.google").JointAutoregressiveHierarchicalPriors(N, M).eval()
    net.load_state_dict(state)
    return net


def bits(likelihoods: Tensor) -> float:
    """What symbols of these likelihoods cost in theory."""
    return -torch.log2(likelihoods.double()).sum().item()


def test_forward_is_compressais() -> None:
    """Pictures, likelihoods and rates are CompressAI's within 1e-5, for random weights."""
    networks = varied_networks(64, 96)
    with torch.no_grad():
        ours = forward_pass(networks, X)
        theirs = compressai_model(64, 96, {**making.constants(networks), **networks.state_dict()})(X)
    pairs = {
        "x_hat": (ours.x_hat, theirs["x_hat"]),
        "likelihood of y": (ours.y_likelihoods, theirs["likelihoods"]["y"]),
        "likelihood of z": (ours.z_likelihoods, theirs["likelihoods"]["z"]),
    }
    for latent in (ours.y_hat, ours.z_hat):
        assert latent.std() > 0.5, "latents that don't vary prove nothing"
    for what, (a, b) in pairs.items():
        assert b.std() > 0.01, f"{what} that doesn't vary proves nothing"
        error = ((a - b).abs() / b.abs().clamp(min=1)).max().item()
        assert error <= 1e-5, f"{what} is {error:.2g} from CompressAI's"
        if what != "x_hat":
            assert abs(bits(a) / bits(b) - 1) <= 1e-5, f"{what}: {bits(a):.3f} bits, in CompressAI {bits(b):.3f}"


def test_compressai_codes_with_our_file(lite: Model) -> None:
    """CompressAI keeps a shipped file's tables of z, codes z to our bytes, and decodes to our picture."""
    state = safetensors.torch.load_file(data_file("lite-q4.safetensors"))
    net = compressai_model(48, 64, state)
    net.update()
    for part in tables.PARTS:
        kept = torch.equal(getattr(net.entropy_bottleneck, part), state[f"entropy_bottleneck.{part}"])
        assert kept, f"CompressAI replaces our {part} when it builds its own tables"

    with torch.no_grad():
        stream = net.compress(X)
        x_hat = net.decompress(stream["strings"], stream["shape"])["x_hat"]
        z = net.h_a(net.g_a(X))
    symbols = torch.round(z - lite.networks.entropy_bottleneck.medians)[0].int()
    indexes = torch.arange(48).repeat_interleave(symbols[0].numel()).tolist()
    ours = rans.encode(symbols.flatten().tolist(), indexes, lite.tables)
    assert stream["strings"][1][0] == ours, "CompressAI codes z to other bytes, with the same tables"

    decoded = planes.to_tensor(codec.decode(lite, codec.encode(lite, picture(64, 128))))
    psnr = planes.psnr(x_hat, decoded)
    # both are closed loops; where an entropy parameter rounds otherwise, a latent is another one
    assert psnr > 40, f"our picture is {psnr:.1f} dB from the one that CompressAI decodes"


@pytest.mark.parametrize(
    ("x", "gradient", "expected"),
    [(2.0, 1.0, 1.0), (2.0, -1.0, -1.0), (1.0, 1.0, 1.0), (0.0, -1.0, -1.0), (0.0, 1.0, 0.0)],
)
def test_gradient_of_lower_bound(x: float, gradient: float, expected: float) -> None:
    """In training, a gradient passes at and above the bound, and below it only where descent raises x."""
    value = torch.tensor([x], requires_grad=True)
    with BoundsPassGradients():
        result = lower_bound(value, 1.0)
    result.backward(torch.tensor([gradient]))
    assert result.item() == max(x, 1.0), f"max({x}, 1) isn't {result.item()}"
    assert value.grad == torch.tensor([expected]), f"gradient {gradient} at {x} becomes {value.grad}"


def test_gradients_are_compressais() -> None:
    """Rate and distortion have CompressAI's gradient for every weight, bounds and densities included."""
    networks = varied_networks(4, 6)
    net = compressai_model(4, 6, {**making.constants(networks), **networks.state_dict()})
    with BoundsPassGradients():
        ours = forward_pass(networks.requires_grad_(), X)
    theirs = net(X)
    for x_hat, y, z in (
        (ours.x_hat, ours.y_likelihoods, ours.z_likelihoods),
        (theirs["x_hat"], theirs["likelihoods"]["y"], theirs["likelihoods"]["z"]),
    ):
        (x_hat.square().sum() - y.log().sum() - z.log().sum()).backward()
    expected = {name: parameter.grad for name, parameter in net.named_parameters()}
    # CompressAI gives weights behind the mask a gradient too, and then masks the weights
    expected["context_prediction.weight"] *= networks.context_prediction.mask
    for name, parameter in networks.named_parameters():
        gradient, limit = parameter.grad, 1e-5 * expected[name].abs().max()
        assert gradient is not None, f"{name} has no gradient"
        assert (gradient - expected[name]).abs().max() <= limit, f"{name} has another gradient"
        # rounding stops gradients: here they start behind it
        assert limit > 0 or name.startswith(("g_a", "h_a")), f"{name} has no gradient to compare"
