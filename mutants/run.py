"""Asks the suite about other implementations than the reference, side by side.

One run of pytest collects the cases. In place of its loop it forks: each child becomes one implementation,
runs its cases in its own order, and stops when it has seen enough.
"""

import json
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import pytest
from tqdm import tqdm

from mbtref.suite import plugin, sample
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.reports.recorder import case_of
from mbtref.suite.subjects.protocol import Methods, Subject

LEFT_OUT = ("portable", "kodak")
"""Capabilities that need other processes or the Kodak pictures."""
SECONDS = 30
"""A wrong implementation that computes longer for a case gives no answer: it hangs."""
ASLEEP = 20 * SECONDS
"""So does one that waits so long, which isn't the time of a busy machine."""
NO_ANSWER = "NONE/no-answer"
"""In place of a case: the process raised, ended or hung."""
ALWAYS = "ALWAYS/import"
"""In place of a case: what runs when modules are imported and models are loaded."""
Failed = Mapping[str, str]
"""Messages of the cases that failed, by their ids, in the order of asking."""


class Question(Protocol):
    """What a child does."""

    @property
    def name(self) -> str: ...

    def subject(self) -> Subject:
        """Becomes the implementation."""

    def order(self, cases: Sequence[str]) -> Iterable[str]:
        """Those of all cases that are asked, by their ids, in this order."""

    def enough(self, failed: Failed, case: str) -> bool:
        """Whether the answer is known before this case is asked."""


Q = TypeVar("Q", bound=Question)
Tell = Callable[[Q, Failed, int], None]
"""Gets the answer to a question: the cases that failed, and how many passed."""


class Runner(Generic[Q]):
    """A plugin of pytest. questions: one child each. tell: gets the answer of each child."""

    def __init__(self, questions: Sequence[Q], jobs: int, tell: Tell[Q]) -> None:
        self.questions, self.jobs, self.tell = questions, jobs, tell
        self.failed: dict[str, str] = {}
        self.passed = 0

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
                given = json.loads(answer.read_text()) if answer.is_file() else [{NO_ANSWER: "no answer"}, 0]
                self.tell(question, *given)
        return True

    def ask(self, session: pytest.Session, question: Q, answer: Path) -> int:
        """Forks a child that asks one question, and writes how cases ended. Returns its process."""
        child = os.fork()
        if child == 0:
            try:
                self.become(session, question)
            except BaseException:
                self.failed[NO_ANSWER] = traceback.format_exc()
            answer.write_text(json.dumps([self.failed, self.passed]))
            os._exit(0)
        return child

    def become(self, session: pytest.Session, question: Q) -> None:
        """In a child: runs the cases of one question."""
        session.config.option.subject = f"mutants.subjects:{question.name}"
        session.config.stash[plugin.SUITE].subject = question.subject()
        items = {case.id: item for item in session.items if (case := plugin.case_of(item))}
        for name in question.order(list(items)):
            if question.enough(self.failed, name):
                break
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(ASLEEP)
            session.config.hook.pytest_runtest_protocol(item=items[name], nextitem=None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.outcome == "failed":
            self.failed[case_of(report)] = report.longreprtext
        self.passed += report.when == "call" and report.outcome == "passed"


class Nobody(Methods):
    """The subject of a run whose children become others."""

    name, version, capabilities = "nobody", "1", ()


def ask_all(questions: Sequence[Q], jobs: int, tell: Tell[Q]) -> None:
    """Asks all questions, with a progress bar. tell: gets the answers as they come."""
    import torch

    # a child of a process with more threads couldn't compute
    torch.set_num_threads(1)
    ask_suite(f"{__name__}:{Nobody.__name__}", Runner(questions, jobs, tell))


def ask_suite(subject: str, extension: object) -> None:
    """Runs the suite without a word, in this process. extension: a plugin of pytest."""
    wanted = ",".join(name for name in CAPABILITIES if name not in LEFT_OUT)
    options = [
        "--in-process",
        "-k",
        f"not {sample.KODAK}",
        "--capabilities",
        wanted,
        "--subject",
        subject,
        "--seed",
        "0",
    ]
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-W", "ignore"]
    pytest.main([str(project_folder("conformance")), *options, *quiet], plugins=[extension])


def requirement_of(case: str) -> str:
    """The requirement of a case, from its id."""
    return case.partition("/")[0]
