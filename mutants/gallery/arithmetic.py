"""What goes wrong in exact arithmetic (§§1 and 2): grids, sums, layers, the context, scales and means."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbtref import exact, grid, modelfile
from mbtref.exact import EntropyNetworks, Linear, Parameters
from mbtref.grid import ONE, requantize, round_half_up, saturate, to_grid
from mbtref.model import Model
from mutants.mutant import Change, around, constant, decoder, instead, mutant

QUANTILES, CONTEXT, HEAD = (
    "entropy_bottleneck.quantiles", "context_prediction.weight", "entropy_parameters.0.weight",
)  # fmt: skip


def in_int32(units: Tensor) -> Tensor:
    """What a signed integer of 32 bits holds of a number."""
    return (units + 2.0**31) % 2.0**32 - 2.0**31


def weights(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    """One tensor is changed before the exact networks are made of it."""
    return around(
        EntropyNetworks.__init__, lambda right, self, state: right(self, {**state, name: change(state[name])})
    )


def loaded(change: Callable[[decoder.Model], object]) -> Change:
    """Each model of the one-file decoder is changed after it is read."""

    def wrong(right: Callable[..., None], self: decoder.Model, *files: object) -> None:
        right(self, *files)
        change(self)

    return around(decoder.Model.__init__, wrong)


def with_an_edge(right: Callable[..., Any], weight: Any, bias: Any, a: Any) -> Any:
    """A convolution whose input is padded with its edge, in place of zeros."""
    return right(weight, bias, np.pad(a, ((0, 0), (1, 1), (1, 1)), "edge"))[:, 1:-1, 1:-1]


MUTANTS = (
    # §1: the model file, and weights, biases and medians on their grids
    mutant("fingerprint_of_tensors", "DECODE-1", "unknown-model",
      "the fingerprint is that of the tensors, without the file's header",
      around(modelfile.fingerprint_of, lambda right, data: right(data[8 + int.from_bytes(data[:8], "little") :]))),
    mutant("decoder_fingerprint_reversed", "DECODE-1", "fingerprint", "the fingerprint is a little-endian number",
      loaded(lambda m: setattr(m, "fingerprint", m.fingerprint[::-1]))),
    mutant("grid_in_float32", "EXACT-1", "mu", "v · 2^b + 1/2 is rounded to float32",
      instead(to_grid, lambda v, bits: round_half_up(v.float() * 2.0**bits).double())),
    mutant("decoder_grid_to_even", "EXACT-1", "phi", "weights, biases and medians on a tie go to the even number",
      instead(decoder.grid, lambda v, bits: np.round(v.astype(np.float64) * 2.0**bits).astype(np.int64))),
    mutant("decoder_weights_in_int16", "EXACT-1", "sigma", "weights are kept in 16 bits, so they end at 2",
      loaded(lambda m: [w.clip(-(1 << 15), (1 << 15) - 1, out=w) for w in m.weight.values()])),
    mutant("decoder_biases_in_int32", "EXACT-1", "phi", "biases are kept in 32 bits, and wrap from 128 on",
      loaded(lambda m: m.bias.update({name: b.astype(np.int32) for name, b in m.bias.items()}))),
    mutant("decoder_medians_left_out", "EXACT-1", "z_hat", "medians aren't added",
      loaded(lambda m: m.medians.fill(0))),
    # §2: rounding and saturation
    mutant("half_to_even", "EXACT-1", "phi", "halves are rounded to even", instead(round_half_up, torch.round)),
    mutant("sums_floored", "EXACT-1", "psi", "sums are shifted without the half",
      instead(requantize, lambda sums: saturate(torch.floor(sums * 2.0**-14)))),
    mutant("activations_unsaturated", "EXACT-1", "phi", "activations don't saturate",
      instead(requantize, lambda sums: round_half_up(sums * 2.0**-14))),
    mutant("sums_in_float32", "EXACT-1", "phi", "sums are rounded to float32",
      around(Linear.__call__, lambda right, self, inputs: right(self, inputs).float().double())),
    mutant("bound_of_2_52", "EXACT-1", "", "a model is refused whose sums may reach 2^52",
      constant(grid, "EXACT", 1 << 52)),
    mutant("decoder_sums_in_int32", "EXACT-1", "psi", "sums have 32 bits",
      around(decoder.requantize, lambda right, sums: right(sums.astype(np.int32)))),
    mutant("decoder_activations_wrap", "EXACT-1", "phi", "activations wrap, and don't saturate",
      instead(decoder.saturate, lambda units: (units + (1 << 22)) % (1 << 23) - (1 << 22))),
    # §2: LeakyReLU
    mutant("slope", "EXACT-1", "psi", "LeakyReLU's slope is 1310 / 2^17", constant(exact, "SLOPE", 1310)),
    mutant("decoder_slope", "EXACT-1", "psi", "LeakyReLU's slope is 1310 / 2^17",
      instead(decoder.leaky_relu, lambda units: np.where(units < 0, (units * 1310 + (1 << 16)) >> 17, units))),
    # §2: convolutions
    mutant("deconv_turned", "EXACT-1", "psi", "the kernel of a transposed convolution is turned by 180°",
      around(exact.deconv5x5_matrix, lambda right, weight: right(weight.flip(2, 3)))),
    mutant("decoder_conv_replicates", "EXACT-1", "psi", "the border is replicated inside h_s, in place of zeros",
      around(decoder.convolve, with_an_edge)),
    # §2: the context model and the entropy parameters
    mutant("context_transposed", "EXACT-1", "phi", "rows and columns of the context model are exchanged",
      weights(CONTEXT, lambda kernel: kernel.mT)),
    mutant("phi_first", "EXACT-1", "sigma", "entropy_parameters gets phi before psi",
      weights(HEAD, lambda weight: weight.roll(weight.shape[1] // 2, 1))),
    mutant("mu_first", "EXACT-1", "sigma", "the mean is taken before the scale",
      around(EntropyNetworks.parameters, lambda right, *given: Parameters(*right(*given)[::-1]))),
    # §3: hyper-latents
    mutant("no_medians", "EXACT-1", "z_hat", "z_hat lacks the medians",
      instead(EntropyNetworks.z_hat, lambda self, symbols: saturate(symbols * ONE))),
    # §4: from a scale to its table
    mutant("index_at_threshold", "EXACT-1", "threshold", "a scale at a threshold counts as above it",
      instead(Model.index, lambda self, sigma: torch.bucketize(sigma.contiguous(), self.thresholds, right=True))),
    mutant("next_larger_scale", "EXACT-1", "larger", "the index names the next larger scale, as CompressAI's does",
      instead(Model.index, lambda self, sigma: torch.bucketize(
          sigma.contiguous(), 1024 * 0.11 * (256 / 0.11) ** (torch.arange(63).double() / 63)))),
)  # fmt: skip
