"""Notes what became of every case: for the report, the list of known failures and the end of the run.

A pytest plugin of the process that sees all results, also those of pytest-xdist's workers.
"""

import json
from pathlib import Path

import pytest

from conformance.cases import Outcome
from conformance.report import Report

NEUTRAL = (Outcome.UNSUPPORTED, Outcome.NOT_RUN)
"""Outcomes in which nothing was checked."""


class Recorder:
    """report: opened by the caller. failures_to: where to write the cases that failed, None for nowhere."""

    def __init__(self, report: Report, failures_to: Path | None) -> None:
        self.report = report
        self.failures_to = failures_to
        self.failures: list[dict[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            facts = dict(report.user_properties)
            outcome = outcome_of(report)
            message = report.longreprtext if outcome != Outcome.PASSED else ""
            if report.outcome == "failed":
                reason = str(facts.get("reason", message.partition("\n")[0]))
                self.failures.append({"id": f"{facts['requirement']}/{facts['name']}", "reason": reason})
            self.report.case({
                "requirement": facts["requirement"],
                "text": facts["text"],
                "case": facts["name"],
                "capability": facts["capability"],
                "tier": facts["tier"],
                "outcome": outcome,
                "seconds": round(report.duration, 3),
                "message": message,
            })  # fmt: skip

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.testscollected and not session.config.option.collectonly and not self.checked:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.report.close(int(session.exitstatus))
        if self.failures_to:
            text = json.dumps(self.failures, indent=1, ensure_ascii=False) + "\n"
            self.failures_to.write_text(text, encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.checked:
            terminalreporter.write_line("nothing was checked: a run without a verdict fails", red=True)

    @property
    def checked(self) -> int:
        """How many cases had a verdict."""
        return sum(n for outcome, n in self.report.counts.items() if outcome not in NEUTRAL)


def outcome_of(report: pytest.TestReport) -> Outcome:
    """The outcome of a result of pytest."""
    if hasattr(report, "wasxfail"):
        return Outcome.KNOWN_FAILURE
    noted = dict(report.user_properties).get("outcome")
    if report.outcome == "failed" and noted in (None, Outcome.PASSED):
        return Outcome.FAILED
    return Outcome(str(noted)) if noted else Outcome.NOT_RUN
