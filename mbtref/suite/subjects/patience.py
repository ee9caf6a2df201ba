"""How much of its time for an answer a program has used: a busy machine, which gives it few, costs it nothing.

While one of its threads computes or waits for a core, its own seconds count, those of the processors. While all of
them sleep, the seconds of the clock do. Only Linux tells the two apart; elsewhere the clock alone counts.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LOOK = 1.0
"""Seconds between two looks at the program."""
RUNNABLE = ("R", "D")
"""States of a thread that has work: on a core or waiting for one, waiting for a disk (proc(5))."""


class Seen(NamedTuple):
    """What is seen of the processes of a session."""

    computed: float
    """Seconds of processors so far."""
    busy: bool
    """Whether one of the threads has work."""


class Patience:
    """session: the processes that are waited for. limit: seconds."""

    def __init__(self, session: int, limit: float) -> None:
        self.session, self.left = session, limit
        self.looked, self.due = (now := time.monotonic()), now + LOOK
        self.computed: float | None = None
        """At the last look. Before the first one it isn't known: the program is older than this wait."""

    def look(self) -> float:
        """Seconds that are left. Looks at the processes only now and then."""
        if (now := time.monotonic()) >= min(self.due, self.looked + self.left):
            before, (self.computed, busy) = self.computed, seen(self.session)
            passed, self.looked, self.due = now - self.looked, now, now + LOOK
            computed = 0.0 if before is None else self.computed - before
            self.left -= min(passed, computed) if busy else passed
        return self.left


def seen(session: int) -> Seen:
    """Looks at the processes of a session."""
    computed, busy = 0.0, False
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = status(path / "stat")
            if int(fields[3]) == session:
                computed += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
                busy = busy or any(status(task / "stat")[0] in RUNNABLE for task in path.glob("task/*"))
    return Seen(computed, busy)


def status(path: Path) -> list[str]:
    """The fields of a process or thread after its name: its state, its parent, its group, its session ..."""
    return path.read_text().rpartition(")")[2].split()
