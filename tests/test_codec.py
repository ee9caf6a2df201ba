"""The whole codec: what was encoded is decoded, bit for bit, wherever and however it is done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbtref import Model, codec, decode, encode, load, planes, rans
from mbtref.bitstream import HEADER_BYTES
from mbtref.compiled import Array
from mbtref.image import Image
from mbtref.making.complete import export
from mbtref.openloop.forward import parameters_of_y, quantized
from mbtref.openloop.likelihoods import factorized_likelihoods, gaussian_likelihoods
from tests.support import picture, varied_networks


def check_round_trip(model: Model, pixels: Image) -> None:
    """Asserts that a decoder finds the encoder's latents, and makes of them a picture of the right size."""
    encoded = codec.encode_latents(model, pixels)
    found = codec.decode_latents(model, [encoded.data])
    assert torch.equal(found, encoded.y_hat), "the decoder finds other latents than the encoder chose"
    x_hat = model.transforms.g_s(encoded.y_hat)[0, :, : pixels.shape[0], : pixels.shape[1]]
    decoded = decode(model, encoded.data)
    assert (decoded == planes.to_image(x_hat)).all(), "the picture isn't g_s of the latents, cropped"
    assert decoded.shape == pixels.shape, f"a picture of {pixels.shape} became one of {decoded.shape}"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (64, 64), (65, 64), (63, 129)])
def test_round_trip(lite: Model, height: int, width: int) -> None:
    """A decoder finds the very latents of the encoder, whatever the size."""
    check_round_trip(lite, picture(height, width))


def test_round_trip_of_extreme_latents(tmp_path: Path) -> None:
    """The same for latents that all saturate, at either end of their range, far outside their tables."""
    networks = varied_networks(3, 5)
    networks.get_parameter("g_a.6.weight").mul_(1e9)
    export(networks, tmp_path / "extreme.safetensors", {})
    model = load(tmp_path / "extreme.safetensors")
    y_hat = codec.encode_latents(model, picture(64, 64)).y_hat
    assert -y_hat.min() > 4090 < y_hat.max(), f"latents from {y_hat.min()} to {y_hat.max()} aren't extreme"
    check_round_trip(model, picture(64, 64))


def test_encoding_is_deterministic(lite: Model) -> None:
    """One picture gives the same bytes each time, however its array is laid out, and isn't changed."""
    pixels = picture(65, 64)
    pixels.flags.writeable = False
    assert encode(lite, pixels) == encode(lite, pixels.copy(order="F")), "the stream is another one each time"


def test_streams_of_one_size_decode_together(lite: Model) -> None:
    """Streams of one padded size give, in a batch, the latents and pictures that each gives alone."""
    sizes = [(65, 64), (128, 1), (70, 40)]
    streams = [encode(lite, picture(height, width)) for height, width in sizes]
    together = codec.decode_latents(lite, streams)
    for i, stream in enumerate(streams):
        assert torch.equal(together[i : i + 1], codec.decode_latents(lite, [stream])), (
            f"latents of stream {i} differ"
        )
    shapes = [decoded.shape for decoded in codec.decode_batch(lite, streams)]
    assert shapes == [(*size, 3) for size in sizes], f"a batch of {sizes} became {shapes}"


def test_pictures_of_one_size_are_encoded_together(lite: Model) -> None:
    """Pictures of one padded size give, in a batch, the very bytes that each gives alone."""
    pictures = [picture(65, 64), picture(128, 1), picture(70, 40)[::-1].copy()]
    alone = [encode(lite, pixels) for pixels in pictures]
    assert codec.encode_batch(lite, pictures) == alone, "a stream depends on the other pictures of its batch"


def test_streams_of_several_sizes_do_not(lite: Model) -> None:
    """A batch of no streams or pictures, or of several padded sizes, is a ValueError."""
    for pictures in ([], [picture(64, 64), picture(64, 65)]):
        with pytest.raises(ValueError, match="one or more pictures of one padded size"):
            codec.encode_batch(lite, pictures)
    small, large = encode(lite, picture(64, 64)), encode(lite, picture(64, 65))
    for streams in ([], [small, large]):
        with pytest.raises(ValueError, match="one or more pictures of one padded size"):
            codec.decode_latents(lite, streams)


@pytest.fixture(scope="module")
def encoded(lite: Model) -> codec.Encoded:
    """A picture large enough for its matrix products to be shared between threads."""
    return codec.encode_latents(lite, picture(128, 192))


def test_streams_are_as_short_as_their_tables_allow(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is its header, what its symbols cost under their tables, and at most 64 bits of state."""
    ideal = []

    def spy(symbols: Array, indexes: Array, tables: rans.Tables) -> bytes:
        steps = rans.steps(symbols, indexes, tables)
        ideal.append(float((steps.bits - np.log2(steps.freq)).sum()))
        return original(symbols, indexes, tables)

    original = rans.encode
    monkeypatch.setattr(rans, "encode", spy)
    bits = 8 * (len(encode(lite, picture(128, 192))) - HEADER_BYTES)
    assert len(ideal) == 1, f"an image should be one rANS stream, here are {len(ideal)}"
    assert ideal[0] <= bits <= ideal[0] + 64, f"{bits} bits for symbols that cost {ideal[0]:.1f}"


def test_streams_are_near_the_float_model(lite: Model, encoded: codec.Encoded) -> None:
    """A stream's length is what the float networks say of its own, closed-loop latents, to 1 %."""
    networks = lite.networks
    z_hat = quantized(networks, networks.h_a(networks.g_a(planes.to_tensor(picture(128, 192)))))
    sigma, mu = parameters_of_y(networks, encoded.y_hat, z_hat)
    likelihoods = (
        gaussian_likelihoods(encoded.y_hat - mu, sigma),
        factorized_likelihoods(networks.entropy_bottleneck, z_hat),
    )
    ideal = -sum(torch.log2(p).sum().item() for p in likelihoods)
    bits = 8 * (len(encoded.data) - HEADER_BYTES)
    assert abs(bits / ideal - 1) < 0.01, f"{bits} bits, {ideal:.0f} in theory"


def test_a_name_is_no_model(lite: Model) -> None:
    """Who passes the name of a model, or the arguments the other way round, is told what to pass."""
    wrong: Any
    for wrong, fix in (("lite-q4", r"mbtref\.load\('lite-q4'\)"), (picture(8, 8), "the model comes first")):
        with pytest.raises(ValueError, match=fix):
            encode(wrong, picture(8, 8))
        with pytest.raises(ValueError, match=fix):
            decode(wrong, b"MBT")


def test_a_zoo_model_is_loaded_elsewhere() -> None:
    """Who loads a zoo model here is told where to."""
    with pytest.raises(ValueError, match=r"mbtref\.workbench\.zoo\.load"):
        load("zoo-q4")


def test_any_bytes_are_a_stream(lite: Model) -> None:
    """A bytearray and a view of whatever items decode as bytes do; a path is told how to read the file."""
    data = encode(lite, picture(64, 64))
    words = np.frombuffer(data, np.uint32).data
    for form in (bytearray(data), memoryview(data), words):
        assert (decode(lite, form) == decode(lite, data)).all(), f"a {type(form).__name__} is another picture"
    wrong: Any
    for wrong in ("a.mbt", Path("a.mbt"), None):
        with pytest.raises(ValueError, match="read_bytes"):
            decode(lite, wrong)


@pytest.mark.parametrize(("height", "width"), [(8192, 4097), (1, 65536), (65536, 1)])
def test_too_large_a_picture_is_refused(lite: Model, height: int, width: int) -> None:
    """Encoding more than a header can say is a ValueError, before anything is computed."""
    # one pixel, repeated without memory
    huge = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
    with pytest.raises(ValueError, match=f"{width}×{height} pixels can't be coded"):
        encode(lite, huge)
