"""From float networks to the tensors of a model file: weights, constants, and the proven tables of z.

A model file is the state dict of CompressAI's `JointAutoregressiveHierarchicalPriors(N, M)` before its Gaussian
tables are built. Our tables of z replace CompressAI's, and medians lie on the grid of 2^-10. CompressAI loads the
file unchanged.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mbtref import tables
from mbtref.grid import from_activation, to_activation
from mbtref.making import proven
from mbtref.making.modelfile import Arrays, to_arrays, write
from mbtref.model import Model
from mbtref.networks import BETA_MIN, MBT2018, PEDESTAL, SIGMA_MIN
from mbtref.openloop.likelihoods import LIKELIHOOD_MIN


def constants(networks: MBT2018) -> dict[str, Tensor]:
    """The tensors of CompressAI's state dict that aren't weights: bounds, the mask and empty tables."""
    number = functools.partial(torch.tensor, dtype=torch.float32, device="cpu")
    empty = torch.zeros(0, dtype=torch.int32, device="cpu")
    state = {
        "context_prediction.mask": networks.context_prediction.mask.expand(2 * networks.M, networks.M, 5, 5),
        "entropy_bottleneck.target": number([-1, 0, 1]) * math.log(2 * proven.TAILS - 1),
        "entropy_bottleneck.likelihood_lower_bound.bound": number([LIKELIHOOD_MIN]),
        "gaussian_conditional.likelihood_lower_bound.bound": number([LIKELIHOOD_MIN]),
        "gaussian_conditional.lower_bound_scale.bound": number([SIGMA_MIN]),
        "gaussian_conditional.scale_bound": number([SIGMA_MIN]),
        "gaussian_conditional.scale_table": number([]),
    }
    for part in tables.PARTS:
        state[f"gaussian_conditional.{part}"] = state[f"entropy_bottleneck.{part}"] = empty
    for layer in (f"{transform}.{i}" for transform in ("g_a", "g_s") for i in (1, 3, 5)):
        for parameter, minimum in (("beta", BETA_MIN), ("gamma", 0.0)):
            state[f"{layer}.{parameter}_reparam.pedestal"] = number([PEDESTAL])
            state[f"{layer}.{parameter}_reparam.lower_bound.bound"] = number([math.sqrt(minimum + PEDESTAL)])
    return state


def complete(networks: MBT2018) -> Arrays:
    """The tensors of a model file: weights and constants, medians on the grid, and the tables of z.

    Raises ValueError if a count of a table can't be decided.
    """
    state = {**constants(networks), **networks.state_dict()}
    quantiles = state["entropy_bottleneck.quantiles"].clone()
    quantiles[:, 0, 1] = from_activation(to_activation(quantiles[:, 0, 1]))
    state["entropy_bottleneck.quantiles"] = quantiles
    state["context_prediction.weight"] = state["context_prediction.weight"] * networks.context_prediction.mask
    z_tables = proven.z_tables(networks.entropy_bottleneck, quantiles[:, :, 1:2])
    z_arrays = {f"entropy_bottleneck.{part}": array for part, array in to_arrays(z_tables).items()}
    return {key: tensor.detach().cpu().numpy() for key, tensor in state.items()} | z_arrays


def export(networks: MBT2018, path: Path, metadata: Mapping[str, str]) -> Model:
    """Makes a model file of networks, and returns its model. See `complete` and `write`."""
    return write(complete(networks), path, metadata)
