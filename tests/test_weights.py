"""Weights put into a port by position: whatever its names and widths are."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mbtref.suite.operations import Values
from mbtref.suite.subjects import weights
from mbtref.suite.subjects.compressai import CompressAI, filled
from mbtref.suite.subjects.protocol import Methods
from mbtref.suite.subjects.reference import Reference
from mbtref.suite.subjects.tensors import F32, batch, single
from mbtref.suite.subjects.weights import by_position
from tests import oracle
from tests.test_suite import run

MODEL = "lite-q4"
WIDTH = 192
"""For which the ports were made."""


def made(N: int, M: int) -> Any:
    """CompressAI's network. Without CompressAI the test isn't run."""
    return oracle.compressai("models").JointAutoregressiveHierarchicalPriors(N, M)


class Fixed(CompressAI):
    """CompressAI's class."""

    capabilities = ("transforms", "entropy-float")

    def network(self, model: str) -> Any:
        return filled(model, lambda N, M: made(WIDTH, WIDTH))


class Normalisation(nn.Module):
    """A GDN with other names, in another order."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power, self.mixed, self.least = (
            power,
            *(nn.Parameter(torch.ones(WIDTH, *of)) for of in ((WIDTH,), ())),
        )

    def forward(self, x: Tensor) -> Tensor:
        gamma, beta = (
            v.clamp(min=m**0.5) ** 2 - 2**-36 for v, m in ((self.mixed, 2**-36), (self.least, 1e-6 + 2**-36))
        )
        return x * functional.conv2d(x**2, gamma[:, :, None, None], beta) ** self.power


class Turns(nn.Module):
    """Convolutions and GDNs by turns, defined apart from each other."""

    def __init__(self, kind: Callable[..., nn.Module], power: float, **more: int) -> None:
        super().__init__()
        self.between = nn.ModuleList(Normalisation(power) for _ in range(3))
        self.kernels = nn.ModuleList(kind(WIDTH, WIDTH, 5, stride=2, padding=2, **more) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for kernel, between in zip_longest(self.kernels, self.between, fillvalue=nn.Identity()):
            x = between(kernel(x))
        return x


@torch.no_grad()
def through(model: str, network: str, module: nn.Module, values: F32) -> F32:
    """What a port's module makes of an array, with the weights of a network."""
    by_position(model, **{network: module})
    return single(module(batch(values)))


class Port(Methods):
    """A port's own classes."""

    name, version, capabilities = "port", "1", ("transforms",)

    def g_a(self, model: str, x: F32) -> Values:
        return {"y": through(model, "g_a", Turns(nn.Conv2d, -0.5), x)}

    def h_a(self, model: str, y: F32) -> Values:
        (a, b), slope = (nn.Conv2d(WIDTH, WIDTH, 5, stride=2, padding=2) for _ in range(2)), nn.LeakyReLU()
        return {"z": through(model, "h_a", nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), slope, a, slope, b), y)}

    def g_s(self, model: str, y_hat: F32) -> Values:
        return {"x_hat": through(model, "g_s", Turns(nn.ConvTranspose2d, 0.5, output_padding=1), y_hat)}


@pytest.mark.parametrize(
    ("port", "count"), [pytest.param("Fixed", 30, marks=oracle.needs_compressai), ("Port", 17)]
)
def test_ports_of_one_width(port: str, count: int, tmp_path: Path) -> None:
    """Ports made for other widths, with names and an order of their own, pass with weights put in by position."""
    status, cases = run(tmp_path, f"tests.test_weights:{port}", "--in-process", "-k", "edge or lite-q3 or wide-q6")
    assert status == pytest.ExitCode.OK, f"the run ended with {status}"
    passed = Counter(case["outcome"] for case in cases)["passed"]
    assert passed >= count, f"only {passed} cases were right"


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("width", [2, WIDTH])
def test_masks_and_channels(width: int, buffered: bool) -> None:
    """A mask, a buffer or not, gets the size of its kernel, wider or narrower, and so do the layer's numbers."""
    context = made(width, width).context_prediction
    if not buffered:
        mask = context._buffers.pop("mask")
        context.mask = mask
    y_hat = np.arange(64 * 4 * 8, dtype=np.float32).reshape(64, 4, 8) % 7 - 3
    right = Reference().call("parameters", MODEL, {"z_hat": np.zeros((48, 1, 2), np.float32), "y_hat": y_hat})
    phi = through(MODEL, "context_prediction", context, y_hat)
    assert phi == pytest.approx(np.asarray(right["phi"]), abs=1e-4), "another phi"
    assert (context.in_channels, context.out_channels) == (64, 128), f"it says {context}"


BY_LAYER = " ".join(f"matrices.{i} biases.{i} factors.{i}" for i in range(5))


@pytest.mark.parametrize(
    "order",
    [
        f"{BY_LAYER} quantiles",
        f"quantiles {BY_LAYER}",
        "quantiles matrices biases factors",
        "biases factors matrices quantiles",
    ],
)
def test_orders_of_a_density(order: str) -> None:
    """The tensors of a density are told apart by their forms, by layer or by kind."""
    tensors = weights.read("edge")
    names = [n for kind in order.split() for n in sorted(tensors) if n.startswith(f"{weights.DENSITY}.{kind}")]
    density = nn.ParameterList(torch.zeros(WIDTH, *tensors[name].shape[1:]) for name in names)
    assert len(density) == 15, f"{len(density)} tensors in place of 15"
    by_position("edge", entropy_bottleneck=density)
    for name, parameter in zip(names, density, strict=True):
        assert torch.equal(parameter, tensors[name]), f"{name} stands in another place"


SHARED = Normalisation(1)
UNEVEN = nn.Conv2d(9, 18, 5)
UNEVEN.mask = torch.ones(18, 9, 5, 5)
UNEVEN.mask[7] = 0


@pytest.mark.parametrize(
    ("network", "module", "words"),
    [
        (
            "g_a",
            nn.Conv2d(3, 9, 5),
            "4 of 4 axes (5×5), 3 of 2 axes; of the module: 1 of 1 axis, 1 of 4 axes (5×5)",
        ),
        ("g_a", nn.Identity(), "of the module: none"),
        ("g_s", nn.ModuleList([SHARED] * 3), "of the module: 1 of 1 axis, 1 of 2 axes"),
        (
            "h_a",
            nn.Sequential(*(nn.Conv2d(9, 9, 5) for _ in range(3))),
            "1 of 4 axes (3×3), 2 of 4 axes (5×5); of",
        ),
        ("h_a", nn.Sequential(*(nn.Conv2d(9, 9, 3, bias=False) for _ in range(3))), "of the module: 3 of 4 axes"),
        ("entropy_parameters", nn.Sequential(*(nn.Linear(9, 9) for _ in range(3))), "3 of 1 axis, 3 of 2 axes"),
        ("entropy_bottleneck", nn.ParameterList(torch.zeros(9, 3, 1) for _ in range(15)), "15 of 3 axes (3×1)"),
        ("entropy_bottleneck", nn.ParameterList(torch.zeros(9, 1) for _ in range(12)), "12 of 2 axes"),
        ("context_prediction", UNEVEN, "a mask of (18, 9, 5, 5) isn't the same for all channels"),
        ("encoder", nn.Identity(), "encoder isn't one of g_a, g_s, h_a"),
    ],
)
def test_other_modules_are_refused(network: str, module: nn.Module, words: str) -> None:
    """A module that isn't the network is refused, with what both have."""
    with pytest.raises(ValueError, match=re.escape(words)):
        by_position(MODEL, **{network: module})
