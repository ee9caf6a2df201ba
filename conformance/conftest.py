"""Passing this folder to pytest loads the suite's plugin. Without --subject the reference is checked."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from mbtref.suite import plugin
from mbtref.suite.cases import Outcome, Verdict
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.subjects.loading import ELSEWHERE, isolated
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Subject


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)


def pytest_configure(config: pytest.Config) -> None:
    config.option.subject = config.option.subject or plugin.REFERENCE


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Iterator[Subject]:
    """The implementation under test."""
    tested = cast(Subject, pytestconfig.stash[plugin.SUITE].subject)
    yield tested
    plugin.end(tested)


@pytest.fixture(scope="session")
def elsewhere(pytestconfig: pytest.Config) -> Iterator[Callable[[str], Subject]]:
    """The same implementation in another process, by the name of its simulated processor in `PROCESSORS`.

    The first use of a name starts its process. If it can't start, the case ends.
    """
    text, timeout = pytestconfig.option.subject, pytestconfig.option.answer_timeout
    running: dict[str, Subject] = {}

    def process(name: str) -> Subject:
        if not POSIX:
            raise Verdict(Outcome.NOT_RUN, f"a second process needs a POSIX system; {ELSEWHERE}")
        if name not in running:
            try:
                running[name] = isolated(text, timeout, PROCESSORS[name])
            except ValueError as error:
                raise Verdict(Outcome.CRASHED, f"the second process, {name}, can't start: {error}") from error
        return running[name]

    yield process
    for subject in running.values():
        plugin.end(subject)
