"""The model `edge`: weights that no training gives, so that rare values are ordinary.

N = 3 and M = 5: no two sizes are equal, and none of 3M/2, 8M/3 and 10M/3 is whole. All weights are made from
integers. In the entropy path the first channels pass values straight through: symbols of z choose the scale,

    S = 64 k_z[0] + k_z[1] grid units;  sigma[0], sigma[1], sigma[2] = S - 1, S, S + 1      where S > 0

The last channel of every layer has sums near the limit of the proof. The others mix everything.
"""

import itertools
import json

import numpy as np
import numpy.typing as npt
import torch

from mbtref.exact import CONTEXT_TAPS
from mbtref.grid import ACTIVATION_BITS, BIAS_BITS, EXACT, LIMIT, ONE, WEIGHT_BITS, to_activation
from mbtref.making import modelfile, proven
from mbtref.making.complete import constants
from mbtref.making.modelfile import to_arrays
from mbtref.modelfile import METADATA_KEY, fingerprint_of
from mbtref.networks import MBT2018
from mbtref.suite.generate.textures import scatter

NAME = "edge"
FILE = f"models/{NAME}.safetensors"
N, M = 3, 5
F64 = npt.NDArray[np.float64]
State = dict[str, F64]
"""Tensors by name. float64 holds the values; they all fit float32."""
MEDIANS = (-0.5, -1.5, 2.5)
"""In grid units: three ties. Half up they are 0, -1 and 3; to even or away from zero, one of them differs."""
COARSE, FINE = 64, 1
"""What a symbol of z[0] and of z[1] adds to S, grid units."""
HERE = (slice(2, 4), slice(2, 4))
"""The taps of a transposed 5×5 kernel that copy an input to its four outputs."""
TIE = 2.0 ** -(ACTIVATION_BITS + 1)
"""Half a grid unit: the bias that makes a sum of whole units a tie."""
TRAP = 0.5 + TIE - 2.0**-BIAS_BITS
"""A bias of 24 bits, one unit below a tie: if 1/2 is added to it in float32, it becomes the tie."""
WIDE = 200.0
"""A bias of 32 bits on its grid of 2^-24."""
FORBIDDEN = 64.0
"""The weights at taps that the context must not see."""


def spread(shape: tuple[int, ...], most: int, seed: int) -> F64:
    """Whole numbers scattered over [-most, most]."""
    values: F64 = (scatter(*np.indices(shape), seed) % (2 * most + 1) - most).astype(np.float64)
    return values


def mixed(shape: tuple[int, ...], most: int, seed: int) -> F64:
    """Weights scattered over [-most, most] units of 2^-14, one in eight of them on a tie between two units."""
    ties = scatter(*np.indices(shape), seed + 1) % 8 == 0
    weights: F64 = (spread(shape, most, seed) + ties / 2) * 2.0**-WEIGHT_BITS
    return weights


def near_the_limit(inputs: int) -> F64:
    """Weights of one sum, (inputs), whose bound is just below 2^53. Pairs are opposite, so equal inputs cancel.

    |sum| <= Σ|w| · LIMIT + 2^13 < 2^53, in grid units; there is no bias.
    """
    most = (EXACT - 1 - 2 ** (WEIGHT_BITS - 1)) // LIMIT
    grain = 1 << max(0, (most // inputs).bit_length() - 23)
    units = np.full(inputs, most // inputs // grain * grain, np.float64)
    units[1::2] *= -1
    return units * 2.0**-WEIGHT_BITS


def h_s(state: State) -> None:
    """Two channels that pass values straight through, then ties of requantisation of both signs, then mixtures."""
    first, second, third = (state[f"h_s.{i}.weight"] for i in (0, 2, 4))
    first[:, 2:] = mixed(first[:, 2:].shape, 1 << 9, 1)
    first[0, 0][HERE], first[1, 1][HERE] = COARSE / ONE, FINE / ONE
    second[:, 2:] = mixed(second[:, 2:].shape, 1 << 9, 2)
    # S, and -S, whose LeakyReLU is a tie at 2^16 and 3 · 2^16
    second[0, 0][HERE] = second[1, 0][HERE] = 1
    second[0, 1][HERE] = second[1, 1][HERE] = -1
    third[4:] = mixed(third[4:].shape, 1 << 9, 3)
    third[:4, :2, 1, 1] = [[1, 0], [0, 1], [1, 0], [-1, 0]]
    # a phase of a transposed convolution sums over 9, 6, 6 or 4 taps
    first[:, -1, ::2, ::2] = near_the_limit(9 * N).reshape(3, 3, N).transpose(2, 0, 1)
    second[:, -1, ::2, ::2] = near_the_limit(9 * M).reshape(3, 3, M).transpose(2, 0, 1)
    third[-1] = near_the_limit(third[-1].size).reshape(3, 3, -1).transpose(2, 0, 1)
    state["h_s.0.bias"][2:-1] = mixed((M - 3,), 1 << 12, 4)
    state["h_s.4.bias"][2:4] = TIE


def context(state: State) -> None:
    """Large weights at the taps that must not be seen. phi[0] is the latent to the left plus half a grid unit."""
    weight, bias = state["context_prediction.weight"], state["context_prediction.bias"]
    taps = mixed((2 * M, M, len(CONTEXT_TAPS)), 1 << 11, 5)
    taps[0] = 0
    taps[0, 0, -1] = 1
    taps[-1] = near_the_limit(M * len(CONTEXT_TAPS)).reshape(len(CONTEXT_TAPS), M).T
    weight[:] = FORBIDDEN
    rows, columns = np.array(CONTEXT_TAPS).T
    weight[:, :, rows, columns] = taps
    bias[:] = mixed(bias.shape, 1 << 10, 6)
    bias[:2] = TIE, WIDE
    bias[-1] = 0


def entropy_parameters(state: State) -> None:
    """The first channel has S, the second -S, the next two ties; then the scales, and means of moderate size."""
    for i in (0, 2, 4):
        weight, bias = state[f"entropy_parameters.{i}.weight"][:, :, 0, 0], state[f"entropy_parameters.{i}.bias"]
        weight[:], bias[:] = mixed(weight.shape, 1 << 9, 10 + i), mixed(bias.shape, 1 << 12, 11 + i)
        weight[:4], bias[:4] = 0, 0
        if i < 4:
            weight[:4, 0] = [1, -1, 1, -1]
            bias[2:4] = TIE if i else TRAP, TIE
            weight[-1], bias[-1] = near_the_limit(weight.shape[1]), 0
    # the last layer
    weight[:3, 0], bias[:3] = 1, np.array([-1, 0, 1]) / ONE
    weight[3] = mixed(weight[3].shape, 1 << 9, 20)
    weight[M - 1], bias[M - 1] = near_the_limit(weight.shape[1]), 0
    # mu[0] and mu[1]: LeakyReLU of -S, and S, halved: ties where they are odd. Other means stay small
    weight[M:, :3], weight[M : M + 2], bias[M : M + 2] = 0, 0, 0
    weight[M, 1] = weight[M + 1, 0] = 0.5


def transforms(state: State) -> None:
    """GDNs with parameters below their bounds. Their inputs are so large in channel 0 that the pedestal shows.

    Where a gamma of 0 becomes 2^-36, an activation of 2^10 adds 2^-16 to a beta of 10^-6.
    """
    for part, large, small, last, grown in (
        ("g_a", 2.0**9, 0.5, 16.0, 2.0**-20),
        ("g_s", 2.0**7, 2.0**-4, 2.0**-4, 1.0),
    ):
        for i in (0, 2, 4, 6):
            weight, bias = state[f"{part}.{i}.weight"], state[f"{part}.{i}.bias"]
            by_output, by_input = (weight, weight.swapaxes(0, 1))[:: 1 if part == "g_a" else -1]
            weight[:] = spread(weight.shape, 1 << 8, 30 + i) * 2.0**-8 * (small if i < 6 else last)
            bias[:] = spread(bias.shape, 1 << 8, 40 + i) * 2.0**-8
            if i < 6:
                by_output[0] *= large / small
                gdn(state[f"{part}.{i + 1}.beta"], state[f"{part}.{i + 1}.gamma"], 50 + i)
            if i > 0:
                by_input[0] *= grown
            elif part == "g_s":
                weight *= 2.0**-6  # latents are that large
    state["g_s.6.bias"][:] = 0.5


def gdn(beta: F64, gamma: F64, seed: int) -> None:
    """Stored parameters: all of channel 0 lie below the bounds, some are negative; gamma isn't symmetric."""
    beta[:] = 2.0**-11, -0.5, 0.75
    gamma[:] = np.abs(spread(gamma.shape, 1 << 8, seed)) * 2.0**-8
    gamma[0] = -0.25, 0, 2.0**-19
    gamma[1:, 0], gamma[1, 2] = 2.0**-10, -0.5


def scattered(state: State) -> None:
    """h_a, and densities of z that are a few symbols wide, with medians on ties."""
    for part, kind, most, seed, gain in (
        ("h_a", ".weight", 1 << 8, 80, 2.0**-10),
        ("h_a", ".bias", 1 << 8, 80, 2.0**-8),
        ("entropy_bottleneck.matrices", "", 32, 90, 2.0**-6),
        ("entropy_bottleneck.biases", "", 32, 100, 2.0**-6),
        ("entropy_bottleneck.factors", "", 32, 110, 2.0**-6),
    ):
        for i in range(5):
            if (array := state.get(f"{part}.{i}{kind}")) is not None:
                array[:] = spread(array.shape, most, seed + i) * gain
    state["entropy_bottleneck.quantiles"][:, 0] = [(-10, median / ONE, 10) for median in MEDIANS]


def model_file() -> bytes:
    """The bytes of the file. Unlike in an imported one, the context isn't masked and the medians are on ties."""
    state = {name: np.zeros(parameter.shape) for name, parameter in MBT2018(N, M).named_parameters()}
    for fill in (h_s, context, entropy_parameters, transforms, scattered):
        fill(state)
    return packed(state, "rare values")


def packed(state: State, purpose: str) -> bytes:
    """A model file of these tensors, with the tables of its densities."""
    tensors = {name: array.astype(np.float32) for name, array in state.items()}
    assert all(np.array_equal(tensors[name], array) for name, array in state.items()), "a weight needs more digits"
    networks = MBT2018(N, M)
    networks.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=False)
    medians = to_activation(networks.entropy_bottleneck.medians.detach()) / ONE
    z_tables = to_arrays(proven.z_tables(networks.entropy_bottleneck, medians))
    fixed = {name: tensor.numpy() for name, tensor in constants(networks).items()}
    z_arrays = {f"entropy_bottleneck.{part}": array for part, array in z_tables.items()}
    # the fingerprint begins with a 0, where a text would end
    for nonce in itertools.count():
        metadata = {METADATA_KEY: json.dumps({"nonce": str(nonce), "purpose": purpose})}
        data = modelfile.pack({**fixed, **tensors, **z_arrays}, metadata)
        if fingerprint_of(data)[0] == 0:
            return data
    raise AssertionError("the numbers don't end")
