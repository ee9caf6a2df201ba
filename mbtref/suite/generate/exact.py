"""EXACT: entropy parameters far from those of pictures."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mbtref import Model
from mbtref.grid import LIMIT, ONE
from mbtref.scan import Step, scan
from mbtref.suite.generate.textures import scatter
from mbtref.suite.generate.vectorset import VectorSet
from mbtref.tables import SCALES

REQUIREMENTS = ("EXACT-1", "EXACT-2")
I32 = npt.NDArray[np.int32]
MOST = 1 << 27
"""No stream holds a symbol farther out: an escape has seven digits, one bit of them is the sign."""


def spread(shape: tuple[int, ...], most: int | npt.NDArray[np.int64], seed: int) -> I32:
    """Integers scattered over [-most, most]. shape: (C, h, w); most broadcasts to it."""
    c, i, j = np.indices(shape)
    values = scatter(c, i, j, seed) << 16 | scatter(c, i, j, seed + 1)
    spread: I32 = (values % (2 * np.asarray(most) + 1) - most).astype(np.int32)
    return spread


def growing(out: VectorSet, name: str, model: Model) -> None:
    """tables of very large or small scales; a scale at a threshold given the next table; a lost context tap"""
    width = 16
    column = np.arange(width)
    y_hat = spread((model.networks.M, 4, width), np.where(column < 4, 0, 1 << column + 7).clip(0, LIMIT - 1), 1)
    k_z = spread((model.networks.N, 1, width // 4), np.array([0, 0, 8, 64]), 2)
    folder = f"exact/{name}/growing"
    inputs = out.store_all(folder, {"k_z": k_z, "y_hat": y_hat})
    vector = f"{name}/growing"
    outputs = out.add("EXACT-1", vector, "exact_parameters", inputs, made=growing, folder=folder, model=name)
    index = outputs["index"].array
    assert np.isin(outputs["sigma"].array, model.gaussian.thresholds).any(), f"no scale of {vector} is a threshold"
    assert np.ptp(index) > SCALES // 2, f"indexes of {vector} only go from {index.min()} to {index.max()}"
    far = y_hat.copy()
    far[:, 0, 14] = 0
    phi = np.asarray(out.bench.golden.call("exact_parameters", name, {"k_z": k_z, "y_hat": far})["phi"])
    changed = (phi != outputs["phi"].array).any(0)
    assert changed[2, 12], f"{vector} doesn't depend on the tap two rows up and two columns right"


def saturated(out: VectorSet, name: str, model: Model) -> None:
    """sums or activations in 32 bits; k_z times 2^10 in 32 bits; no saturation, or one to -2^22 + 1 or 2^22"""
    k_z = spread((model.networks.N, 1, 1), MOST, 3)
    sign = scatter(np.arange(model.networks.M)[:, None, None], 4) % 2 + np.zeros((1, 4, 4), np.int64)
    y_hat = np.where(sign, LIMIT - 1, -LIMIT).astype(np.int32)
    folder = f"exact/{name}/saturated"
    inputs = out.store_all(folder, {"k_z": k_z, "y_hat": y_hat})
    outputs = out.add(
        "EXACT-1", f"{name}/saturated", "exact_parameters", inputs, made=saturated, folder=folder, model=name
    )
    for stage in ("z_hat", "psi", "phi", "mu"):
        values = outputs[stage].array
        assert (values.min(), values.max()) == (-LIMIT, LIMIT - 1), f"{stage} of {name} doesn't saturate both ways"


def saturated_latents(out: VectorSet, name: str, model: Model) -> None:
    """y_hat that isn't saturated before it becomes context"""
    k_z = np.zeros((model.networks.N, 1, 1), np.int32)
    sign = scatter(*np.indices((model.networks.M, 4, 4)), 5) % 2
    y = np.where(sign, (LIMIT - 1) / ONE, -LIMIT / ONE).astype(np.float32)
    folder = f"exact/{name}/saturated-latents"
    inputs = out.store_all(folder, {"k_z": k_z, "y": y})
    outputs = out.add(
        "EXACT-2", f"{name}/saturated-latents", "exact_symbols", inputs,
        made=saturated_latents, folder=folder, model=name,
    )  # fmt: skip
    y_hat = outputs["y_hat"].array
    assert (y_hat.min(), y_hat.max()) == (-LIMIT, LIMIT - 1), f"y_hat of {name} doesn't saturate both ways"


def ties(out: VectorSet, name: str, model: Model) -> None:
    """halves rounded to even or away from zero; y - mu + 1/2 computed in float32"""
    h, w, M = 4, 4, model.networks.M
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

    k_z = np.zeros((model.networks.N, 1, 1), np.int32)
    scan(model.entropy, model.entropy.z_hat(torch.zeros(1, 1, 1, model.networks.N, dtype=torch.float64)), choose)
    folder = f"exact/{name}/ties"
    inputs = out.store_all(folder, {"k_z": k_z, "y": y[0].permute(2, 0, 1).numpy()})
    outputs = out.add("EXACT-2", f"{name}/ties", "exact_symbols", inputs, made=ties, folder=folder, model=name)
    assert np.array_equal(outputs["k"].array, k[0].permute(2, 0, 1).numpy()), f"a tie of {name} isn't rounded up"


VECTORS: tuple[Callable[[VectorSet, str, Model], None], ...] = (growing, saturated, saturated_latents, ties)
"""Each makes a vector for one model."""
