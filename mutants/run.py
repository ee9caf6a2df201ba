"""Asks the suite about wrong implementations, side by side.

One run of pytest collects the cases. In place of its loop it forks: each child becomes one wrong implementation,
runs its cases in its own order, and stops when it has seen enough.
"""

import contextlib
import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import pytest
from tqdm import tqdm

from mbtref.files import project_folder
from mbtref.suite import judge, plugin
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mbtref.suite.subjects.protocol import Subject
from mutants.mutant import Mutant

LEFT_OUT = ("portable", "kodak")
"""Capabilities that need other processes or the Kodak pictures."""
SECONDS = 120
"""A wrong implementation that takes longer gives no answer: it hangs."""
NO_ANSWER = "NONE/no-answer"
"""In place of a case: the process ended or hung."""
Failed = Mapping[str, str]
"""Messages of the cases that failed, by their ids, in the order of asking."""


class Question(Protocol):
    """What a child does."""

    @property
    def name(self) -> str: ...

    def subject(self) -> Subject:
        """Becomes the wrong implementation."""

    def order(self, cases: Sequence[str]) -> Sequence[str]:
        """The cases to ask, out of all, in this order. Cases are named by their ids."""

    def enough(self, failed: Failed, case: str) -> bool:
        """Whether the answer is known before this case is asked."""


Q = TypeVar("Q", bound=Question)


class Runner(Generic[Q]):
    """A plugin of pytest. questions: one child each. tell: gets the answer of each child."""

    def __init__(self, questions: Sequence[Q], jobs: int, tell: Callable[[Q, Failed], None]) -> None:
        self.questions, self.jobs, self.tell = questions, jobs, tell
        self.failed: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        waiting, running = list(self.questions)[::-1], dict[int, Q]()
        with tempfile.TemporaryDirectory() as folder, tqdm(total=len(waiting), leave=False, disable=None) as bar:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    question = waiting.pop()
                    running[self.ask(session, question, Path(folder, question.name))] = question
                child, _ = os.wait()
                question = running.pop(child)
                answer = Path(folder, question.name)
                bar.update()
                self.tell(
                    question, json.loads(answer.read_text()) if answer.is_file() else {NO_ANSWER: "no answer"}
                )
        return True

    def ask(self, session: pytest.Session, question: Q, answer: Path) -> int:
        """Forks a child that asks one question, and writes which cases failed. Returns its process."""
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            with contextlib.suppress(BaseException):
                self.become(session, question)
                answer.write_text(json.dumps(self.failed))
            os._exit(0)
        return child

    def become(self, session: pytest.Session, question: Q) -> None:
        """In a child: runs the cases of one question."""
        session.config.option.subject = f"mutants.subjects:{question.name}"
        session.config.stash[plugin.SUBJECT] = question.subject()
        items = {plugin.case_of(item).id: item for item in session.items}
        for case in question.order(list(items)):
            if question.enough(self.failed, case):
                break
            items[case].config.hook.pytest_runtest_protocol(item=items[case], nextitem=None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = dict(report.user_properties)
        if report.when == "call" and report.outcome == "failed":
            self.failed[f"{facts['requirement']}/{facts['name']}"] = report.longreprtext


def ask_all(questions: Sequence[Q], jobs: int, tell: Callable[[Q, Failed], None]) -> None:
    """Asks all questions, with a progress bar. tell: gets the answers as they come."""
    import torch

    # a child of a process with more threads couldn't compute
    torch.set_num_threads(1)
    assert judge, "the suite's own decoder is imported before anything goes wrong"
    wanted = ",".join(name for name in CAPABILITIES if name not in LEFT_OUT)
    options = ["--in-process", "--tier", "full", "--capabilities", wanted, "--subject", "mutants.subjects:nobody"]
    suite = str(project_folder("conformance"))
    pytest.main([suite, *options, "-p", "no:terminal", "-p", "no:cacheprovider", "-W", "ignore"],
                plugins=[Runner(questions, jobs, tell)])  # fmt: skip


class Verdict(NamedTuple):
    """What the suite said of a mutant."""

    mutant: Mutant
    failed: Failed

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
        if wanted not in self.requirements:
            return f"caught by {', '.join(self.requirements) or 'nothing'}, not by {wanted}"
        own = re.sub(r"\n  (catches|required|repeat): .*", "", self.message).partition("\n")[2]
        if not re.search(rf"(?<![a-z_]){re.escape(self.mutant.stage)}(?![a-z_])", own):
            return f"the message doesn't name {self.mutant.stage}"
        return None


class AboutMutant(NamedTuple):
    """A question: which requirements does a mutant fail? Its own is asked first."""

    mutant: Mutant
    everything: bool
    """Whether all cases are asked, also after the mutant is caught."""

    @property
    def name(self) -> str:
        return self.mutant.name

    def subject(self) -> Subject:
        return self.mutant.subject()

    def order(self, cases: Sequence[str]) -> Sequence[str]:
        def late(case: str) -> tuple[bool, int]:
            requirement = case.partition("/")[0]
            return requirement != self.mutant.requirement, TIERS.index(REQUIREMENTS[requirement].tier)

        return sorted(cases, key=late)

    def enough(self, failed: Failed, case: str) -> bool:
        return bool(failed) and not self.everything and case.partition("/")[0] != self.mutant.requirement
