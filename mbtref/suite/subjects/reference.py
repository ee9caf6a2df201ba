"""The reference as a subject."""

import functools
from importlib import metadata

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import mbtref
from mbtref import bitstream, codec, planes, rans, tables
from mbtref.devices import usable
from mbtref.openloop import buffers
from mbtref.openloop.forward import forward_pass, parameters_of_y
from mbtref.openloop.likelihoods import factorized_likelihoods, gaussian_likelihoods
from mbtref.scan import Step
from mbtref.suite.operations import CAPABILITIES, Values
from mbtref.suite.subjects.data import model_file
from mbtref.suite.subjects.protocol import Methods, Rejected
from mbtref.suite.subjects.tensors import F32, I32, U8, batch, single
from mbtref.suite.subjects.trace import trace


def units_in(array: npt.NDArray[np.generic]) -> Tensor:
    """(C, H, W) -> (1, H, W, C) float64, as the exact half takes it."""
    return batch(array).permute(0, 2, 3, 1).double()


def units_out(**stages: Tensor) -> Values:
    """(1, H, W, C) integers each -> (C, H, W) int32."""
    whole = {name: stage[0].permute(2, 0, 1).to(torch.int32) for name, stage in stages.items()}
    return {name: stage.contiguous().cpu().numpy() for name, stage in whole.items()}


def coder_tables(cdf: I32, length: I32, offset: I32) -> rans.Tables:
    """Tables as the coder takes them."""
    return rans.Tables(tables.from_arrays({"_quantized_cdf": cdf, "_cdf_length": length, "_offset": offset}))


@functools.cache
def load(name: str, device: str = "cpu") -> mbtref.Model:
    """A model of the vectors, loaded once for the whole run. device: as for `mbtref.load`."""
    return mbtref.load(model_file(name), device=device)


class Reference(Methods):
    """mbtref itself. device: where its networks run. Raises ValueError as `devices.usable` does."""

    name = "mbtref"
    version = metadata.version("mbtref")
    capabilities = CAPABILITIES
    dtype = torch.float32
    """In which the float networks and likelihoods are computed."""
    device = torch.device("cpu")
    """Where the networks run."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = usable(device)
        if self.device.type == "cuda":
            self.version += f" on {device}, {torch.cuda.get_device_name(self.device)}"

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        try:
            return super().call(operation, model, inputs)
        except mbtref.BitstreamError as error:
            raise Rejected(str(error.kind)) from error

    def model(self, name: str) -> mbtref.Model:
        """A model of the vectors."""
        return load(name, str(self.device))

    def batch(self, array: F32) -> Tensor:
        """(C, H, W) -> (1, C, H, W) of `dtype`."""
        return batch(array).to(self.device, self.dtype)

    def units(self, array: I32) -> Tensor:
        """`units_in`, on the device."""
        return units_in(array).to(self.device)

    @torch.no_grad()
    def g_a(self, model: str, x: F32) -> Values:
        return {"y": single(self.model(model).networks.g_a(self.batch(x)))}

    @torch.no_grad()
    def h_a(self, model: str, y: F32) -> Values:
        return {"z": single(self.model(model).networks.h_a(self.batch(y)))}

    @torch.no_grad()
    def g_s(self, model: str, y_hat: F32) -> Values:
        return {"x_hat": single(self.model(model).networks.g_s(self.batch(y_hat)))}

    @torch.no_grad()
    def parameters(self, model: str, z_hat: F32, y_hat: F32) -> Values:
        networks, hyper, latents = self.model(model).networks, self.batch(z_hat), self.batch(y_hat)
        sigma, mu = parameters_of_y(networks, latents, hyper)
        psi, phi = networks.h_s(hyper), networks.context_prediction(latents)
        return {"psi": single(psi), "phi": single(phi), "sigma": single(sigma), "mu": single(mu)}

    @torch.no_grad()
    def forward(self, model: str, x: F32) -> Values:
        found = forward_pass(self.model(model).networks, self.batch(x))
        return {name: single(value) for name, value in found._asdict().items()}

    def gaussian_likelihoods(self, y: F32, mu: F32, sigma: F32) -> Values:
        latents, mean, scale = (self.batch(value) for value in (y, mu, sigma))
        return {"y_likelihoods": single(gaussian_likelihoods(torch.round(latents - mean) + mean - mean, scale))}

    @torch.no_grad()
    def factorized_likelihoods(self, model: str, z_hat: F32) -> Values:
        prior = self.model(model).networks.entropy_bottleneck
        return {"z_likelihoods": single(factorized_likelihoods(prior, self.batch(z_hat)))}

    def exact_parameters(self, model: str, k_z: I32, y_hat: I32) -> Values:
        loaded, latents = self.model(model), self.units(y_hat)
        z_hat = loaded.entropy.z_hat(self.units(k_z))
        phi, sigma, mu, _ = trace(loaded.entropy, z_hat, lambda step: step.of(latents))
        psi, index = loaded.entropy.psi(z_hat), loaded.index(sigma)
        return units_out(z_hat=z_hat, psi=psi, phi=phi, sigma=sigma, mu=mu, index=index)

    def exact_symbols(self, model: str, k_z: I32, y: F32) -> Values:
        loaded, y_units = self.model(model), codec.grid_units(batch(y).to(self.device))

        def choose(step: Step) -> Tensor:
            return step.y_hat(codec.nearest_symbol(step.of(y_units) - step.mu))

        _, sigma, mu, y_hat = trace(loaded.entropy, loaded.entropy.z_hat(self.units(k_z)), choose)
        k = codec.nearest_symbol(y_units - mu)
        return units_out(mu=mu, index=loaded.index(sigma), k=k, y_hat=y_hat)

    def rans_encode(self, symbols: I32, indexes: I32, cdf: I32, length: I32, offset: I32) -> Values:
        return {"stream": rans.encode(symbols, indexes, coder_tables(cdf, length, offset))}

    def rans_decode(self, stream: bytes, indexes: I32, cdf: I32, length: I32, offset: I32) -> Values:
        decoder = rans.Decoder(stream)
        symbols = decoder.pop(indexes, coder_tables(cdf, length, offset))
        decoder.finish()
        return {"symbols": symbols.astype(np.int32)}

    def pack_raw(self, y_hat: F32, z_hat: F32) -> Values:
        return {"buffer": buffers.pack_raw(batch(y_hat), batch(z_hat))}

    def pack_zlib(self, y_hat: F32, z_hat: F32) -> Values:
        return {"buffer": buffers.pack_zlib(batch(y_hat), batch(z_hat))}

    def unpack_raw(self, buffer: bytes) -> Values:
        y_hat, z = buffers.unpack_raw(buffer)
        return {"y_hat": single(y_hat), "z": single(z)}

    def unpack_zlib(self, buffer: bytes) -> Values:
        y_hat, z = buffers.unpack_zlib(buffer)
        return {"y_hat": single(y_hat), "z": single(z)}

    def decode(self, model: str, stream: bytes) -> Values:
        y_hat = codec.decode_latents(self.model(model), [stream])
        return self.shown(model, y_hat, *bitstream.unpack(stream)[1:3])

    def encode(self, model: str, image: U8) -> Values:
        return {"stream": mbtref.encode(self.model(model), image)}

    def encode_reproducible(self, model: str, image: U8) -> Values:
        return {"stream": mbtref.encode(self.model(model).made_reproducible(), image)}

    def decode_reproducible(self, model: str, stream: bytes) -> Values:
        return {"image": mbtref.decode(self.model(model).made_reproducible(), stream)}

    def compress(self, model: str, image: U8) -> Values:
        return {"blob": mbtref.encode(self.model(model), image)}

    def reconstruct(self, model: str, image: U8) -> Values:
        return self.shown(model, codec.encode_latents(self.model(model), image).y_hat, *image.shape[:2])

    def decompress(self, model: str, blob: bytes) -> Values:
        return self.decode(model, blob)

    @torch.no_grad()
    def shown(self, model: str, y_hat: Tensor, height: int, width: int) -> Values:
        """The latents and their picture."""
        x_hat = self.model(model).transforms.g_s(y_hat)[0, :, :height, :width]
        return {"y_hat": single(y_hat), "image": planes.to_image(x_hat)}
