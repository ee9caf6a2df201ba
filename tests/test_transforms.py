"""Transforms in tiles: those of the whole picture, nearly to the last digit, at any size and any cut."""

import sys

import pytest
import torch
from torch import Tensor

from mbtref import Model, codec, exact, planes, transforms
from mbtref.devices import DEVICES
from mbtref.transforms import MARGIN, Span, in_float32
from tests.support import output_of, picture, varied_networks

NETWORKS = varied_networks(4, 6)
ACCURACY = 1e-5
"""Largest difference, in parts of the largest value: float32 sums in another order."""
SIZES = [(64, 64), (128, 192), (320, 64), (64, 448)]


def tensor(height: int, width: int, channels: int) -> Tensor:
    """Random values in the order of a codec's tensors."""
    return torch.randn(1, height, width, channels, generator=torch.Generator().manual_seed(1)).permute(0, 3, 1, 2)


def check_near(found: Tensor, right: Tensor, what: str) -> None:
    """Asserts that a tensor has the values of another one, nearly to the last digit."""
    assert found.shape == right.shape, f"{what} has shape {tuple(found.shape)}, not {tuple(right.shape)}"
    off = (found - right).abs() > ACCURACY * right.abs().max()
    assert not off.any(), f"{what} is wrong at {off.nonzero()[0].tolist()}, and at {int(off.sum())} values in all"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [64, 128, 768])
def test_tiles_are_parts_of_the_whole(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], tile: int) -> None:
    """Whatever the tiles, g_a and g_s give what the networks give for the whole picture."""
    monkeypatch.setattr(transforms, "TILE", tile)
    height, width = size
    x, y_hat = tensor(height, width, 3), tensor(height // 16, width // 16, 6)
    for kind in DEVICES:
        tiled = in_float32(NETWORKS, kind)
        check_near(tiled.g_a(x), NETWORKS.g_a(x), f"y of {kind}")
        check_near(tiled.g_s(y_hat), NETWORKS.g_s(y_hat), f"x_hat of {kind}")


@pytest.mark.parametrize("network", ["g_a", "g_s"])
def test_a_tile_sees_all_that_it_depends_on(network: str) -> None:
    """What a tile keeps depends on nothing outside of what it sees, and on something in its margins."""
    run, before, after = getattr(NETWORKS, network), *((16, 1) if network == "g_a" else (1, 16))
    v = tensor(16 * before, 4 * before, 3 if network == "g_a" else 6)
    rows = Span(first=6 - MARGIN, begin=6, end=9, last=9 + MARGIN)
    kept, seen = slice(rows.begin * after, rows.end * after), rows.seen(before)
    changed, outside = v.clone(), v.clone()
    changed[:, :, seen.start : rows.begin * before] += 1
    outside[:, :, : seen.start] += 1
    outside[:, :, seen.stop :] += 1
    assert torch.equal(run(outside)[:, :, kept], run(v)[:, :, kept]), "a tile depends on what it doesn't see"
    assert not torch.equal(run(changed)[:, :, kept], run(v)[:, :, kept]), "the margin is seen in vain"


@pytest.mark.parametrize("size", [1, 47, 48, 49, 96, 100])
def test_spans_cover_a_side_once(size: int) -> None:
    """Tiles keep every latent of a side once, in order, and see MARGIN more where there are any."""
    found = list(transforms.spans(size))
    assert [i for span in found for i in range(span.begin, span.end)] == list(range(size)), f"spans are {found}"
    for span in found:
        seen = max(0, span.begin - MARGIN), min(size, span.end + MARGIN)
        assert (span.first, span.last) == seen, f"{span} should see {seen}"


def test_strips_change_nothing(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GDN gives the same for rows one by one, and h_s the same bits."""
    v, z_hat = tensor(9, 8, 4), torch.round(1000 * tensor(3, 2, 48)).permute(0, 2, 3, 1).double()
    psi = lite.entropy.psi(z_hat)
    for values in (1, 10**4, exact.STRIP_VALUES["cuda"]):
        monkeypatch.setitem(exact.STRIP_VALUES, "cpu", values)
        assert torch.equal(lite.entropy.psi(z_hat), psi), f"strips of {values} values give another psi"
    for values in (1, 70, 10**6):
        monkeypatch.setattr(transforms, "STRIP_VALUES", values)
        check_near(transforms.in_strips(NETWORKS.g_a[1], v), NETWORKS.g_a[1](v), f"strips of {values} values")


def test_a_picture_does_not_depend_on_its_batch(lite: Model) -> None:
    """Transforms of a batch are those of its pictures, bit for bit."""
    x = torch.cat([planes.to_tensor(picture(64, 128)), planes.to_tensor(picture(64, 128)).flip(3)])
    y = lite.transforms.g_a(x)
    for i in range(2):
        assert torch.equal(y[i : i + 1], lite.transforms.g_a(x[i : i + 1])), (
            f"y of picture {i} depends on the other"
        )
    assert torch.equal(lite.transforms.g_s(y)[1:], lite.transforms.g_s(y[1:])), "x_hat depends on the batch"


@pytest.mark.parametrize("reproducible", [False, True])
def test_loops_can_be_watched(lite: Model, reproducible: bool) -> None:
    """Whoever watches sees each loop with its steps, and the bytes and pixels stay the same."""
    model = lite.made_reproducible() if reproducible else lite
    seen: dict[str, int] = {}

    def watch(steps, name):  # type: ignore[no-untyped-def]
        seen[name] = len(steps)
        return steps

    data = codec.encode(model, picture(64, 128), watch)
    assert data == codec.encode(model, picture(64, 128)), "a watched encoder writes another stream"
    assert (codec.decode(model, data, watch) == codec.decode(model, data)).all(), "a watched decoder shows another"
    assert seen.keys() == {"g_a", "latents", "g_s"}, f"the loops are {seen}"
    assert seen["latents"] == 8 + 3 * 3, f"8×4 latents have 17 wavefronts, not {seen['latents']}"


MEMORY = """
import resource
import sys
import numpy as np
from mbtref import codec, load, transforms
side, transforms.TILE = 768, 256
encoder, decoder = load("lite-q4"), load("lite-q4", reproducible=sys.argv[1] == "True")
codec.decode(decoder, codec.encode(encoder, np.zeros((64, 64, 3), np.uint8)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
row = np.tile(np.arange(256, dtype=np.uint8), (side, side // 256))
codec.decode(decoder, codec.encode(encoder, np.stack([row, row.T, row ^ row.T], -1)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / side**2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is known on Linux alone")
@pytest.mark.parametrize(("reproducible", "limit"), [(False, 120), (True, 400)])
def test_memory_is_bounded(reproducible: bool, limit: int) -> None:
    """In tiles, coding a picture takes few bytes a pixel; in one piece it takes 150, or 770 if reproducible."""
    taken = float(output_of("-c", MEMORY, reproducible))
    assert taken < limit, f"it took {taken:.0f} bytes a pixel"
