"""Records the outcome of every case for the report and the list of known failures.

It is a pytest plugin in the process that sees all results, including those of pytest-xdist's workers.
"""

import json
from collections import Counter
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, TextIO

import pytest

from mbtref.files import write_whole
from mbtref.suite.cases import KnownFailure, Outcome
from mbtref.suite.reports.report import Record, Report, line
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.vectors import changed

OURS = "mbtref."
"""Begins the names of what is noted of a case: tests of somebody else may note things of the same names."""
NEUTRAL = (Outcome.UNSUPPORTED, Outcome.NOT_RUN)
"""Outcomes in which nothing was checked."""
CUT_OFF = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
"""Exit codes of a run that didn't try every case."""


class Recorder:
    """opening: the first record of the report. file: for the report, or None. failures_to: for the cases that
    failed, or None. known: the known failures by id. They keep their reasons. due: the ids of the cases of which
    a whole run has a result. files: their digests before the subject was started."""

    def __init__(
        self,
        opening: Record,
        file: TextIO | None,
        failures_to: Path | None,
        known: Mapping[str, KnownFailure],
        due: Set[str],
        files: Mapping[str, tuple[int, str]],
    ) -> None:
        self.opening, self.file, self.failures_to, self.known = opening, file, failures_to, known
        self.due, self.files = due, files
        self.cases: list[Record] = []
        self.closing: Record | None = None
        self.failures: list[dict[str, str]] = []
        self.changed: str | None = None
        """A file that the suite judges by, and that was changed during the run."""
        self.write(opening)

    def write(self, record: Record) -> None:
        """Puts a record into the file at once: a run may end at any moment."""
        if self.file:
            self.file.write(line(record))
            self.file.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not is_end(report):
            return
        facts, case = facts_of(report), case_of(report)
        outcome, failed = outcome_of(report), report.outcome == "failed"
        if outcome == Outcome.KNOWN_FAILURE:
            self.failures.append({"id": case, **self.known[case]._asdict()})
        elif failed and case not in self.known:
            reason = str(facts.get("reason", "the suite itself failed"))
            self.failures.append({"id": case, "outcome": outcome, "reason": reason})
        requirement = REQUIREMENTS[str(facts["requirement"])]
        self.cases.append({
            "record": "case",
            "requirement": facts["requirement"],
            "text": f"{requirement.text} ({requirement.source})",
            "case": facts["name"],
            "capability": facts["capability"],
            "tier": facts["tier"],
            "outcome": outcome,
            "seconds": round(report.duration, 3),
            "message": str(report.longrepr) if failed else facts.get("reason", ""),
        })  # fmt: skip
        self.write(self.cases[-1])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.changed = changed(self.files)
        if session.exitstatus == pytest.ExitCode.OK and (self.changed or not self.checked()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not (session.exitstatus in CUT_OFF or session.shouldstop or session.shouldfail):
            found = Counter(case["outcome"] for case in self.cases)
            self.closing = {
                "record": "closing",
                "status": int(session.exitstatus),
                "whole": not self.changed and self.due <= {f"{c['requirement']}/{c['case']}" for c in self.cases},
                "counts": {outcome: found[outcome] for outcome in Outcome},
            }
            self.write(self.closing)
        if self.file:
            self.file.close()
        if self.failures_to:
            write_whole(self.failures_to, (json.dumps(self.failures, indent=1) + "\n").encode())

    @property
    def run(self) -> Report:
        """The report so far."""
        return Report(self.opening, self.cases, self.closing)

    def checked(self) -> bool:
        """Whether a case had a verdict."""
        return any(case["outcome"] not in NEUTRAL for case in self.cases)


def is_end(report: pytest.TestReport) -> bool:
    """Whether this is the result of a case, not of a phase of it, or of a test of somebody else."""
    ended = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
    return ended and "requirement" in facts_of(report)


def noted(**facts: str) -> list[tuple[str, object]]:
    """What is noted of a case, as pytest keeps it with a test."""
    return [(OURS + name, value) for name, value in facts.items()]


def facts_of(report: object) -> dict[str, Any]:
    """What is noted of the case that a result is of; empty for a test of somebody else."""
    properties = getattr(report, "user_properties", ())  # a file that can't be collected is reported without
    return {str(name).removeprefix(OURS): value for name, value in properties if str(name).startswith(OURS)}


def case_of(report: pytest.TestReport) -> str:
    """The id of the case that a result is of."""
    facts = facts_of(report)
    return f"{facts['requirement']}/{facts['name']}"


def outcome_of(report: pytest.TestReport) -> Outcome:
    """The outcome of a result of pytest. A result without one failed outside of its case."""
    return Outcome(str(facts_of(report).get("outcome", Outcome.FAILED)))
