"""Reproducible transforms: the same bits in any order of sums, on any processor, and those of plain float64."""

import copy
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mbtref import Model, codec, decode, encode, load, planes
from mbtref.grid import EXACT
from mbtref.making.complete import export
from mbtref.reproducible import EXPONENT_MIN, Reproducible, Sums, split
from mbtref.suite.generate.implementations import without_onednn
from mbtref.suite.processors import PROCESSORS
from tests.support import picture, run, varied_networks

PICTURE = picture(97, 130)
ACCURACY = 2.0**-34
"""Of a transform, relative to its largest value: layers come to 2^-40, and each passes on what it was given."""


@pytest.fixture(scope="module")
def reproducible() -> Model:
    return load("lite-q4", reproducible=True)


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(-30, 30), st.integers(0, 30))
def test_sums_have_no_order(seed: int, inputs: int, exponent: int, spread: int) -> None:
    """Terms in another order, or added by halves, give the same bits, however far apart their magnitudes are."""
    random = np.random.default_rng(seed)

    def values(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.normal(size=shape) * 2.0 ** random.integers(-spread, spread + 1, shape))

    matrix, a = values(inputs, 3), values(1, 1, 2, inputs) * 2.0**exponent
    order = torch.from_numpy(random.permutation(inputs))
    layer, shuffled = Sums(matrix, torch.zeros(3)), Sums(matrix[order], torch.zeros(3))
    assert torch.equal(layer(a), shuffled(a[..., order])), "the sums depend on their order"
    high, low = split(a, layer.bits)
    half = inputs // 2
    sums = [part[..., :half] @ layer.high[:half] + part[..., half:] @ layer.high[half:] for part in (high, low)]
    assert torch.equal(sums[0], high @ layer.high), "sums of the high parts are rounded"
    assert torch.equal(sums[1], low @ layer.high), "sums of the low parts are rounded"


@pytest.mark.parametrize("inputs", [1, 75, 432, 1200, 4800, 8000])
def test_sums_stay_below_2_53(inputs: int) -> None:
    """No sum of products of parts can leave float64's integers, and no bit is given away."""
    bits = Sums(torch.ones(inputs, 1), torch.zeros(1)).bits
    assert inputs * 2 ** (2 * bits) <= EXACT < inputs * 2 ** (2 * bits + 3), f"{bits} bits for {inputs} inputs"


@pytest.mark.parametrize("scale", [0.0, 1e-320, 1e-160, 1.0, 1e18, 1e150])
def test_split_is_a_sum_of_parts(scale: float) -> None:
    """The parts of a tensor are integers of few bits in one unit, and add up to it, at any magnitude."""
    v = torch.linspace(-1, 1, 101, dtype=torch.float64) * scale
    parts = split(v, 20)
    error = (parts[0] + parts[1] - v).abs().max().item()
    assert error <= max(2.0**-40 * scale, 2.0 ** (EXPONENT_MIN - 40)), f"the parts miss {scale} by {error}"
    for part in parts:
        assert len(set(part.tolist())) <= 2**21, "a part has more than 20 bits and a sign"


@pytest.mark.parametrize("model", ["lite-q3", "varied"])
def test_they_are_those_of_float64(tmp_path: Path, model: str) -> None:
    """Each transform agrees with PyTorch's own layers in float64, nearly to the last digit."""
    if model == "varied":
        networks = export(varied_networks(6, 10), tmp_path / "varied.safetensors", {}).networks
    else:
        networks = load(model).networks
    ours, wide = Reproducible(networks), copy.deepcopy(networks).double()
    x = planes.pad(planes.to_tensor(PICTURE))
    y = wide.g_a(x.double()).float()
    for name, found, right in (
        ("g_a", ours._g_a(x), wide.g_a(x.double())),
        ("h_a", ours._h_a(y), wide.h_a(y.double())),
        ("g_s", ours.g_s(y.round()), wide.g_s(y.round().double())),
    ):
        error = ((found - right).abs().max() / right.abs().max()).item()
        assert error < ACCURACY, f"{name} is off by {error:.3g} of its largest value"


CHILD = """
import hashlib, sys
from pathlib import Path
from mbtref import decode, encode, load
from tests.test_reproducible import PICTURE
model = load("lite-q4", reproducible=True)
data = encode(model, PICTURE)
print(hashlib.sha256(data).hexdigest(), hashlib.sha256(decode(model, data).tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def digests(reproducible: Model) -> list[str]:
    """Of the stream, and of its picture."""
    data = encode(reproducible, PICTURE)
    return [hashlib.sha256(part).hexdigest() for part in (data, decode(reproducible, data).tobytes())]


@pytest.mark.parametrize("processor", sorted(PROCESSORS))
def test_bytes_and_pixels_do_not_depend_on_the_processor(processor: str, digests: list[str]) -> None:
    """Encoding gives the same bytes and decoding the same pixels on every simulated processor."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **PROCESSORS[processor]}
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment)
    assert child.returncode == 0, f"the codec fails: {child.stderr}"
    assert child.stdout.split() == digests, f"{processor} gives another stream or picture"


def test_bytes_and_pixels_do_not_depend_on_onednn(reproducible: Model, digests: list[str]) -> None:
    """Nor do they without oneDNN."""
    with without_onednn():
        data = encode(reproducible, PICTURE)
        found = [hashlib.sha256(part).hexdigest() for part in (data, decode(reproducible, data).tobytes())]
    assert found == digests, "oneDNN changes the stream or the picture"


def test_the_float_path_would_not_do(reproducible: Model) -> None:
    """Float32 transforms give other last digits without oneDNN: what the tests above rule out does happen."""
    x = planes.pad(planes.to_tensor(PICTURE))
    with without_onednn():
        other = reproducible.networks.g_a(x)
    assert not torch.equal(other, reproducible.networks.g_a(x)), "this machine has one order of sums only"


def test_pictures_in_a_batch_are_independent(reproducible: Model) -> None:
    """A picture decoded beside others is the picture decoded alone."""
    streams = [encode(reproducible, pixels) for pixels in (PICTURE, PICTURE[::-1].copy())]
    for stream, together in zip(streams, codec.decode_batch(reproducible, streams), strict=True):
        assert np.array_equal(decode(reproducible, stream), together), "a picture depends on its batch"


def test_streams_are_of_one_format(lite: Model, reproducible: Model) -> None:
    """Either kind of encoder's stream is read by either kind of decoder, to the same latents."""
    for writer in (lite, reproducible):
        data = encode(writer, PICTURE)
        found = [codec.decode_latents(reader, [data]) for reader in (lite, reproducible)]
        assert torch.equal(*found), "the latents of a stream depend on how transforms are computed"


def test_command_line(tmp_path: Path, reproducible: Model) -> None:
    """`--reproducible` writes the bytes and shows the pixels of a model loaded so."""
    original, stream, decoded = (tmp_path / name for name in ("p.png", "p.mbt", "d.png"))
    Image.fromarray(PICTURE).save(original)
    assert run("encode", original, "-o", stream, "--reproducible") == 0, "encoding fails"
    assert run("decode", stream, "-o", decoded, "--reproducible") == 0, "decoding fails"
    assert stream.read_bytes() == encode(reproducible, PICTURE), "the command writes another stream"
    shown = np.array(Image.open(decoded))
    assert np.array_equal(shown, decode(reproducible, stream.read_bytes())), "the command shows another picture"
