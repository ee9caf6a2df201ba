"""How far a command is: a bar on a terminal, and now and then a line in a log."""

import time

from tqdm import tqdm

from mbtref.workbench.terminal import warn

LINES = 20
"""In a log, at most."""


class Bar(tqdm):  # type: ignore[type-arg]  # it has no arguments when it runs
    """A progress bar on standard error; if this is no terminal, a line for each twentieth of the work.

    The only one needs none.
    """

    def __init__(self, total: int, what: str) -> None:
        super().__init__(total=total, unit=f" {what}", leave=False, disable=None)
        self._what, self._total, self._done, self._began = what, total, 0, time.monotonic()

    def count(self, name: str) -> None:
        """One more is done. name: of what is at work, such as a model."""
        self.set_description(name, refresh=False)
        self.update()
        before, self._done = self._done, self._done + 1
        if self.disable and self._total > 1 and self._done * LINES // self._total > before * LINES // self._total:
            after = self.format_interval(time.monotonic() - self._began)
            warn(f"mbtref: {self._done} of {self._total} {self._what} after {after}, {name}")
