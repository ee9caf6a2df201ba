"""Passing this folder to pytest loads the suite's plugin. Without --subject the reference is checked.

A run of the suite alone has as many workers of pytest-xdist as there are cores, unless -n says otherwise. A run of
named tests has none, nor has the tier `smoke`, which is over before they have started.
"""

import os
from pathlib import Path

import pytest

from mbtref.suite import plugin
from mbtref.suite.processors import ALONE, cores
from mbtref.suite.requirements import TIERS

WORKERS = "PYTEST_XDIST_AUTO_NUM_WORKERS"
"""The variable that pytest-xdist has for another number."""
MOST_WORKERS = 8
"""Each holds the models, in up to five processes."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    option, here = config.option, Path(__file__).parent
    option.subject = option.subject or plugin.REFERENCE
    if hasattr(config, "workerinput"):
        return  # a worker, which has none of its own
    alone = all("::" not in each and Path(each).resolve().is_relative_to(here) for each in config.args)
    by_hand = option.in_process or option.usepdb or option.capture == "no" or getattr(option, "forked", False)
    is_free = getattr(option, "numprocesses", 0) is None
    if alone and is_free and not by_hand and option.tier != TIERS[0]:
        option.numprocesses = min(int(os.environ.get(WORKERS) or cores()), MOST_WORKERS)
        option.maxschedchunk = 1  # in the order of the requirements
        os.environ.update({**ALONE, **os.environ})
