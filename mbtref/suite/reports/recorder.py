"""Records the outcome of every case for the report, the list of known failures and the end of the run.

It is a pytest plugin in the process that sees all results, including those of pytest-xdist's workers.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, TextIO

import pytest

from mbtref.files import write_whole
from mbtref.suite.cases import KnownFailure, Outcome, most_special
from mbtref.suite.reports.levels import claimed, unproven
from mbtref.suite.reports.markup import plain
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
        self.causes: defaultdict[str, list[pytest.TestReport]] = defaultdict(list)
        """The results of the cases that failed, by their cause."""
        self.changed: str | None = None
        """A file that the suite judges by, and that was changed during the run."""
        self.write(opening)

    def write(self, record: Record) -> None:
        """Puts a record into the file at once: a run may end at any moment."""
        if self.file:
            self.file.write(line(record))
            self.file.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = facts_of(report)
        is_end = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
        if not is_end or "requirement" not in facts:
            return  # a phase of a case, or a test of somebody else
        case, outcome, failed = case_of(report), outcome_of(report), report.outcome == "failed"
        reason, cause = (str(facts.get(name, "the suite itself failed")) for name in ("reason", "cause"))
        if outcome == Outcome.KNOWN_FAILURE:
            self.failures.append({"id": case, **self.known[case]._asdict()})
        elif failed and case not in self.known:
            self.failures.append({"id": case, "outcome": outcome, "reason": reason})
        if failed:
            self.causes[cause].append(report)
            if crash := getattr(report.longrepr, "reprcrash", None):
                crash.message = cause  # on CI pytest's summary would repeat the whole message
        requirement = REQUIREMENTS[str(facts["requirement"])]
        self.cases.append({
            "record": "case",
            "requirement": facts["requirement"],
            "text": f"{requirement.text} ({requirement.source})",
            "case": facts["name"],
            "capability": facts["capability"],
            "tier": requirement.tier,
            "outcome": outcome,
            "seconds": round(report.duration, 3),
            "message": report.longreprtext if failed else facts.get("reason", ""),
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
        if session.config.get_verbosity() <= 0:
            self.shorten()
        if self.failures_to:
            write_whole(self.failures_to, (json.dumps(self.failures, indent=1) + "\n").encode())

    def shorten(self) -> None:
        """Leaves one whole message of each cause; the others name their case and that one."""
        for cause, (first, *others) in self.causes.items():
            for report in others:
                text = f"{case_of(report)}: {outcome_of(report)}\n  {cause}, as in {case_of(first)}"
                report.longrepr = f"{text} (-v shows each message)"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for cause, reports in self.causes.items():
            if len(reports) > 1:
                counts = Counter(case_of(report).partition("/")[0] for report in reports)
                which = ", ".join(f"{requirement} {n}" for requirement, n in counts.items())
                same = f"the same in {len(reports)} cases: {plain(cause)} ({which})"
                terminalreporter.write_line(same, red=True)
                for catches in most_special(str(facts_of(report)["catches"]) for report in reports):
                    terminalreporter.write_line(f"  catches: {catches}")
        neutral = Counter((c["outcome"], plain(c["message"])) for c in self.cases if c["outcome"] in NEUTRAL)
        for (outcome, reason), n in neutral.items():
            words = outcome.replace("-", " ")
            terminalreporter.write_line(f"{words}, {n} case{'s' * (n > 1)}: {reason}", yellow=True)
        run = Report(self.opening, self.cases, self.closing)
        if levels := claimed(run):
            names = ", ".join(level.name for level in levels)
            terminalreporter.write_line(f"levels that it may claim: {names}", green=True)
        for reason, levels in unproven(run).items():
            names = ", ".join(level.name for level in levels)
            terminalreporter.write_line(f"levels that lack only what wasn't run: {names} ({reason})", yellow=True)
        if self.changed:
            terminalreporter.write_line(f"this run proves nothing: {self.changed} was changed meanwhile", red=True)
        if not self.checked():
            terminalreporter.write_line("nothing was checked: a run without a verdict fails", red=True)

    def checked(self) -> bool:
        """Whether a case had a verdict."""
        return any(case["outcome"] not in NEUTRAL for case in self.cases)


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
