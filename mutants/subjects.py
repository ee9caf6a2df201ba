"""Every mutant as a subject of the suite, by its name: `mutants.subjects:slope`."""

from mbtref.suite.subjects.protocol import Methods, Subject
from mutants.gallery import MUTANTS


class Nobody(Methods):
    """The subject of a run in which children become mutants."""

    name, version, capabilities = "nobody", "1", ()


def __getattr__(name: str) -> Subject:
    if name == "nobody":
        return Nobody()
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name}; there are {', '.join(MUTANTS)}", name=name)
    return MUTANTS[name].subject()
