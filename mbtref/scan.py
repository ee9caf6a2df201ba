"""The one traversal of the latents that encoder and decoder share: wavefronts.

The context of a latent reaches two rows up and two columns to either side (figure 1 of Minnen et al. 2018: 5×5,
masked). All positions with the same t = column + 3·row depend on smaller t only. So they form one batch:
W + 3(H - 1) steps replace H·W. The order in a stream is t, then row, then channel.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mbtref.exact import CONTEXT_TAPS, REACH, EntropyNetworks
from mbtref.grid import ONE, saturate
from mbtref.progress import Watch, unwatched

ROW_LAG = REACH + 1
"""A row may start when the row above is this many columns ahead: the context ends REACH columns to the right."""


class Step(NamedTuple):
    """One wavefront: P positions of B pictures. The M latents of each are still to be chosen."""

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

    def of(self, latents: Tensor) -> Tensor:
        """Takes the latents at these positions out of whole pictures. (B, H, W, C) -> (B, P, C)."""
        return latents[:, self.rows, self.columns]

    def y_hat(self, k: Tensor) -> Tensor:
        """saturate(k + mu). k: (B, P, M) float64 integers. Returns grid units, the same shape."""
        return saturate(k * ONE + self.mu)


Choose = Callable[[Step], Tensor]
"""Chooses y_hat of a step, (B, P, M) grid units: an encoder rounds y - mu, a decoder reads its stream."""


def wavefronts(height: int, width: int, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and columns of each step: (P,) int64 both. The device finds them at once, not step by step."""
    rows = torch.arange(height, device=device).repeat_interleave(width)
    columns = torch.arange(width, device=device).repeat(height)
    t = columns + ROW_LAG * rows
    order = torch.argsort(t, stable=True)
    sizes = torch.bincount(t).tolist()
    return zip(*(place[order].split(sizes) for place in (rows, columns)), strict=True)


def scan(networks: EntropyNetworks, z_hat: Tensor, choose: Choose, watch: Watch = unwatched) -> Tensor:
    """Visits all latents in coding order. z_hat: (B, h, w, N) grid units. Returns y_hat, (B, 4h, 4w, M)."""
    psi_sums = networks.psi_sums(networks.psi(z_hat))
    b, h, w, _ = psi_sums.shape
    # y_hat is flat, with a margin above and on either side: one index selects a position
    stride = w + 2 * REACH
    y_hat = z_hat.new_zeros(b, (h + REACH) * stride, networks.M)
    taps = torch.tensor([row * stride + column for row, column in CONTEXT_TAPS], device="cpu").to(z_hat.device)
    centre = REACH * stride + REACH
    for rows, columns in watch(list(wavefronts(h, w, z_hat.device)), "latents"):
        corner = rows * stride + columns
        context = y_hat[:, corner[:, None] + taps].flatten(2)
        phi = networks.phi(context)
        sigma, mu = networks.parameters(psi_sums[:, rows, columns], phi)
        y_hat[:, corner + centre] = choose(Step(rows, columns, phi, sigma, mu))
    return y_hat.reshape(b, h + REACH, stride, networks.M)[:, REACH:, REACH:-REACH]
