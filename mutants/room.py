"""By how many times wrong float networks exceed a tolerance: python -m mutants.room [NAME...]"""

import multiprocessing
import sys

from mbtref.suite import vectors
from mbtref.suite.generate.measure import deviations
from mutants.gallery import MUTANTS


def room(name: str) -> tuple[float, str]:
    """The largest error of a mutant over its tolerance, and the vector of its own requirement that shows it."""
    subject, own = MUTANTS[name].subject(), MUTANTS[name].requirement
    asked = [vector for vector in vectors.frozen().vectors if vector.requirement == own]
    return max((share, vector.name) for vector in asked for _, share in deviations(subject, vector))


if __name__ == "__main__":
    measured = [name for name, mutant in MUTANTS.items() if mutant.requirement.startswith(("TRANSFORM", "FLOAT"))]
    # each mutant needs a process of its own
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        names = sys.argv[1:] or measured
        for name, (share, where) in zip(names, pool.imap(room, names), strict=True):
            print(f"{share:12.5g} {name} at {where}")
