"""How near correct float32 implementations come to the frozen tolerances, and to the ties.

This chooses nothing. It shows that the frozen tolerances hold on this machine and on the processors that it can
simulate.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from tqdm import tqdm

from mbtref.suite.generate.implementations import TIE_DISTANCE, Bench, compared, from_tie, rounded
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector

TIES = "values that are rounded"
OWN_TIES = "values that are rounded, each over its own distance from a tie"


def measured(bench: Bench, vectors: Iterable[Vector]) -> dict[str, tuple[float, str]]:
    """The largest share of a limit that an implementation uses (1 is the limit), and which uses it where.

    By requirement with float tolerances, TIES and OWN_TIES; the largest first. Shows a progress bar.
    """
    worst: dict[str, tuple[float, str]] = {}
    floating = [vector for vector in vectors if vector.tolerance and vector.operation != "decode"]
    for vector in tqdm(floating, leave=False, disable=None):
        for name, implementation in bench.others.items():
            for what, share in (*deviations(implementation, vector), *distances(bench, implementation, vector)):
                worst[what] = max((share, f"{name} at {vector.name}"), worst.get(what, (0.0, "")))
    return dict(sorted(worst.items(), key=lambda item: item[1], reverse=True))


def deviations(implementation: Subject, vector: Vector) -> Iterator[tuple[str, float]]:
    """The largest deviation divided by the tolerance, for each output and for likelihoods in bits."""
    answer = compared(implementation.call(vector.operation, vector.model, vector.inputs))
    for (name, unit), golden in compared(vector.expected).items():
        if limit := (vector.bits if unit == "bits" else vector.tolerance).get(name):
            yield vector.requirement, float(np.abs(answer[name, unit] - golden).max()) / limit


def distances(bench: Bench, implementation: Subject, vector: Vector) -> Iterator[tuple[str, float]]:
    """For values that the forward pass rounds: the largest deviation over TIE_DISTANCE and over their own."""
    if not vector.margin or vector.model is None:
        return
    model, x = bench.models[vector.model], vector.inputs["x"]
    golden, values = rounded(bench.golden, model, x), rounded(implementation, model, x)
    for name in golden:
        deviation = np.abs(values[name] - golden[name])
        yield TIES, float((deviation / TIE_DISTANCE).max())
        yield OWN_TIES, float((deviation / from_tie(golden[name])).max())
