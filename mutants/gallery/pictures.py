"""What goes wrong between pictures and latents (§§9, 10, 12, 13): transforms, encoders, likelihoods."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mbtref import codec, networks, planes, rans, reproducible, scan, transforms
from mbtref.exact import EntropyNetworks
from mbtref.grid import ONE, saturate
from mbtref.model import Model
from mbtref.networks import GDN, MBT2018, MaskedConv2d
from mbtref.openloop import forward, likelihoods
from mbtref.openloop.forward import Forward
from mbtref.suite.subjects.reference import Reference
from mbtref.transforms import Transforms
from mutants.gallery.arithmetic import loaded
from mutants.mutant import Change, around, constant, decoder, instead, mutant, one_file


def built(change: Callable[[MBT2018], object]) -> Change:
    """The float networks are changed after they are built."""

    def wrong(right: Callable[..., None], self: MBT2018, N: int, M: int) -> None:
        right(self, N, M)
        change(self)

    return around(MBT2018.__init__, wrong)


class Same(nn.Conv2d):
    """Stride 2 as TensorFlow pads it: 1 above, 2 below."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 2, 1, 2)), self.weight, self.bias, 2)


class Shifted(nn.ConvTranspose2d):
    """A transposed convolution with its output padding on the other side."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        wide: Tensor = F.conv_transpose2d(x, self.weight, self.bias, 2, 1)
        return wide[..., :-1, :-1]


def likelihoods_of_rounded(right: Callable[..., Forward], network: MBT2018, x: Tensor) -> Forward:
    """The forward pass, with likelihoods of round(y), whose rate no stream has."""
    given = right(network, x)
    sigma, mu = forward.parameters_of_y(network, given.y_hat, given.z_hat)
    return given._replace(y_likelihoods=likelihoods.gaussian_likelihoods(given.y_hat - mu, sigma))


def coarse_colours(rows: int, columns: int) -> Callable[..., Tensor]:
    """A picture whose colours, not its luma, are means of so many rows and columns."""

    def wrong(right: Callable[..., Tensor], image: Any) -> Tensor:
        x = right(image)
        luma = (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
        means = F.avg_pool2d(x - luma, (rows, columns), ceil_mode=True)
        wide = means.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
        return (luma + wide[..., : x.shape[2], : x.shape[3]]).clip(0, 1)

    return wrong


def z_rounded_by(rounding: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """An encoder that rounds z otherwise than y."""

    def wrong(right: Callable[..., Any], *given: object) -> Any:
        nearest = codec.nearest_symbol
        of_z = {4: lambda units: rounding(units / ONE), 3: nearest}  # y comes position by position
        with mock.patch.object(codec, "nearest_symbol", lambda units: of_z[units.ndim](units)):
            return right(*given)

    return wrong


def in_halves(x: Tensor) -> Tensor:
    """Half of the padding on each side, without an odd row or column."""
    h, w = (-side % 64 // 2 for side in x.shape[-2:])
    return F.pad(x, (w, w, h, h), mode="replicate")


def medians_forgotten(right: Callable[..., None], self: Any, state: Any) -> None:
    """The medians that an encoder takes off are 0; those that are added stay."""
    right(self, state)
    self.added, self.medians = self.medians, torch.zeros_like(self.medians)


def symbols_in_open_loop(right: Any, self: Reference, model: str, k_z: Any, y: Any) -> Any:
    """`exact_symbols` whose context is y."""
    units = np.floor(np.float64(y) * 1024).clip(-(2**22), 2**22 - 1).astype(np.int32)
    found = self.exact_parameters(model, k_z, units)
    k = units - np.asarray(found["mu"]) + 512 >> 10
    return {"mu": found["mu"], "index": found["index"], "k": k, "y_hat": k * 1024 + found["mu"]}


def drifting(right: Any, *given: object, **named: object) -> Any:
    """The same sums in another order."""
    with torch.backends.mkldnn.flags(enabled=False):
        return right(*given, **named)


def in_columns_of_512(right: Callable[..., Any], model: decoder.Model, y_hat: Any) -> Any:
    """g_s on tiles of 32 columns of latents, without overlap."""
    tiles = [right(model, y_hat[:, :, at : at + 32]) for at in range(0, y_hat.shape[2], 32)]
    return np.concatenate(tiles, 2)


MUTANTS = (
    # §§9 and 12: GDN
    mutant("gamma_transposed", "TRANSFORM-1", "y", "gamma is transposed",
      around(networks.non_negative, lambda right, *given: v.T if (v := right(*given)).ndim == 2 else v)),
    mutant("igdn_divides", "TRANSFORM-3", "x_hat", "the inverse GDN divides",
      around(GDN.__init__, lambda right, self, channels, inverse=False: right(self, channels))),
    mutant("decoder_gamma_transposed", "DECODE-1", "image", "gamma is transposed",
      loaded(lambda m: m.float.update({name: v.T for name, v in m.float.items() if name.endswith("gamma")}))),
    # §§9 and 12: convolutions and activations
    mutant("padding_of_tensorflow", "TRANSFORM-1", "y",
      "a convolution of stride 2 is padded by 1 above and 2 below",
      instead(networks.down, lambda c_in, c_out: Same(c_in, c_out, 5, 2))),
    mutant("up_padded_first", "TRANSFORM-3", "x_hat",
      "the output padding of transposed convolutions is on the other side",
      instead(networks.up, lambda c_in, c_out: Shifted(c_in, c_out, 5, 2, 2, 1))),
    mutant("h_a_of_magnitude", "TRANSFORM-2", "z", "h_a gets |y|, as in other models",
      built(lambda m: m.h_a.register_forward_pre_hook(lambda module, given: given[0].abs()))),
    # §9: the picture
    mutant("multiplied_by_256", "DECODE-1", "256", "x_hat is multiplied by 256",
      around(planes.to_image, lambda right, x_hat: right(x_hat * 256 / 255))),
    mutant("samples_floored", "DECODE-1", "truncated", "samples are truncated",
      around(planes.to_image, lambda right, x_hat: right((x_hat * 255).floor() / 255))),
    mutant("reach_of_g_s", "DECODE-4", "g_s alone is right", "a tile sees one latent beyond its border",
      constant(transforms, "MARGIN", 1)),
    mutant("decoder_whole_latents", "DECODE-1", "whole latents", "g_s gets whole latents",
      around(decoder.synthesis, lambda right, model, y_hat: right(model, np.round(y_hat)))),
    mutant("decoder_blue_first", "DECODE-1", "blue", "samples are blue, green, red",
      around(decoder.synthesis, lambda right, *given: right(*given)[::-1])),
    mutant("decoder_tiles_of_512", "DECODE-4", "image", "g_s works on tiles of 512 columns without overlap",
      around(decoder.synthesis, in_columns_of_512)),
    # §10: reproducible transforms
    mutant("plain_sums", "REPRODUCIBLE-2", "image", "the low parts are left out",
      around(reproducible.split, lambda right, v, bits: (right(v, bits)[0], torch.zeros_like(v)))),
    mutant("float32_encoder", "REPRODUCIBLE-1", "stream", "the reproducible transforms are float32",
      instead(Model.made_reproducible, lambda self: self)),
    mutant("decoder_x_hat_in_float32", "REPRODUCIBLE-2", "image", "x_hat is rounded to float32",
      around(decoder.synthesis, lambda right, *given: right(*given).astype(np.float32))),
    # §12: from pictures to latents
    mutant("blue_first", "ENCODE-1", "colours", "an encoder takes a picture for blue, green, red",
      around(planes.to_tensor, lambda right, image: right(image[..., ::-1]))),
    mutant("divided_by_256", "ENCODE-1", "255", "samples are divided by 256",
      around(planes.to_tensor, lambda right, image: right(image) * 255 / 256)),
    mutant("padded_with_zeros", "ROUNDTRIP-4", "image", "a picture is padded with zeros",
      instead(planes.pad, lambda x: F.pad(x, (0, -x.shape[-1] % 64, 0, -x.shape[-2] % 64)))),
    mutant("padded_by_reflection", "ENCODE-1", "padding", "a picture is padded with its reflection",
      around(planes.pad, lambda right, x: F.pad(x, (0, -x.shape[-1] % 64, 0, -x.shape[-2] % 64), mode="reflect")
             if min(x.shape[-2:]) > 63 else right(x))),
    mutant("padded_in_halves", "ROUNDTRIP-1", "compress", "half of the padding is on each side, but no odd row",
      instead(planes.pad, in_halves)),
    mutant("colours_halved_in_rows", "ENCODE-1", "bytes", "an encoder halves the colours' columns (4:2:2)",
      around(planes.to_tensor, coarse_colours(1, 2))),
    mutant("colours_halved_in_columns", "ENCODE-1", "bytes", "an encoder halves the colours' rows (4:4:0)",
      around(planes.to_tensor, coarse_colours(2, 1))),
    mutant("encoder_h_a_of_magnitude", "ENCODE-1", "h_a, which gets y, not |y|", "the encoder gives |y| to h_a",
      around(Transforms.h_a, lambda right, self, y: right(self, y.abs()))),
    mutant("one_pixel", "ROUNDTRIP-6", "dB", "a picture is stored as its first pixel",
      around(Reference.compress, lambda right, self, model, image:
             right(self, model, np.broadcast_to(image[:1, :1], image.shape).copy()))),
    mutant("dithered", "ROUNDTRIP-2", "bytes", "the encoder adds noise to y",
      around(Transforms.g_a, lambda right, *given: (y := right(*given)) + torch.rand_like(y) / 4)),
    # §12: from latents to symbols
    mutant("k_z_without_medians", "ENCODE-1", "medians", "z is rounded without its medians",
      around(EntropyNetworks.__init__, medians_forgotten),
      instead(EntropyNetworks.z_hat, lambda self, symbols: saturate(symbols * ONE + self.added))),
    mutant("k_z_truncated", "ENCODE-1", "how z is rounded", "an encoder rounds z towards its medians",
      around(codec.encode_latents, z_rounded_by(torch.trunc))),
    mutant("k_z_floored", "ENCODE-1", "how z is rounded", "an encoder rounds z down",
      around(codec.encode_latents, z_rounded_by(torch.floor))),
    mutant("open_loop", "ENCODE-1", "", "the encoder rounds y in place of y - mu",
      around(scan.Step.of, lambda right, self, latents: right(self, latents) + self.mu)),
    mutant("k_to_even", "EXACT-2", "k", "y - mu on a tie goes to the even number",
      instead(codec.nearest_symbol, lambda units: torch.round(units / ONE))),
    mutant("y_not_floored", "EXACT-2", "k", "y - mu is a float, in which a tiny negative y vanishes",
      instead(codec.grid_units, lambda latent: saturate(latent.permute(0, 2, 3, 1).double() * ONE))),
    mutant("y_unsaturated", "EXACT-2", "k", "y doesn't saturate",
      instead(codec.grid_units, lambda latent: torch.floor(latent.permute(0, 2, 3, 1).double() * ONE))),
    mutant("symbols_in_open_loop", "EXACT-2", "mu", "the context holds y, not y_hat",
      around(Reference.exact_symbols, symbols_in_open_loop)),
    mutant("k_clipped", "ROUNDTRIP-3", "refused",
      "symbols are clipped when they are coded, but not in the context",
      around(rans.encode, lambda right, symbols, *given: right(symbols.clip(-3, 3), *given))),
    mutant("decoder_y_rounded", "EXACT-2", "k", "y goes to its grid by rounding",
      around(one_file.OneFile.exact_symbols, lambda right, self, model, k_z, y:
             right(self, model, k_z, np.round(y * 1024.0) / 1024))),
    # §13: the float model
    mutant("unmasked", "FLOAT-1", "phi", "the context model isn't masked",
      instead(MaskedConv2d.mask, lambda self: self.weight.new_ones(5, 5))),
    mutant("mask_with_centre", "FLOAT-1", "phi", "the mask has its centre",
      around(MaskedConv2d.mask, lambda right, self: right(self) + torch.eye(25)[12].reshape(5, 5))),
    mutant("float_mu_first", "FLOAT-1", "sigma", "the mean is taken before the scale",
      around(forward.parameters_of_y, lambda right, *given: right(*given)[::-1])),
    mutant("z_hat_whole", "FLOAT-2", "z_hat", "z isn't rounded around its medians",
      instead(forward.quantized, lambda networks, z: torch.round(z))),
    mutant("likelihoods_of_rounded", "FLOAT-2", "y_likelihoods", "the likelihoods are those of round(y)",
      around(forward.forward_pass, likelihoods_of_rounded)),
    mutant("x_hat_clamped", "FLOAT-2", "x_hat", "the forward pass clamps x_hat",
      around(forward.forward_pass, lambda right, *given: (f := right(*given))._replace(x_hat=f.x_hat.clip(0, 1)))),
    mutant("sigma_from_0109", "FLOAT-3", "y_likelihoods", "scales are at least 0.109",
      constant(networks, "SIGMA_MIN", 0.109)),
    mutant("likelihood_beside", "FLOAT-3", "z_likelihoods", "the likelihood of z is that from z to z + 1",
      around(likelihoods.probability, lambda right, prior, v: right(prior, v + 0.5))),
    # §§8 and 14
    mutant("operation_g_s_drifts", "ROUNDTRIP-5", "x_hat",
      "g_s alone sums in another order than the forward pass does",
      around(Reference.g_s, drifting)),
)  # fmt: skip
