"""What differs in public implementations (docs/in-the-wild.md), and what other ports are likely to do."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mbtref import bitstream, codec, networks, planes, rans
from mbtref.bitstream import Stream
from mbtref.grid import ONE, WEIGHT_BITS, requantize, to_grid
from mbtref.model import Model
from mbtref.networks import MBT2018, Convolution, MaskedConv2d, Transposed
from mbtref.openloop import forward, likelihoods
from mbtref.openloop.forward import Forward
from mbtref.suite.subjects.reference import Reference, units_in, units_out
from mbtref.surroundings import convolve
from mutants.gallery.pictures import built
from mutants.mutant import around, constant, instead, mutant


class Turned(Transposed):
    """A transposed convolution whose kernel is turned by 180°."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return convolve(x, self.weight.flip(2, 3), self.bias, 2, 2, up=True)


def one_gdn(network: MBT2018) -> None:
    for part in (network.g_a, network.g_s):
        part[3] = part[5] = part[1]


def with_slope_of_a_fifth(network: MBT2018) -> None:
    network.h_s[1] = network.h_s[3] = nn.LeakyReLU(0.2)


def phi_before_psi(network: MBT2018) -> None:
    network.entropy_parameters.register_forward_pre_hook(
        lambda module, given: given[0].roll(given[0].shape[1] // 2, 1)
    )


def another_kernel(self: MaskedConv2d, x: Tensor) -> Tensor:
    """The context model with a kernel that was copied when it was still random."""
    drawn = torch.rand(self.weight.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    return convolve(x, drawn / 20 * self.mask, self.bias, 1, 2)


def in_closed_loop(right: Callable[..., Forward], network: MBT2018, x: Tensor) -> Forward:
    """The forward pass, whose latents are those of a closed loop."""
    given = right(network, x)
    _, mu = forward.parameters_of_y(network, given.y_hat, given.z_hat)
    return given._replace(y_hat=torch.round(network.g_a(x) - mu) + mu)


def around_y(right: Callable[..., Forward], network: MBT2018, x: Tensor) -> Forward:
    """The forward pass, whose context is y."""
    given, y = right(network, x), network.g_a(x)
    sigma, mu = forward.parameters_of_y(network, y, given.z_hat)
    return given._replace(y_likelihoods=likelihoods.gaussian_likelihoods(torch.round(y - mu), sigma))


def in_training(right: Callable[..., Forward], network: MBT2018, x: Tensor) -> Forward:
    """The forward pass of a model that was left in training mode."""
    given, y = right(network, x), network.g_a(x)
    return given._replace(y_hat=y + torch.rand(y.shape, generator=torch.Generator().manual_seed(0)) - 0.5)


def of_four_layers(right: Callable[..., Tensor], prior: Any, v: Tensor) -> Tensor:
    """The density of z without its last hidden layer."""
    short = {name: [*own[:3], *own[4:]] for name, own in vars(prior)["_modules"].items()}
    return right(type("", (), short), v)


def unmasked_in_the_loop(right: Callable[..., Any], self: Reference, model: str, k_z: Any, y: Any) -> Any:
    """`exact_symbols` whose kernel isn't masked, while later positions still hold y."""
    entropy, layer = self.model(model).entropy, self.model(model).networks.context_prediction
    found, kernel = right(self, model, k_z, y), to_grid(layer.weight, WEIGHT_BITS)
    wanted = codec.grid_units(torch.from_numpy(y.copy())[None])
    before, later = units_in(found["y_hat"]).permute(0, 3, 1, 2), wanted.permute(0, 3, 1, 2)
    sums = F.conv2d(before, kernel * layer.mask, padding=2) + F.conv2d(later, kernel * (1 - layer.mask), padding=2)
    psi_sums = entropy.psi_sums(entropy.psi(entropy.z_hat(units_in(k_z))))
    mu = entropy.parameters(psi_sums, requantize(sums.permute(0, 2, 3, 1) + entropy.context.bias)).mu
    return {**found, **units_out(mu=mu)}


def on_both_sides(x: Tensor) -> Tensor:
    """Half of the padding left and above."""
    h, w = (-side % 64 for side in x.shape[-2:])
    return F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2), mode="replicate")


def resized(x: Tensor) -> Tensor:
    """A picture of whole blocks by interpolation."""
    return F.interpolate(x, [side + -side % 64 for side in x.shape[-2:]], mode="bilinear")


def with_longs(right: Callable[[Stream], bytes], stream: Stream) -> bytes:
    """A file whose height and width have 8 bytes each."""
    file = right(stream)
    return file[:14] + bytes(6) + file[14:16] + bytes(6) + file[16:]


def within_the_table(right: Any, self: Reference, symbols: Any, indexes: Any, **tables: Any) -> Any:
    """`rans_encode` of symbols that their tables hold."""
    lowest = tables["offset"][indexes]
    return right(self, symbols.clip(lowest, lowest + tables["length"][indexes] - 3), indexes, **tables)


MUTANTS = (
    # transforms
    mutant("unpadded", "TRANSFORM-1", "y", "convolutions of stride 2 aren't padded",
      instead(networks.down, lambda c_in, c_out: Convolution(c_in, c_out, 5, 2))),
    mutant("one_gdn", "TRANSFORM-1", "y", "the three GDN of a transform are one", built(one_gdn)),
    mutant("gamma_symmetric", "TRANSFORM-1", "y", "gamma is made symmetric",
      around(networks.non_negative, lambda right, *given:
             (v + v.mT) / 2 if (v := right(*given)).ndim == 2 else v)),
    mutant("pedestal_of_2_10", "TRANSFORM-1", "y", "GDN's pedestal is 2^-10",
      constant(networks, "PEDESTAL", 2.0**-10)),
    mutant("kernels_transposed", "TRANSFORM-1", "y", "rows and columns of kernels are exchanged by an import",
      instead(Convolution.forward, lambda self, x:
              convolve(x, self.weight.mT, self.bias, self.stride[0], int(self.padding[0])))),
    mutant("last_layer_turned", "TRANSFORM-3", "x_hat", "the kernel of g_s's last layer is turned by 180°",
      instead(networks.up, lambda c_in, c_out: (Turned if c_out == 3 else Transposed)(c_in, c_out, 5, 2, 2, 1))),
    # the context and the entropy parameters
    mutant("slope_of_a_fifth", "FLOAT-1", "psi", "LeakyReLU's slope in h_s is TensorFlow's 0.2",
      built(with_slope_of_a_fifth)),
    mutant("float_phi_first", "FLOAT-1", "sigma", "entropy_parameters gets phi before psi", built(phi_before_psi)),
    mutant("softplus_of_sigma", "FLOAT-1", "sigma", "the scale goes through softplus",
      around(forward.parameters_of_y, lambda right, *given: (F.softplus((v := right(*given))[0]), v[1]))),
    mutant("scale_of_magnitude", "FLOAT-1", "sigma", "the scale is an absolute value",
      around(forward.parameters_of_y, lambda right, *given: ((v := right(*given))[0].abs(), v[1]))),
    mutant("mask_checkered", "FLOAT-1", "phi", "the mask is a checkerboard",
      instead(MaskedConv2d.mask, lambda self: (torch.arange(25) % 2).float().reshape(5, 5))),
    mutant("context_copied_early", "FLOAT-1", "phi", "the masked kernel is copied before the weights are loaded",
      instead(MaskedConv2d.forward, another_kernel)),
    mutant("encoder_unmasked", "EXACT-2", "mu", "the encoder's loop uses the kernel without its mask",
      around(Reference.exact_symbols, unmasked_in_the_loop)),
    # quantising and likelihoods
    mutant("forward_in_closed_loop", "FLOAT-2", "y_hat", "the forward pass rounds y - mu",
      around(forward.forward_pass, in_closed_loop)),
    mutant("left_in_training", "FLOAT-2", "y_hat", "the forward pass adds noise, as in training",
      around(forward.forward_pass, in_training)),
    mutant("context_of_y", "FLOAT-2", "y_likelihoods", "the context of the forward pass is y",
      around(forward.forward_pass, around_y)),
    mutant("density_of_four_layers", "FLOAT-3", "z_likelihoods", "the density of z lacks a hidden layer",
      around(likelihoods.logits, of_four_layers)),
    mutant("likelihoods_of_magnitude", "FLOAT-3", "y_likelihoods", "a scale's absolute value is taken",
      around(likelihoods.gaussian_likelihoods, lambda right, residual, sigma: right(residual, sigma.abs()))),
    mutant("k_half_away", "EXACT-2", "k", "y - mu on a tie goes away from zero",
      instead(codec.nearest_symbol, lambda units: units.sign() * torch.floor(units.abs() / ONE + 0.5))),
    mutant("scales_to_64", "EXACT-1", "index", "the largest of the 64 scales is 64",
      instead(Model.index, lambda self, sigma: torch.bucketize(
          sigma.contiguous(), 1024 * 0.11 * (64 / 0.11) ** ((torch.arange(63).double() + 0.5) / 63)))),
    mutant("scales_by_a_gain", "ROUNDTRIP-6", "bytes",
      "the index is that of a scale times a gain, symbols have none",
      around(Model.index, lambda right, self, sigma: right(self, sigma * 16))),
    # pictures
    mutant("padded_on_both_sides", "ENCODE-1", "padding", "half of the padding lies left and above",
      instead(planes.pad, on_both_sides)),
    mutant("resized", "ROUNDTRIP-4", "image", "a picture is resized to whole blocks, not padded",
      instead(planes.pad, resized)),
    mutant("pixels_from_minus_1", "ENCODE-1", "dB", "samples go from -1 to 1",
      around(planes.to_tensor, lambda right, image: 2 * right(image) - 1)),
    mutant("four_decimals", "REPRODUCIBLE-1", "stream", "samples are rounded to four decimals before g_a",
      around(planes.to_tensor, lambda right, image: torch.round(right(image), decimals=4))),
    mutant("samples_wrap", "DECODE-1", "wrap", "samples aren't clamped, so they wrap",
      instead(planes.to_image, lambda x_hat: (x_hat * 255).round().long().byte().permute(1, 2, 0).numpy())),
    # the entropy coder and files
    mutant("within_the_table", "RANS-1", "stream", "a symbol beyond its table becomes the table's last one",
      around(Reference.rans_encode, within_the_table)),
    mutant("escapes_without_digits", "RANS-2", "rans_decode", "the bin of escapes is a symbol like others",
      around(rans.pop_escaped, lambda right, x, at, words: (x, at, 0))),
    mutant("sides_in_8_bytes", "ROUNDTRIP-1", "bad-dimensions", "height and width are written as native longs",
      around(bitstream.pack, with_longs)),
)  # fmt: skip
