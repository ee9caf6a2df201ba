"""A mutant, and how a process gets it: the module is compiled from its changed text when it is imported."""

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Sequence
from typing import NamedTuple

REFERENCE, DECODER = "mbtref.suite.subjects.reference", "mbtref.suite.subjects.one_file"
"""The modules of the two subjects. A mutant changes one of them, or a module that it imports."""
FILES = {
    "reference": REFERENCE,
    "stages": DECODER,
    "decoder": "mbtref.decoder",
    **{
        name: f"mbtref.{name}"
        for name in (
            "bitstream", "codec", "exact", "grid", "image", "latents", "layers", "model", "planes", "rans",
            "reproducible", "scan", "tables", "transforms", "weights",
        )
    },
}  # fmt: skip
"""Modules by their short names."""
OF_DECODER = ("decoder", "stages")
"""Those of the one-file decoder; the others are the reference's."""


class Mutant(NamedTuple):
    """One wrong implementation."""

    name: str
    file: str
    """One of FILES."""
    old: str
    """A text that is in the file once."""
    new: str
    requirement: str
    """The one whose purpose names this mistake; empty for an equivalent mutant, which nothing can tell apart."""
    stage: str
    """What the message must name: an output, a field or a kind of refusal."""
    wrong: str
    """How it is wrong; of an equivalent mutant, why it isn't."""


def source(file: str) -> str:
    """The text of a module, unchanged."""
    spec = importlib.util.find_spec(FILES[file])
    loader = spec.loader if spec else None
    assert isinstance(loader, importlib.machinery.SourceFileLoader), f"{file} has no source"
    return loader.get_data(loader.path).decode()


def changed(mutant: Mutant) -> str:
    """The text of the mutant's module. Raises ValueError unless `old` is there once."""
    text = source(mutant.file)
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.old!r} is {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles a text in place of the file's."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self.text = text

    def get_code(self, fullname: str) -> types.CodeType:
        code: types.CodeType = compile(self.text, self.path, "exec")
        return code


class Finder:
    """Finds one module, and gives it another text."""

    def __init__(self, fullname: str, text: str) -> None:
        self.fullname, self.text = fullname, text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.fullname:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec, f"{fullname} is gone"
        spec.loader = Loader(fullname, str(spec.origin), self.text)
        return spec


def install(mutant: Mutant) -> None:
    """From now on, this process imports the mutant. What was imported before, such as by the suite, stays."""
    text = changed(mutant)
    # numba would keep the compiled loops on disk, by their file and date: other runs would get a mutant's
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    for name in [*FILES.values(), "mbtref.suite.subjects.trace", "mbtref"]:
        parent, _, child = name.rpartition(".")
        if sys.modules.pop(name, None) and parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
    sys.meta_path.insert(0, Finder(FILES[mutant.file], text))
