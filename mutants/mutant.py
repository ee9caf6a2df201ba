"""A mutant: some names of one of three codecs, and the wrong things that are put in their place.

Functions and methods are given as attributes of what was imported, so a name that the codec no longer has breaks
the import of the gallery. A constant is given by its name and looked up when the mutant is installed.
"""

import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import mbtref
from mbtref.suite.subjects import reference, trace
from mbtref.suite.subjects.protocol import Subject
from mutants import javascript


def second_copy(name: str) -> ModuleType:
    """A module that is executed once more, and isn't found by any import."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from mbtref import decoder as decoder
    from mbtref.suite.subjects import one_file as one_file
else:
    # The suite itself asks the one-file decoder what is right. Only a copy of it may go wrong.
    decoder = second_copy("mbtref.decoder")
    with (
        patch.dict(sys.modules, {"mbtref.decoder": decoder}),
        patch.object(mbtref, "decoder", decoder, create=True),
    ):
        one_file = second_copy("mbtref.suite.subjects.one_file")

Wrong = Callable[..., object]


class Codec(StrEnum):
    """What a mutant is made of."""

    REFERENCE = "reference"
    ONE_FILE = "one-file decoder"
    JAVASCRIPT = "JavaScript codec"


class Change(NamedTuple):
    """One attribute that is replaced."""

    owner: ModuleType | type
    name: str
    value: object

    def places(self) -> Iterator[ModuleType | type]:
        """The owner, and each module of the codec that has imported the same thing by this name."""
        yield self.owner
        right = getattr(self.owner, self.name)
        if isinstance(self.owner, ModuleType) and not isinstance(right, ModuleType):
            yield from (m for m in codec() if m is not self.owner and vars(m).get(self.name) is right)


def codec() -> list[ModuleType]:
    """All modules in which a mutant may replace something: the codec's, and those of the two subjects."""
    own = [module for name, module in sys.modules.items() if re.match(r"mbtref\.(\w+|openloop\.\w+)$", name)]
    return [*own, reference, trace, decoder, one_file]


def constant(module: ModuleType, name: str, value: object) -> Change:
    """Another value of a constant. A module that another one has imported is replaced in that one alone."""
    return Change(module, name, value)


def instead(right: Callable[..., Any] | property, wrong: Wrong) -> Change:
    """A wrong function in place of a function, a method or a property."""
    plain = inspect.unwrap(right.fget if isinstance(right, property) else right)  # type: ignore[arg-type]
    *outer, name = plain.__qualname__.split(".")
    module = next(module for module in codec() if vars(module) is plain.__globals__)
    owner = functools.reduce(getattr, outer, module)
    return Change(owner, name, property(wrong) if isinstance(right, property) else wrong)


def around(right: Callable[..., Any] | property, wrong: Wrong) -> Change:
    """The same, for a wrong function that is given the right one first, and then what it was called with."""
    inner = right.fget if isinstance(right, property) else right

    def mistaken(*given: Any, **named: Any) -> object:
        return wrong(inner, *given, **named)

    return instead(right, mistaken)


def install(changes: Iterable[Change], put: Callable[[Any, str, object], None] = setattr) -> None:
    """Makes changes in this process. put: as setattr."""
    for change in changes:
        for place in list(change.places()):
            put(place, change.name, change.value)


class Mutant(NamedTuple):
    """One wrong implementation."""

    name: str
    requirement: str
    """The one whose purpose names this mistake."""
    stage: str
    """What the message must name: an output, a field, a kind of refusal, or the mistake."""
    wrong: str
    """How it is wrong."""
    changes: tuple[Change, ...]

    @property
    def of(self) -> Codec:
        """Which codec is wrong."""
        owner = self.changes[0].owner
        if owner is javascript:
            return Codec.JAVASCRIPT
        own = any(owner is module or owner in vars(module).values() for module in (decoder, one_file))
        return Codec.ONE_FILE if own else Codec.REFERENCE

    def install(self, put: Callable[[Any, str, object], None] = setattr) -> None:
        """Makes this process the mutant. put: as setattr, such as the one of pytest's monkeypatch."""
        install(self.changes, put)

    def subject(self) -> Subject:
        """The implementation that is wrong."""
        self.install()
        kinds: dict[Codec, Callable[[], Subject]] = {
            Codec.REFERENCE: reference.Reference,
            Codec.ONE_FILE: one_file.OneFile,
            Codec.JAVASCRIPT: javascript.Program,
        }
        return kinds[self.of]()


def mutant(name: str, requirement: str, stage: str, wrong: str, *changes: Change) -> Mutant:
    """A line of the gallery."""
    return Mutant(name, requirement, stage, wrong, changes)
