"""The one traversal of the latents that encoder and decoder share: wavefronts.

The context of a latent is two rows up and two columns to either side (figure 1 of Minnen et al. 2018: 5×5,
masked). All positions with the same t = column + 3·row depend on smaller t only, so they are done in one batch:
W + 3(H - 1) steps in place of H·W. The order in a stream is t, then row, then channel.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mbtref.exact import CONTEXT_TAPS, EntropyNetworks
from mbtref.grid import ACTIVATION_BITS, saturate

ROW_LAG = 3
"""A row may start once the one above is this many columns ahead: the context's right end is at +2."""


class Step(NamedTuple):
    """One wavefront: P positions of B pictures, whose M latents are to be chosen."""

    rows: Tensor
    """(P,) int64, rising."""
    columns: Tensor
    """(P,) int64."""
    phi: Tensor
    """(B, P, 2M) grid units."""
    sigma: Tensor
    """(B, P, M) grid units."""
    mu: Tensor
    """(B, P, M) grid units."""


def wavefronts(height: int, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and columns of each step: (P,) int64 both."""
    for t in range(width + ROW_LAG * (height - 1)):
        first = max(0, -(-(t - width + 1) // ROW_LAG))
        rows = torch.arange(first, min(height - 1, t // ROW_LAG) + 1, device="cpu")
        yield rows, t - ROW_LAG * rows


def scan(networks: EntropyNetworks, z_hat: Tensor, choose: Callable[[Step], Tensor]) -> Tensor:
    """Visits all latents in coding order and returns y_hat = k + mu.

    z_hat: (B, h, w, N) grid units. choose: gives the symbols k of a step, (B, P, M) float64 integers; an
    encoder rounds y - mu, a decoder reads its stream. Returns (B, 4h, 4w, M) grid units.
    """
    psi_sums = networks.psi_sums(networks.psi(z_hat))
    b, h, w, _ = psi_sums.shape
    # y_hat with two rows above and two columns on either side, flat, so that one index finds a position
    stride = w + 4
    y_hat = z_hat.new_zeros(b, (h + 2) * stride, networks.M)
    taps = torch.tensor([row * stride + column for row, column in CONTEXT_TAPS], device=z_hat.device)
    centre = 2 * stride + 2
    for rows, columns in wavefronts(h, w):
        corner = rows * stride + columns
        context = y_hat[:, corner[:, None] + taps].flatten(2)
        phi = networks.phi(context)
        sigma, mu = networks.parameters(psi_sums[:, rows, columns], phi)
        k = choose(Step(rows, columns, phi, sigma, mu))
        y_hat[:, corner + centre] = saturate(k * 2.0**ACTIVATION_BITS + mu)
    return y_hat.reshape(b, h + 2, stride, networks.M)[:, 2:, 2:-2]
