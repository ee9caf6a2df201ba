"""Settings and models that all tests share.

`pytest --hypothesis-profile=thorough` tries many more examples, and other ones each time.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from mbtref import Model, load
from tests.support import NETWORK, Terminal

settings.register_profile("brief", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("brief")

# a process of pytest-xdist, and each that it starts, takes one core; where a test asks for more, they don't spin
torch.set_num_threads(1)
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# a process that codes one small picture is slower to start with numba than without; this one has it
os.environ["NUMBA_DISABLE_JIT"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case: what a test of conformance/ checks")


def pytest_sessionstart() -> None:
    """A run of the suite inside a test has no workers: the tests have some."""
    os.environ["PYTEST_XDIST_AUTO_NUM_WORKERS"] = "0"


@pytest.fixture(scope="session")
def lite() -> Model:
    """An embedded model."""
    return load("lite-q4")


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """The command line."""
    return Terminal(capsys)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's chromium, without a window and with an empty profile, where NETWORK tells what was asked for."""
    from selenium import webdriver  # few tests need it

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("not run: chromium and chromedriver aren't both on the PATH (Debian: chromium-driver)")
    chromium, driver = map(str, programs)
    profile = tmp_path_factory.mktemp("profile")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    arguments = (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        f"disable-component-update disable-sync user-data-dir={profile} log-net-log={profile / NETWORK}"
    )
    for argument in arguments.split():
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()
