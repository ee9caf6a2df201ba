"""Asks the suite about mutants, side by side, and says which requirement caught each, and by which words.

A process imports the suite once and then forks: each child becomes one mutant and runs pytest. The cases of the
requirement that is about the mutant come first. If they catch it, the others aren't asked.
"""

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tqdm import tqdm

from mbtref.suite.folders import project_folder
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mutants.gallery import MUTANTS
from mutants.mutant import Mutant

SUITE = project_folder("conformance")
LEFT_OUT = ("portable", "kodak")
"""Capabilities that need other processes or the Kodak pictures."""
SECONDS = 120
"""A mutant that takes longer gives no answer: it hangs."""


NO_ANSWER = "NONE/no-answer"
"""In place of a case: the process of the mutant ended or hung."""


class Verdict(NamedTuple):
    """What the suite said of a mutant."""

    mutant: Mutant
    failed: dict[str, str]
    """Messages by the id of a case, in the order of the cases."""

    @property
    def requirements(self) -> list[str]:
        """Those that failed."""
        return list(dict.fromkeys(case.partition("/")[0] for case in self.failed))

    @property
    def message(self) -> str:
        """The first one of the requirement that is about the mutant, or the first one at all."""
        own = [text for case, text in self.failed.items() if case.startswith(f"{self.mutant.requirement}/")]
        return next(iter([*own, *self.failed.values()]), "")

    @property
    def fault(self) -> str | None:
        """Why the verdict isn't the due one, or None."""
        wanted = self.mutant.requirement
        if not wanted:
            return f"nothing can tell it apart, but {self.requirements[0]} did" if self.failed else None
        if wanted not in self.requirements:
            return f"caught by {', '.join(self.requirements) or 'nothing'}, not by {wanted}"
        own = re.sub(r"\n  (catches|required|repeat): .*", "", self.message).partition("\n")[2]
        if not re.search(rf"(?<![a-z_]){re.escape(self.mutant.stage)}(?![a-z_])", own):
            return f"the message doesn't name {self.mutant.stage}"
        return None


class Listener:
    """A plugin of pytest: orders the cases, keeps messages, and ends the run when the mutant is caught."""

    def __init__(self, requirement: str, everything: bool) -> None:
        self.requirement, self.everything = requirement, everything
        self.failed: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def order(item: pytest.Item) -> tuple[bool, int]:
            key = dict(item.user_properties)["requirement"]
            return key != self.requirement, TIERS.index(REQUIREMENTS[str(key)].tier)

        items.sort(key=order)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = dict(report.user_properties)
        if report.when == "call" and report.outcome == "failed":
            self.failed[f"{facts['requirement']}/{facts['name']}"] = report.longreprtext

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        done = dict(item.user_properties)["requirement"] != self.requirement
        if self.failed and done and not self.everything:
            item.session.shouldstop = "caught"


def become(mutant: Mutant, everything: bool, answer: Path) -> None:
    """In a child: runs the suite on the mutant, and writes the messages of the cases that failed."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    MUTANTS[mutant.name] = mutant
    listener = Listener(mutant.requirement, everything)
    wanted = [name for name in CAPABILITIES if name not in LEFT_OUT]
    status = pytest.main(
        [str(SUITE), "-q", "-p", "no:cacheprovider", "-W", "ignore", "--in-process", "--tier", "full",
         "--subject", f"mutants.subjects:{mutant.name}", "--capabilities", ",".join(wanted)],
        plugins=[listener],
    )  # fmt: skip
    if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        answer.write_text(json.dumps(listener.failed))


def ask(mutant: Mutant, everything: bool, folder: Path) -> int:
    """Forks a child that becomes the mutant. Returns its process."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        with contextlib.suppress(BaseException):
            become(mutant, everything, folder / mutant.name)
        os._exit(0)
    return child


def verdicts(mutants: Sequence[Mutant], everything: bool, jobs: int, folder: Path) -> Iterator[Verdict]:
    """The verdict on each mutant, as they come, with a progress bar. folder: for the answers of the children."""
    prepare()
    waiting, running = list(mutants)[::-1], dict[int, Mutant]()
    with tqdm(total=len(mutants), leave=False, disable=None) as bar:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop()
                running[ask(mutant, everything, folder)] = mutant
            child, _ = os.wait()
            mutant = running.pop(child)
            answer = folder / mutant.name
            failed = json.loads(answer.read_text()) if answer.is_file() else {NO_ANSWER: "no answer"}
            bar.update()
            yield Verdict(mutant, failed)


def prepare() -> None:
    """Imports what all children need, with one thread: a child of a process with more couldn't compute."""
    import torch

    from mbtref.suite import vectors

    torch.set_num_threads(1)
    vectors.frozen()
