"""Every mutant and every control as a subject of the suite, by its name: `mutants.subjects:slope`."""

from mbtref.suite.subjects.protocol import Subject
from mutants.controls import CONTROLS, Control
from mutants.gallery import MUTANTS
from mutants.mutant import Mutant

ALL: dict[str, Mutant | Control] = {**MUTANTS, **CONTROLS}


def __getattr__(name: str) -> Subject:
    if name not in ALL:
        raise AttributeError(f"no mutant or control {name}; there are {', '.join(ALL)}", name=name)
    return ALL[name].subject()
