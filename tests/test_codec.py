"""The whole codec where the suite doesn't look: batches, extreme latents, layouts in memory, callers' mistakes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbtref import Model, codec, decode, encode, load, planes
from mbtref.bitstream import HEADER_BYTES
from mbtref.image import Image
from mbtref.making.complete import export
from mbtref.openloop.forward import parameters_of_y, quantized
from mbtref.openloop.likelihoods import factorized_likelihoods, gaussian_likelihoods
from tests.support import picture, varied_networks

PICTURES = [picture(65, 64), picture(128, 1), picture(70, 40)[::-1].copy()]
"""Of one padded size."""


def test_extreme_latents_come_back(tmp_path: Path) -> None:
    """A decoder finds the encoder's latents where all saturate, at either end, far outside their tables."""
    networks = varied_networks(3, 5)
    networks.get_parameter("g_a.6.weight").mul_(1e9)
    model = export(networks, tmp_path / "extreme.safetensors", {})
    encoded = codec.encode_latents(model, picture(64, 64))
    y_hat = encoded.y_hat
    assert -y_hat.min() > 4090 < y_hat.max(), f"latents from {y_hat.min()} to {y_hat.max()} aren't extreme"
    assert torch.equal(codec.decode_latents(model, [encoded.data]), y_hat), "decoder and encoder disagree"


@pytest.mark.parametrize("reproducible", [False, True])
def test_pictures_in_a_batch_are_independent(reproducible: bool) -> None:
    """In a batch, each picture has the stream and each stream the latents and the picture that it has alone.

    Either kind of model reads the other kind's streams to the same latents.
    """
    model, other = (load("lite-q4", reproducible=kind) for kind in (reproducible, not reproducible))
    streams = codec.encode_batch(model, PICTURES)
    assert streams == [encode(model, pixels) for pixels in PICTURES], "a stream depends on its batch"
    together = zip(codec.decode_latents(model, streams), codec.decode_batch(model, streams), strict=True)
    for stream, pixels, (latents, shown) in zip(streams, PICTURES, together, strict=True):
        assert shown.shape == pixels.shape, f"a picture of {pixels.shape} became one of {shown.shape}"
        assert np.array_equal(shown, decode(model, stream)), "a picture depends on its batch"
        assert torch.equal(latents, codec.decode_latents(other, [stream])[0]), "latents depend on their batch"


def test_forms_of_arrays_and_bytes_change_nothing(lite: Model) -> None:
    """A read-only picture and one in column order give the same stream; so is any buffer of its bytes."""
    pixels = picture(65, 64)
    pixels.flags.writeable = False
    data = encode(lite, pixels)
    assert data == encode(lite, pixels.copy(order="F")), "the stream depends on the layout in memory"
    for form in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint32).data):
        assert (decode(lite, form) == decode(lite, data)).all(), f"a {type(form).__name__} is another picture"


def test_streams_are_near_the_float_model(lite: Model) -> None:
    """A stream's length is what the float networks say of its own, closed-loop latents, to 1 %."""
    networks, pixels = lite.networks, picture(128, 192)
    encoded = codec.encode_latents(lite, pixels)
    z_hat = quantized(networks, networks.h_a(networks.g_a(planes.to_tensor(pixels))))
    sigma, mu = parameters_of_y(networks, encoded.y_hat, z_hat)
    likelihoods = (
        gaussian_likelihoods(encoded.y_hat - mu, sigma),
        factorized_likelihoods(networks.entropy_bottleneck, z_hat),
    )
    ideal = -sum(torch.log2(p).sum().item() for p in likelihoods)
    bits = 8 * (len(encoded.data) - HEADER_BYTES)
    assert abs(bits / ideal - 1) < 0.01, f"{bits} bits, {ideal:.0f} in theory"


UNEQUAL = [picture(64, 64), picture(64, 65)]


def decode_streams_of(model: Model, pictures: list[Image]) -> torch.Tensor:
    """Decodes the streams of pictures together."""
    return codec.decode_latents(model, [encode(model, pixels) for pixels in pictures])


@pytest.mark.parametrize(
    ("function", "given", "fix"),
    [
        (encode, ("lite-q4", UNEQUAL[0]), r"mbtref\.load\('lite-q4'\)"),
        (decode, ("lite-q4", b"MBT"), r"mbtref\.load\('lite-q4'\)"),
        (encode, (UNEQUAL[0], UNEQUAL[0]), "the model comes first"),
        (decode, (UNEQUAL[0], b"MBT"), "the model comes first"),
        *((decode, (None, wrong), "read_bytes") for wrong in ("a.mbt", Path("a.mbt"), None)),
        (codec.encode_batch, (None, []), "one or more pictures of one padded size"),
        (codec.encode_batch, (None, UNEQUAL), "one or more pictures of one padded size"),
        (decode_streams_of, (None, []), "one or more pictures of one padded size"),
        (decode_streams_of, (None, UNEQUAL), "one or more pictures of one padded size"),
    ],
)
def test_the_fix_is_told(lite: Model, function: Any, given: tuple[Any, Any], fix: str) -> None:
    """A caller's mistake is a ValueError that says what to pass. None: the model."""
    with pytest.raises(ValueError, match=fix):
        function(lite if given[0] is None else given[0], given[1])
