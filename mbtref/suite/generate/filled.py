"""The model `filled`: moderate weights for float codecs, and a context kernel that is filled where it is masked.

The kernels of trained models hold 0 there. So an encoder's loop that forgets the mask is right with them. The
weights of `edge` show it too, but their sums go so far that a float codec's symbols have more digits than a stream
can hold. Here all weights are scattered, each layer's by its number of inputs.
"""

import numpy as np

from mbtref.networks import MBT2018
from mbtref.suite.generate.edge import M, N, State, packed, spread

NAME = "filled"
FILE = f"models/{NAME}.safetensors"
GAINS = {"g_a.0": 4.0, "g_a.6": 16.0, "h_a.4": 4.0, "g_s.6": 0.125}
"""By layer: what makes latents of y and z some steps large, and x_hat a picture again. Others have a gain of 1."""


def model_file() -> bytes:
    """The bytes of the file."""
    state: State = {}
    for seed, (name, parameter) in enumerate(MBT2018(N, M).named_parameters()):
        layer, _, kind = name.rpartition(".")
        values = spread(tuple(parameter.shape), 1 << 8, seed) * (2.0**-11 if kind == "bias" else 2.0**-8)
        inputs = np.prod(parameter.shape[1:]) if kind == "weight" else 1
        state[name] = values * GAINS.get(layer, 1.0) * 2.0 ** -np.round(np.log2(inputs) / 2)
    for name in state:
        if name.endswith(("beta", "gamma")):
            state[name] = np.abs(state[name])
    state["entropy_parameters.4.bias"][:M] = 2  # scales
    state["g_s.6.bias"][:] = 0.5
    state["entropy_bottleneck.quantiles"][:, 0] = [-10, 0, 10]
    return packed(state, "taps that must be masked")
