"""Reproducible transforms: the same bits in any order of sums, on any processor, and those of plain float64."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mbtref import Model, decode, encode, load, planes
from mbtref.grid import EXACT
from mbtref.progress import unwatched
from mbtref.reproducible import EXPONENT_MIN, Sums, in_exact_sums, split
from mbtref.suite.generate.implementations import without_onednn
from mbtref.suite.processors import PROCESSORS
from mbtref.transforms import apply
from tests.support import output_of, picture, run, varied_networks

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


def test_they_are_those_of_float64() -> None:
    """Each transform agrees with PyTorch's own layers in float64, nearly to the last digit."""
    networks = varied_networks(6, 10)
    ours, wide = in_exact_sums(networks), copy.deepcopy(networks).double()
    x = planes.pad(planes.to_tensor(PICTURE))
    y = wide.g_a(x.double()).float()
    for name, found, right in (
        ("g_a", ours._g_a(x, unwatched), wide.g_a(x.double())),
        ("h_a", apply(ours._h_a, y), wide.h_a(y.double())),
        ("g_s", ours.g_s(y.round()), wide.g_s(y.round().double())),
    ):
        error = ((found - right).abs().max() / right.abs().max()).item()
        assert error < ACCURACY, f"{name} is off by {error:.3g} of its largest value"


CHILD = """
import sys
import numpy as np
from mbtref import decode, encode, load
model = load("lite-q4", reproducible=True)
stream = encode(model, np.load(sys.argv[1]))
print(stream.hex(), decode(model, stream).tobytes().hex())
"""


@pytest.mark.parametrize("processor", sorted(PROCESSORS))
def test_bytes_and_pixels_do_not_depend_on_the_processor(
    processor: str, tmp_path: Path, reproducible: Model
) -> None:
    """On every simulated processor, encoding gives the bytes and decoding the pixels that they give here."""
    np.save(tmp_path / "picture.npy", PICTURE)
    stream, pixels = output_of("-c", CHILD, tmp_path / "picture.npy", more=PROCESSORS[processor]).split()
    right = encode(reproducible, PICTURE)
    assert stream == right.hex(), f"{processor} gives another stream"
    assert pixels == decode(reproducible, right).tobytes().hex(), f"{processor} gives another picture"


def test_bytes_and_pixels_do_not_depend_on_onednn(reproducible: Model) -> None:
    """Nor do they without oneDNN, which does change the last digits of float32 transforms."""
    x = planes.pad(planes.to_tensor(PICTURE))
    data = encode(reproducible, PICTURE)
    with without_onednn():
        other = reproducible.networks.g_a(x)
        assert encode(reproducible, PICTURE) == data, "oneDNN changes the stream"
        shown = decode(reproducible, data)
    assert np.array_equal(shown, decode(reproducible, data)), "oneDNN changes the picture"
    assert not torch.equal(other, reproducible.networks.g_a(x)), "this machine has one order of sums only"


def test_command_line(tmp_path: Path, reproducible: Model) -> None:
    """`--reproducible` writes the bytes and shows the pixels of a model loaded so."""
    original, stream, decoded = (tmp_path / name for name in ("p.png", "p.mbt", "d.png"))
    Image.fromarray(PICTURE).save(original)
    assert run("encode", original, "-o", stream, "--reproducible") == 0, "encoding fails"
    assert run("decode", stream, "-o", decoded, "--reproducible") == 0, "decoding fails"
    assert stream.read_bytes() == encode(reproducible, PICTURE), "the command writes another stream"
    shown = np.array(Image.open(decoded))
    assert np.array_equal(shown, decode(reproducible, stream.read_bytes())), "the command shows another picture"
