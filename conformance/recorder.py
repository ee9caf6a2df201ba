"""Records the outcome of every case for the report, the list of known failures and the end of the run.

It is a pytest plugin in the process that sees all results, including those of pytest-xdist's workers.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from mbtref.conformance.cases import KnownFailure, Outcome
from mbtref.conformance.report import Report
from mbtref.conformance.requirements import REQUIREMENTS
from mbtref.files import write_whole

NEUTRAL = (Outcome.UNSUPPORTED, Outcome.NOT_RUN)
"""Outcomes in which nothing was checked."""
CUT_OFF = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
"""Exit codes of a run that didn't try every case."""


class Recorder:
    """report: opened by the caller. failures_to: the file for the cases that failed, or None.

    known: the known failures by id. They keep their reasons.
    """

    def __init__(self, report: Report, failures_to: Path | None, known: Mapping[str, KnownFailure]) -> None:
        self.report = report
        self.failures_to = failures_to
        self.known = known
        self.failures: list[dict[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            facts = dict(report.user_properties)
            case, outcome = f"{facts['requirement']}/{facts['name']}", outcome_of(report)
            if outcome == Outcome.KNOWN_FAILURE:
                self.failures.append({"id": case, **self.known[case]._asdict()})
            elif report.outcome == "failed" and case not in self.known:
                reason = str(facts.get("reason", "the suite itself failed"))
                self.failures.append({"id": case, "outcome": outcome, "reason": reason})
            message = report.longreprtext if report.outcome == "failed" else str(facts.get("reason", ""))
            requirement = REQUIREMENTS[str(facts["requirement"])]
            self.report.case({
                "requirement": facts["requirement"],
                "text": f"{requirement.text} ({requirement.source})",
                "case": facts["name"],
                "capability": facts["capability"],
                "tier": requirement.tier,
                "outcome": outcome,
                "seconds": round(report.duration, 3),
                "message": message,
            })  # fmt: skip

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.testscollected and not self.checked:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        cut_off = session.exitstatus in CUT_OFF or session.shouldstop or session.shouldfail
        self.report.close(None if cut_off else int(session.exitstatus))
        if self.failures_to:
            write_whole(self.failures_to, (json.dumps(self.failures, indent=1) + "\n").encode())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.checked:
            terminalreporter.write_line("nothing was checked: a run without a verdict fails", red=True)

    @property
    def checked(self) -> int:
        """How many cases had a verdict."""
        return sum(n for outcome, n in self.report.counts.items() if outcome not in NEUTRAL)


def outcome_of(report: pytest.TestReport) -> Outcome:
    """The outcome of a result of pytest. A result without one failed outside of its case."""
    return Outcome(str(dict(report.user_properties).get("outcome", Outcome.FAILED)))
