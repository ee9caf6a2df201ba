"""Which lines of the codec each case of the suite runs, and how long it takes: python -m mutants.reach FILE.json

Lines that run when modules are imported and models are loaded stand apart: they decide every case.
"""

import json
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import mbtref
from mbtref.suite import plugin, vectors
from mbtref.suite.subjects.protocol import Subject
from mutants.run import ALWAYS, ask_suite

CODEC = str(Path(mbtref.__file__).parent)


class Reach(NamedTuple):
    """What a case runs."""

    seconds: float
    lines: dict[str, list[int]]
    """By the path of a module."""


class Tracer:
    """A plugin of pytest that traces the cases."""

    def __init__(self) -> None:
        self.cases: dict[str, Reach] = {}
        self.lines: dict[str, set[int]] = {}

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """For sys.settrace: called for each call of a function. Returns what is called for its lines."""
        path = frame.f_code.co_filename
        if not path.startswith(CODEC):
            return None
        lines = self.lines.setdefault(path, set())

        def line(frame: FrameType, event: str, arg: object) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    def record(self, name: str) -> Generator[None, object, object]:
        """Traces what runs inside, as pytest's hooks have it."""
        self.lines, begin = {}, time.perf_counter()
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            lines = {path: sorted(own) for path, own in self.lines.items()}
            self.cases[name] = Reach(time.perf_counter() - begin, lines)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Generator[None, object, object]:
        return (yield from self.record(ALWAYS))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        case = plugin.case_of(item)
        return (yield from self.record(case.id if case else ALWAYS))


def loaded() -> Subject:
    """The reference, with all models loaded."""
    from mbtref.suite.subjects.reference import Reference

    subject = Reference()
    for model in {vector.model for vector in vectors.frozen().vectors if vector.model}:
        subject.model(model)
    return subject


if __name__ == "__main__":
    tracer = Tracer()
    ask_suite("mutants.reach:loaded", tracer)
    Path(sys.argv[1]).write_text(json.dumps(tracer.cases))
