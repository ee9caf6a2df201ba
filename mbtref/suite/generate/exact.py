"""EXACT: entropy parameters far from those of pictures."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mbtref.grid import LIMIT, ONE
from mbtref.scan import Step, scan
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import LITE, vector
from mbtref.suite.generate.textures import scatter
from mbtref.suite.subjects.tensors import I32
from mbtref.tables import SCALES

MOST = 1 << 27
"""No stream holds a larger symbol: an escape has seven digits, and one bit of them is the sign."""


def spread(shape: tuple[int, ...], most: int | npt.NDArray[np.int64], seed: int) -> I32:
    """Integers scattered over [-most, most]. shape: (C, h, w); most broadcasts to it."""
    c, i, j = np.indices(shape)
    values = scatter(c, i, j, seed) << 16 | scatter(c, i, j, seed + 1)
    spread: I32 = (values % (2 * np.asarray(most) + 1) - most).astype(np.int32)
    return spread


def assert_saturates(values: npt.NDArray[np.generic], what: str) -> None:
    """Asserts that values in grid units reach both limits."""
    ends = (values.min(), values.max())
    assert ends == (-LIMIT, LIMIT - 1), f"{what} doesn't saturate both ways: it goes from {ends[0]} to {ends[1]}"


@vector("EXACT-1", models=LITE)
def growing(case: Case) -> None:
    """tables of very large or small scales; a scale at a threshold given the next table; a lost context tap"""
    width, networks = 16, case.model.networks
    column = np.arange(width)
    y_hat = spread((networks.M, 4, width), np.where(column < 4, 0, 1 << column + 7).clip(0, LIMIT - 1), 1)
    k_z = spread((networks.N, 1, width // 4), np.array([0, 0, 8, 64]), 2)
    answer = case.ask("exact_parameters", {"k_z": k_z, "y_hat": y_hat})
    sigma, index = answer["sigma"].array, answer["index"].array
    assert np.isin(sigma, case.model.gaussian.thresholds).any(), f"no scale of {case.name} is a threshold"
    assert np.ptp(index) > SCALES // 2, f"indexes of {case.name} only go from {index.min()} to {index.max()}"
    far = y_hat.copy()
    far[:, 0, 14] = 0
    phi = case.answer("exact_parameters", k_z=k_z, y_hat=far)["phi"]
    changed = (np.asarray(phi) != answer["phi"].array).any(0)
    assert changed[2, 12], f"{case.name} doesn't depend on the tap two rows up and two columns right"


@vector("EXACT-1", models=LITE)
def saturated(case: Case) -> None:
    """sums or activations in 32 bits; k_z times 2^10 in 32 bits; no saturation, or one to -2^22 + 1 or 2^22"""
    N, M = case.model.networks.N, case.model.networks.M
    sign = scatter(np.arange(M)[:, None, None], 4) % 2 + np.zeros((1, 4, 4), np.int64)
    y_hat = np.where(sign, LIMIT - 1, -LIMIT).astype(np.int32)
    answer = case.ask("exact_parameters", {"k_z": spread((N, 1, 1), MOST, 3), "y_hat": y_hat})
    for stage in ("z_hat", "psi", "phi", "mu"):
        assert_saturates(answer[stage].array, f"{stage} of {case.name}")


@vector("EXACT-2", models=LITE, name="saturated-latents")
def saturated_latents(case: Case) -> None:
    """y_hat that isn't saturated before it becomes context"""
    k_z = np.zeros((case.model.networks.N, 1, 1), np.int32)
    sign = scatter(*np.indices((case.model.networks.M, 4, 4)), 5) % 2
    y = np.where(sign, (LIMIT - 1) / ONE, -LIMIT / ONE).astype(np.float32)
    answer = case.ask("exact_symbols", {"k_z": k_z, "y": y})
    assert_saturates(answer["y_hat"].array, f"y_hat of {case.name}")


@vector("EXACT-2", models=LITE)
def ties(case: Case) -> None:
    """halves rounded to even or away from zero; y - mu + 1/2 computed in float32"""
    h, w, N, M = 4, 4, case.model.networks.N, case.model.networks.M
    k = torch.from_numpy(spread((h, w, M), 3, 6)).double()[None]
    below = torch.from_numpy(scatter(*np.indices((h, w, M)), 7) % 2 == 1)[None]
    y = torch.zeros(1, h, w, M)

    def choose(step: Step) -> Tensor:
        where = (slice(None), step.rows, step.columns)
        # k - 1/2 is rounded up to k, the next lower float32 number down; next to 0 that number vanishes beside mu
        tie = ((step.mu + k[where] * ONE - ONE / 2) / ONE).float()
        down = below[where] & (tie != 0)
        y[where] = torch.where(down, torch.nextafter(tie, torch.tensor(-torch.inf)), tie)
        k[where] -= down.double()
        return step.y_hat(k[where])

    entropy = case.model.entropy
    scan(entropy, entropy.z_hat(torch.zeros(1, 1, 1, N, dtype=torch.float64)), choose)
    inputs = {"k_z": np.zeros((N, 1, 1), np.int32), "y": y[0].permute(2, 0, 1).numpy()}
    answer = case.ask("exact_symbols", inputs)
    rounded_up = k[0].permute(2, 0, 1).numpy()
    assert np.array_equal(answer["k"].array, rounded_up), f"a tie of {case.name} isn't rounded up"
