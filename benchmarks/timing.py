"""Times of calls that take turns.

A machine's speed drifts while it warms up or works for others. So calls that are to be compared take turns, round
by round, and each call's median stands for it. What surprises: a slow call has fewer rounds than a quick one.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Call = Callable[[], object]

FEWEST = 2
"""Rounds that even a slow call has, if so many are asked for."""
PATIENCE = 60.0
"""Seconds that the rounds of one call may take together, beyond FEWEST rounds."""


class Timing(NamedTuple):
    """How long a call takes."""

    median: float
    """Seconds."""
    rounds: int
    """How many times the median is of."""


def seconds(call: Call) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, Timing]:
    """The time of each call, under the same names.

    rounds: how often each is timed, at least 1; fewer times where that passes PATIENCE. Every call runs once
    before the first round: it fills caches, and tells how many rounds there will be.
    """
    first = {name: seconds(call) for name, call in calls.items()}
    turns = {name: min(rounds, max(FEWEST, int(PATIENCE / first[name]))) for name in calls}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            if turn < turns[name]:
                times[name].append(seconds(call))
    return {name: Timing(statistics.median(row), len(row)) for name, row in times.items()}
