"""The traversal: which latents come when, and that none knows one which comes later."""

import pytest
import torch

from mbtref.exact import CONTEXT_TAPS, EntropyNetworks
from mbtref.scan import wavefronts
from tests.support import scanned, varied_networks

SIZES = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (4, 4), (3, 8), (8, 3), (7, 6)]


def steps(height: int, width: int) -> list[list[tuple[int, int]]]:
    """The positions (row, column) of every step."""
    return [list(zip(rows.tolist(), columns.tolist(), strict=True)) for rows, columns in wavefronts(height, width)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_context_is_known_before_it_is_needed(height: int, width: int) -> None:
    """Every neighbour in a position's context, if it is in the picture at all, has an earlier step."""
    when = {position: t for t, step in enumerate(steps(height, width)) for position in step}
    for (row, column), t in when.items():
        context = [(row + r - 2, column + c - 2) for r, c in CONTEXT_TAPS]
        late = [position for position in context if when.get(position, -1) >= t]
        assert not late, f"{(row, column)} comes at step {t}, not after {late}"


def test_no_latent_depends_on_a_later_one() -> None:
    """Changing one latent changes parameters in later steps only, and of all that have it in their context."""
    h, w = 2, 2
    networks = EntropyNetworks(varied_networks(3, 5).state_dict())
    positions = [position for step in steps(4 * h, 4 * w) for position in step]
    when = {position: t for t, step in enumerate(steps(4 * h, 4 * w)) for position in step}

    # picture i of the batch has another latent at positions[i]; the last one has none
    k = torch.randint(-3, 4, (1, 4 * h, 4 * w, 5), generator=torch.Generator().manual_seed(5)).double()
    k = k.repeat(len(positions) + 1, 1, 1, 1)
    for i, (row, column) in enumerate(positions):
        k[i, row, column] += 3
    z_hat = networks.z_hat(torch.ones(1, h, w, 3, dtype=torch.float64)).repeat(len(k), 1, 1, 1)
    found = scanned(networks, z_hat, k)
    changed = ((found.sigma != found.sigma[-1]) | (found.mu != found.mu[-1])).any(-1)
    assert not changed[-1].any(), "an unchanged picture should have unchanged parameters"

    for i, (row, column) in enumerate(positions):
        touched = {(r, c) for r, c in changed[i].nonzero().tolist()}
        early = [position for position in touched if when[position] <= when[row, column]]
        assert not early, f"the latent at {(row, column)} changes parameters at {early}, which come before it"
        direct = {(row - r + 2, column - c + 2) for r, c in CONTEXT_TAPS} & when.keys()
        assert direct <= touched, f"the latent at {(row, column)} isn't in the context of {direct - touched}"


def test_a_batch_is_its_pictures() -> None:
    """Pictures scanned together have the parameters and latents that they have alone."""
    networks = EntropyNetworks(varied_networks(3, 5).state_dict())
    random = torch.Generator().manual_seed(6)
    z_hat = networks.z_hat(torch.randint(-5, 6, (3, 1, 2, 3), generator=random).double())
    k = torch.randint(-5, 6, (3, 4, 8, 5), generator=random).double()
    together = scanned(networks, z_hat, k)
    for i in range(3):
        alone = scanned(networks, z_hat[i : i + 1], k[i : i + 1])
        for name, a, b in zip(alone._fields, alone, together, strict=True):
            assert torch.equal(a[0], b[i]), f"{name} of picture {i} depends on the other pictures"
