"""A scan with its intermediate results: the stages that the suite compares one by one."""

from typing import NamedTuple

from torch import Tensor

from mbtref.exact import EntropyNetworks
from mbtref.scan import Choose, Step, scan


class Trace(NamedTuple):
    """All results of a scan: (B, 4h, 4w, C) grid units each."""

    phi: Tensor
    sigma: Tensor
    mu: Tensor
    y_hat: Tensor


def trace(networks: EntropyNetworks, z_hat: Tensor, choose: Choose) -> Trace:
    """`scan`, with its intermediate results."""
    steps: list[Step] = []

    def kept(step: Step) -> Tensor:
        steps.append(step)
        return choose(step)

    y_hat = scan(networks, z_hat, kept)

    def whole(parts: list[Tensor]) -> Tensor:
        values = y_hat.new_zeros(*y_hat.shape[:3], parts[0].shape[-1])
        for step, part in zip(steps, parts, strict=True):
            values[:, step.rows, step.columns] = part
        return values

    phi, sigma, mu = (whole([getattr(step, name) for step in steps]) for name in ("phi", "sigma", "mu"))
    return Trace(phi, sigma, mu, y_hat)
