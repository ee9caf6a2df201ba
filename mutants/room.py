"""By how many times wrong float networks exceed a tolerance: python -m mutants.room [NAME...]"""

import multiprocessing
import sys
from collections.abc import Iterator

import numpy as np

from mbtref.suite import vectors
from mbtref.suite.check import comparable, in_bits
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import Vector
from mutants.gallery import MUTANTS


def shares(subject: Subject, vector: Vector) -> Iterator[float]:
    """The largest error of each output over its tolerance, and of likelihoods in bits."""
    answer = subject.call(vector.operation, vector.model, vector.inputs)
    came, due = (comparable(vector.operation, values) for values in (answer, vector.expected))
    for a, b, limits in (
        (came, due, vector.tolerance), (in_bits(vector, came), in_bits(vector, due), vector.bits),
    ):  # fmt: skip
        for stage, limit in limits.items():
            yield float(np.abs(np.asarray(a[stage], np.float64) - np.asarray(b[stage])).max()) / limit


def room(name: str) -> tuple[float, str]:
    """The largest of a mutant, and the vector of its own requirement that shows it."""
    subject, own = MUTANTS[name].subject(), MUTANTS[name].requirement
    asked = [vector for vector in vectors.frozen().vectors if vector.requirement == own]
    return max((share, vector.name) for vector in asked for share in shares(subject, vector))


if __name__ == "__main__":
    measured = [name for name, mutant in MUTANTS.items() if mutant.requirement.startswith(("TRANSFORM", "FLOAT"))]
    # each mutant needs a process of its own
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        names = sys.argv[1:] or measured
        for name, (share, where) in zip(names, pool.imap(room, names), strict=True):
            print(f"{share:12.5g} {name} at {where}")
