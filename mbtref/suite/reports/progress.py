"""What a run shows: the first message of each cause at once, a line for each requirement, and what to do next.

It takes the place of pytest's letters and of its list of failures, for the cases of the suite alone.
"""

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping

import pytest

from mbtref.suite.cases import Outcome, most_special
from mbtref.suite.reports.levels import claimed, unproven
from mbtref.suite.reports.markup import plain
from mbtref.suite.reports.recorder import NEUTRAL, Recorder, case_of, facts_of, is_end, outcome_of
from mbtref.suite.requirements import REQUIREMENTS, TIERS

Line = tuple[str, str]
"""A colour and a text."""
MEMORY = ("ROUNDTRIP-2/", "STATE-1/")
"""Begin the cases that fail if an answer depends on earlier questions."""
WIDTH = max(map(len, REQUIREMENTS)) + 2
"""Columns of an id and the gap after it."""


class Progress:
    """recorder: has the records. terminal: pytest's. due: how many cases of each requirement are to come."""

    def __init__(self, recorder: Recorder, terminal: pytest.TerminalReporter, due: Mapping[str, int]) -> None:
        self.recorder, self.terminal, self.left = recorder, terminal, Counter(due)
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By requirement, of those whose line isn't written yet."""
        self.causes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """The cases that failed, by their cause, and what each catches."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not is_end(report):
            return
        requirement, verbosity = str(facts_of(report)["requirement"]), self.terminal.config.get_verbosity()
        self.outcomes[requirement][outcome_of(report)] += 1
        self.left[requirement] -= 1
        if report.outcome == "failed":
            same = self.causes[str(facts_of(report).get("cause", "the suite itself failed"))]
            same[case_of(report)] = str(facts_of(report)["catches"])
            if len(same) == 1 or verbosity > 0:
                self.write(f"\n{report.longrepr}\n", red=True)
        if verbosity == 0 and not self.left[requirement]:
            self.tell(requirement)
        elif verbosity == 0 and self.terminal.isatty:
            counts = self.outcomes[requirement].total(), self.left[requirement]
            self.terminal.rewrite(f"{requirement:{WIDTH}}{counts[0]} of {sum(counts)}", erase=True)

    def write(self, text: str, **colour: bool) -> None:
        """Writes lines, on a terminal over the one that counts."""
        self.terminal.ensure_newline()
        if self.terminal.isatty:
            self.terminal.rewrite("", erase=True)
            self.terminal.write("\r")
        self.terminal.write_line(text, **colour)

    def tell(self, requirement: str) -> None:
        """Writes the line of a requirement."""
        found = self.outcomes.pop(requirement)
        text = ", ".join(f"{n} {words(outcome)}" for outcome, n in sorted(found.items()))
        colour = "green" if found.keys() == {Outcome.PASSED} else "red" if set(found) - SAFE else "yellow"
        self.write(f"{requirement:{WIDTH}}{text}", **{colour: True})

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """The end, after what pytest says of other tests. It doesn't repeat the messages."""
        if terminalreporter.verbosity == 0:
            for requirement in list(self.outcomes):
                self.tell(requirement)
        failed = terminalreporter.stats.pop("failed", [])
        if others := [report for report in failed if not is_end(report)]:
            terminalreporter.stats["failed"] = others
        yield
        if failed:
            terminalreporter.stats["failed"] = failed
        for colour, line in self.closing():
            self.write(line, **{colour: True})

    def closing(self) -> Iterator[Line]:
        """The last lines."""
        yield from self.failed()
        yield from self.not_asked()
        yield from self.proven()
        yield from self.next_step()

    def failed(self) -> Iterator[Line]:
        """What failed, by cause, and what the vectors of a cause were made for."""
        if self.causes:
            yield "red", "failed, by cause:"
        for cause, cases in self.causes.items():
            counts = Counter(case.partition("/")[0] for case in cases)
            which = ", ".join(f"{requirement} {n}" for requirement, n in counts.items())
            yield "red", f"  {plain(cause)}: {which}; first {next(iter(cases))}"
            if len(cases) > 1:
                yield from (("red", f"    catches: {text}") for text in most_special(cases.values()))

    def not_asked(self) -> Iterator[Line]:
        """What had no verdict, and why."""
        for outcome in NEUTRAL:
            reasons = Counter(plain(c["message"]) for c in self.recorder.cases if c["outcome"] == outcome)
            if reasons:
                shown = [f"{reason} ({n})" if len(reasons) > 1 else reason for reason, n in reasons.items()]
                n = f"{reasons.total()} case{'s' * (reasons.total() > 1)}"
                yield "yellow", f"{words(outcome)}, {n}: {'; '.join(shown)}"

    def proven(self) -> Iterator[Line]:
        """The levels, and what takes its worth from the run."""
        run = self.recorder.run
        if levels := claimed(run):
            yield "green", f"levels that it may claim: {', '.join(level.name for level in levels)}"
        for reason, levels in unproven(run).items():
            names = ", ".join(level.name for level in levels)
            yield "yellow", f"levels that lack only what wasn't run: {names} ({reason})"
        if self.recorder.changed:
            yield "red", f"this run proves nothing: {self.recorder.changed} was changed meanwhile"
        if not self.recorder.checked():
            yield "red", "nothing was checked: a run without a verdict fails"

    def next_step(self) -> Iterator[Line]:
        """What to do now."""
        cases = sorted((case for cases in self.causes.values() for case in cases), key=place)
        if kept := [case for case in cases if case.startswith(MEMORY)]:
            yield "red", f"others may be wrong because of {kept[0]}: an answer depends on earlier questions"
        tier, closing = self.recorder.opening["tier"], self.recorder.closing
        if cases:
            requirement = cases[0].partition("/")[0]
            yield "red", f"next: mend {cases[0]}, the earliest, then ask --requirement {requirement} again"
        elif closing and not closing["whole"]:
            yield "green", f"next: all of --tier {tier}"
        elif closing and self.recorder.checked() and tier != TIERS[-1]:
            yield "green", f"next: --tier {TIERS[TIERS.index(tier) + 1]}"


SAFE = {Outcome.PASSED, Outcome.KNOWN_FAILURE, *NEUTRAL}
"""Outcomes that fail no run."""


def words(outcome: str) -> str:
    """An outcome in words."""
    return outcome.replace("-", " ")


def place(case: str) -> int:
    """The place of a case's requirement on the path of a picture."""
    return list(REQUIREMENTS).index(case.partition("/")[0])
