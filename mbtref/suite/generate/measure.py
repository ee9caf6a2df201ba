"""How near correct float32 implementations come to the frozen tolerances, and to the ties.

This chooses nothing. It shows that the frozen tolerances hold on this machine and on the processors that it can
simulate.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mbtref.suite.generate.implementations import (
    TIE_DISTANCE,
    Bench,
    Implementation,
    floats,
    from_tie,
    rounded,
)
from mbtref.suite.vectors import Vector


class Nearness(NamedTuple):
    """The largest share of a limit that an implementation uses."""

    share: float
    """1 is the limit."""
    what: str
    """A requirement, TIES or OWN_TIES."""
    vector: str
    implementation: str

    def __str__(self) -> str:
        return f"{self.what}: {self.share:.2f} of what is allowed, {self.implementation} at {self.vector}"


TIES = "values that are rounded"
OWN_TIES = "values that are rounded, each over its own distance from a tie"


def measured(bench: Bench, vectors: Iterable[Vector]) -> list[Nearness]:
    """The worst case of each requirement with float tolerances, of TIES and of OWN_TIES. Shows a progress bar."""
    worst: dict[str, Nearness] = {}
    floating = [vector for vector in vectors if vector.tolerance and vector.operation != "decode"]
    for vector in tqdm(floating, leave=False, disable=None):
        for implementation in bench.others:
            for nearness in (*deviations(implementation, vector), *distances(bench, implementation, vector)):
                worst[nearness.what] = max(nearness, worst.get(nearness.what, nearness))
    return sorted(worst.values(), reverse=True)


def deviations(implementation: Implementation, vector: Vector) -> Iterator[Nearness]:
    """The largest deviation divided by the tolerance, for each output and for likelihoods in bits."""
    answer = implementation.call(vector.operation, vector.model, vector.inputs)
    for name, right in vector.expected.items():
        pairs = [(floats(answer[name]), floats(right), vector.tolerance.get(name))]
        if name in vector.bits:
            pairs.append((-np.log2(floats(answer[name])), -np.log2(floats(right)), vector.bits[name]))
        for value, golden, limit in pairs:
            if limit:
                share = float(np.abs(value - golden).max()) / limit
                yield Nearness(share, vector.requirement, vector.name, implementation.name)


def distances(bench: Bench, implementation: Implementation, vector: Vector) -> Iterator[Nearness]:
    """For values that the forward pass rounds: the largest deviation over TIE_DISTANCE and over their own."""
    if not vector.margin or vector.model is None:
        return
    model, x = bench.models[vector.model], np.asarray(vector.inputs["x"], np.float32)
    golden, values = rounded(bench.golden, model, x), rounded(implementation, model, x)
    for name in golden:
        deviation = np.abs(values[name] - golden[name])
        for what, distance in ((TIES, TIE_DISTANCE), (OWN_TIES, from_tie(golden[name]))):
            yield Nearness(float((deviation / distance).max()), what, vector.name, implementation.name)
