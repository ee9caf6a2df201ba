"""Passing this folder to pytest loads the suite's plugin. Without --subject the reference is checked."""

import pytest

from mbtref.suite import plugin


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)


def pytest_configure(config: pytest.Config) -> None:
    config.option.subject = config.option.subject or plugin.REFERENCE
