"""Who gives this folder to pytest gets the suite's plugin; without --subject the reference is checked."""

import pytest

from mbtref.suite import plugin


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[plugin.ASKED] = True
