"""Waiting for a program: a busy machine takes no time from it, and one that hangs uses its time up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from mbtref.suite.subjects import patience
from mbtref.suite.subjects.patience import Patience, Seen, seen
from mbtref.suite.subjects.program import Program
from mbtref.suite.subjects.protocol import TimedOut

LINUX = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="not run: only Linux tells what processes do"
)


@pytest.mark.parametrize(
    ("looks", "left"),
    [
        ([Seen(99.1, True), Seen(99.2, True), Seen(99.3, True)], 9.8),  # it waits for a core
        ([Seen(99.0, True), Seen(120.0, True)], 0.0),  # many threads: no faster than the clock
        ([Seen(0.0, False), Seen(0.0, False)], -10.0),  # it sleeps
        ([Seen(0.1, False), Seen(0.2, True)], -0.1),  # it slept, then it waits for a core
    ],
)
def test_what_counts(looks: Sequence[Seen], left: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ten seconds between two looks those of processors count while a thread has work, else all."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    coming = iter(looks)
    monkeypatch.setattr(patience, "seen", lambda session: next(coming))
    waiting = Patience(1, 10.0)
    for _ in looks:
        found = waiting.look()
    assert found == pytest.approx(left), f"{found} of 10 s are left, not {left}"


@LINUX
@pytest.mark.parametrize("hangs", ["time.sleep(60)", "while True: pass", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_what_hangs_uses_its_time_up(hangs: str) -> None:
    """A program that sleeps, that computes for ever, or that was stopped gives no answer in time."""
    program = Program([sys.executable, "-S", "-E", "-c", f"import os, signal, time\n{hangs}"], 0.2, {})
    try:
        with pytest.raises(TimedOut, match="no answer within 0.2 s"):
            program.ask({})
    finally:
        program.stop()


@LINUX
def test_children_and_threads_are_seen() -> None:
    """The work of a child counts as that of its parent, which sleeps meanwhile."""
    nested = [sys.executable, "-S", "-E", "-c", "import subprocess, sys\nsubprocess.run([*sys.argv[1:]])"]
    child = subprocess.Popen(
        [*nested, sys.executable, "-S", "-E", "-c", "while True: pass"], start_new_session=True
    )
    try:
        while not (found := seen(child.pid)).computed > 0.2:
            time.sleep(0.01)
        assert found.busy, "a child computes, and its parent seems to sleep"
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
