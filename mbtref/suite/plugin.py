"""A pytest plugin: which tests are cases of a run of the suite, and how a case becomes a result.

    pytest conformance [--subject S] [--capabilities a,b] [--tier T] [--processor P] [--report F]
    pytest -p mbtref.suite.plugin tests --pyargs mbtref.conformance --subject S

The second one runs the suite among the tests of a port. The plugin leaves these alone: what they are called, what
they record, and how hypothesis runs them stay theirs. It does nothing in a run that names no subject.

A case ends in one of `cases.Outcome`. Unsupported and not run are neither passes nor failures. A run in which
nothing was checked fails. Cases run in the order of the requirements, which is the path of a picture.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from mbtref.suite import options
from mbtref.suite.cases import Case, KnownFailure, Outcome, Verdict, WrongAnswer, all_cases
from mbtref.suite.explain import explain
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.options import pytest_addoption as pytest_addoption
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.reports.progress import Progress, words
from mbtref.suite.reports.recorder import Recorder, is_end, noted, outcome_of
from mbtref.suite.reports.report import opening
from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import ELSEWHERE, isolated
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import digests, frozen

REFERENCE = "reference"
"""The subject if the suite's folder is an argument and --subject isn't."""
SKIPPED = (Outcome.UNSUPPORTED, Outcome.NOT_RUN, Outcome.KNOWN_FAILURE)
"""Outcomes that are neither a pass nor a failure. Pytest counts each on its own."""


@dataclass
class Suite:
    """A run of the suite."""

    known: Mapping[str, KnownFailure]
    """Known failures by the id of a case."""
    subject: Subject | None = None
    """The implementation under test; None if cases are collected alone."""


SUITE = pytest.StashKey[Suite]()
"""Where pytest keeps it; missing in a run that isn't one of the suite."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case(requirement, name, catches): what a test checks")
    if config.getoption("--hypothesis-profile", None) == options.THOROUGH:
        from hypothesis import settings  # not before a port's own conftest.py, which may want to prepare it

        settings.register_profile(options.THOROUGH)  # as it is without it
    if hasattr(config, "workerinput"):
        config.option.seed = config.workerinput["seed"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Gives a worker of pytest-xdist the seed of the run."""
    node.workerinput["seed"] = node.config.option.seed


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.option.subject is None:
        return []
    alone = [] if POSIX else ["the subject runs in this process, which it may end: isolation needs a POSIX system"]
    return [f"questions that stand in no file: --seed {config.option.seed}", *alone]


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None]:
    """Options and vectors are checked first. Then the workers of pytest-xdist start, and meanwhile the subject."""
    config, option = session.config, session.config.option
    is_worker = hasattr(config, "workerinput")  # the process above it sees its results
    if option.subject is not None:
        config.stash[SUITE] = prepared(config)
    # no subject is asked, and no file is written, if cases are collected alone
    is_above = option.subject is not None and not option.collectonly and not is_worker
    files = digests() if is_above else {}
    yield
    if option.subject is not None and not option.collectonly:
        config.stash[SUITE].subject = options.subject(config)
    if is_above:
        watch(config, files)


def prepared(config: pytest.Config) -> Suite:
    """A run whose options and vectors are right. Otherwise the run ends with a message."""
    options.check(config)
    for name in (*CAPABILITIES, *TIERS):
        config.addinivalue_line("markers", f"{name}: cases of this capability or tier")
    try:
        frozen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    return Suite(options.known_failures(config))


def watch(config: pytest.Config, files: Mapping[str, tuple[int, str]]) -> None:
    """Begins the report and the lines on the terminal. files: their digests before the subject was started."""
    option, suite = config.option, config.stash[SUITE]
    tested, due = cast(Subject, suite.subject), [case for case in all_cases() if options.is_due(case, config)]
    first = opening(tested, option.subject, option.tier, option.processor)
    if getattr(option, "tx", None):
        end(tested)  # the workers have processes of their own
    file = option.report.open("w", encoding="utf-8") if option.report else None
    recorder = Recorder(first, file, option.write_known_failures, suite.known, {case.id for case in due}, files)
    config.pluginmanager.register(recorder)
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        asked = Counter(case.requirement for case in due if options.is_asked(case, config))
        config.pluginmanager.register(Progress(recorder, terminal, asked))


def end(subject: Subject | None) -> None:
    """Ends the process of a subject that has one."""
    if isinstance(subject, Command):
        subject.close()


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Iterator[Subject]:
    """The implementation under test."""
    tested = cast(Subject, pytestconfig.stash[SUITE].subject)
    yield tested
    end(tested)


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Where all fresh questions of this run come from. A message tells it to the tests that have this fixture."""
    return int(pytestconfig.option.seed)


@pytest.fixture(scope="session")
def elsewhere(pytestconfig: pytest.Config) -> Iterator[Callable[[str], Subject]]:
    """The same implementation in another process, by the name of its simulated processor in `PROCESSORS`.

    The first use of a name starts its process. If it can't start, the case ends.
    """
    text, timeout = pytestconfig.option.subject, pytestconfig.option.answer_timeout
    running: dict[str, Subject] = {}

    def process(name: str) -> Subject:
        if not POSIX:
            raise Verdict(Outcome.NOT_RUN, f"a second process needs a POSIX system; {ELSEWHERE}")
        if name not in running:
            try:
                running[name] = isolated(text, timeout, PROCESSORS[name])
            except ValueError as error:
                raise Verdict(Outcome.CRASHED, f"the second process, {name}, can't start: {error}") from error
        return running[name]

    yield process
    for subject in running.values():
        end(subject)


def case_of(item: pytest.Item) -> Case | None:
    """What a test checks; None for a test of somebody else, which may have a mark of this name."""
    marker = item.get_closest_marker("case")
    return Case(*marker.args) if marker and marker.args and marker.args[0] in [*REQUIREMENTS] else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases = {item: case for item in items if (case := case_of(item))}
    if not cases:
        return
    if SUITE not in config.stash:
        raise pytest.UsageError("say which implementation the suite should check: --subject, for example numpy")
    suite = config.stash[SUITE]
    if strangers := suite.known.keys() - {case.id for case in cases.values()}:
        names = ", ".join(sorted(strangers))
        raise pytest.UsageError(f"--known-failures: not among the cases of the files that are run: {names}")
    for item, case in cases.items():
        item.add_marker(case.capability)
        item.add_marker(case.tier)
        item.user_properties += noted(**case._asdict(), capability=case.capability, tier=case.tier)
    order = {requirement: place for place, requirement in enumerate(REQUIREMENTS)}
    asked = [item for item, case in cases.items() if options.is_asked(case, config)]
    asked.sort(key=lambda item: order[cases[item].requirement])
    config.hook.pytest_deselected(items=list(cases.keys() - set(asked)))
    others = [item for item in items if item not in cases]
    items[:] = [*others, *asked]
    if not others and (terminal := config.pluginmanager.get_plugin("terminalreporter")):
        # names of files and percentages belong to pytest's letters, which there are none of
        terminal.showfspath = terminal._show_progress_info = False


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turns the end of a case into a result of pytest. A capability that the subject lacks isn't tried."""
    case, config = case_of(pyfuncitem), pyfuncitem.config
    if case is None:
        return (yield)
    suite, ended = config.stash[SUITE], None
    tested = pyfuncitem.funcargs["subject"] = cast(Subject, suite.subject)  # not a port's fixture of this name
    try:
        if case.capability not in tested.capabilities:
            raise Verdict(Outcome.UNSUPPORTED, f"{tested.name} doesn't declare {case.capability}")
        result = yield
    except Verdict as verdict:
        ended = verdict
    except ExceptionGroup as error:
        from hypothesis.errors import FlakyFailure

        if not isinstance(error, FlakyFailure):
            raise
        wrong = next((str(e) for e in error.exceptions if isinstance(e, Verdict)), "once rightly, once not")
        ended = WrongAnswer(f"the same question was answered in two ways: {wrong}")
    if known := suite.known.get(case.id):
        if ended is None:
            ended = WrongAnswer("this known failure passes now: take it out of the list")
        elif ended.outcome == known.outcome:
            ended = Verdict(Outcome.KNOWN_FAILURE, known.reason)
    facts = pyfuncitem.user_properties
    if ended is None:
        facts += noted(outcome=Outcome.PASSED.value)
        return result
    reason = str(ended).partition("\n")[0]
    facts += noted(outcome=ended.outcome.value, reason=reason, cause=ended.cause)
    if ended.outcome in SKIPPED:
        pytest.skip(str(ended))
    pytest.fail(explain(case, ended, tested, options.command(config, pyfuncitem)), pytrace=False)


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Cases have no letters: `Progress` has lines for them. With -v pytest shows each as it shows other tests."""
    if not is_end(report):
        return None
    outcome = outcome_of(report)
    text = words(outcome) if outcome in SKIPPED else report.outcome
    shown = config.get_verbosity() > 0
    return text, "", (text.upper() if shown else "", {"yellow": True} if outcome in SKIPPED else {})
