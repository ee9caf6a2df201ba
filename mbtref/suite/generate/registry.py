"""The registry of vectors: a decorated function makes one vector or a few, and registers itself.

    @vector("DECODE-1", models=LITE)
    def pixel(case: Case) -> None:
        '''a picture of one pixel refused, or a crop of the padded one off by something'''
        case.ask("decode", {"stream": case.encode(picture(Size(1, 1), 1))})

The docstring is the purpose: the bug that the vector catches. The function asks (`case`), and asserts the rare
property that the vector is for. Everything else follows: its id is DECODE-1/MODEL/pixel, its files lie in
streams/MODEL/pixel/, since the module is `streams`.

Vectors are made, and stand in the manifest, in the order of registration: modules in the order of MODULES,
functions from top to bottom. Neighbours that have models are run together, one model after the other.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from mbtref.modelfile import SERIES
from mbtref.suite.generate import edge
from mbtref.suite.generate.case import Case, Making

MODULES = (
    "rans", "buffers", "stages", "exact", "streams", "large", "stripes",
    "rare", "malformed", "kodak", "reproducible",
)  # fmt: skip
"""Those that have vectors. The package imports them in this order, whichever is asked for first: `malformed`
damages what `stages` made, and `reproducible` asks again what all others asked."""
LITE = SERIES["lite"]
"""The models with vectors of every stage, on all pictures. All models have the streams of the Kodak pictures."""
*NARROWER, _widest = SERIES["wide"]
WIDE = (_widest,)
"""A model with larger symbols and more of them; the others of its series are in NARROWER."""
EDGE = (edge.NAME,)
"""A model of rare values."""

Make = Callable[[Case], None]


class Registered(NamedTuple):
    """A decorated function."""

    make: Make
    requirements: Sequence[str]
    """Those of its vectors."""
    models: Sequence[str]
    """It runs once for each; once without a model, "", if there are none."""
    name: str
    folder: str
    """See `Case.folder`."""


REGISTRY: list[Registered] = []


def vector(
    *requirements: str, models: Sequence[str] = ("",), name: str = "", folder: str = ""
) -> Callable[[Make], Make]:
    """Registers a function that makes vectors of these requirements, for each of the models.

    name: default: the function's. folder: default: MODULE/{name}; see `Case.folder`.
    """

    def register(make: Make) -> Make:
        files = folder or f"{module_of(make)}/{{name}}"
        REGISTRY.append(Registered(make, requirements, models, name or make.__name__, files))
        return make

    return register


def module_of(make: Make) -> str:
    """One of MODULES."""
    return make.__module__.rpartition(".")[2]


def made() -> list[str]:
    """The requirements that have vectors."""
    return list(dict.fromkeys(requirement for each in REGISTRY for requirement in each.requirements))


def cases(out: Making, only: Collection[str]) -> Iterator[tuple[Make, Case]]:
    """Every function that makes vectors of these requirements, with what it gets, in the order of making."""
    chosen = [each for each in REGISTRY if set(each.requirements) & set(only)]
    for _, neighbours in itertools.groupby(chosen, lambda each: each.models == ("",)):
        group = list(neighbours)
        for model in dict.fromkeys(model for each in group for model in each.models):
            for make, requirements, models, name, folder in group:
                if model in models:
                    yield (
                        make,
                        Case(
                            out=out,
                            made=f"{module_of(make)}:{make.__name__}",
                            purpose=" ".join((make.__doc__ or "").split()),
                            requirement=requirements[0],
                            name=f"{model}/{name}".lstrip("/"),
                            model_name=model,
                            folder=folder,
                        ),
                    )
