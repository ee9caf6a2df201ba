"""Every mutant as a subject of the suite, by its name: `mutants.subjects:slope`."""

from mbtref.suite.subjects.protocol import Subject
from mutants.gallery import MUTANTS


def __getattr__(name: str) -> Subject:
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name}; there are {', '.join(MUTANTS)}", name=name)
    return MUTANTS[name].subject()
