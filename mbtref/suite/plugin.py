"""A pytest plugin: which tests are cases of a run of the suite, and how a case becomes a result.

    pytest conformance [--subject S] [--capabilities a,b] [--tier T] [--processor P] [--report F]
    pytest -p mbtref.suite.plugin --pyargs mbtref.conformance tests --subject S

The second one runs the suite among the tests of a port. The plugin leaves these alone, and does nothing in a run
that names no subject.

A case ends in one of `cases.Outcome`. Unsupported and not run are neither passes nor failures: pytest shows them
with letters of their own. A run in which nothing was checked fails.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import FlakyFailure

from mbtref.suite import options
from mbtref.suite.cases import Case, KnownFailure, Outcome, Verdict, WrongAnswer
from mbtref.suite.explain import explain
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.options import pytest_addoption as pytest_addoption
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.reports.recorder import Recorder
from mbtref.suite.reports.report import opening
from mbtref.suite.requirements import TIERS
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import ELSEWHERE, isolated
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import frozen

REFERENCE = "reference"
"""The subject if the suite's folder is an argument and --subject isn't."""
LETTERS = {Outcome.UNSUPPORTED: "u", Outcome.NOT_RUN: "n", Outcome.KNOWN_FAILURE: "k"}
"""Outcomes that are neither a pass nor a failure, as letters in pytest's line of dots."""
BRIEF = settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
)
"""How hypothesis looks for pictures: it doesn't shrink one, which asks a slow subject a hundred times more."""
THOROUGH = settings(BRIEF, max_examples=500, phases=(*BRIEF.phases, Phase.shrink))
"""The same with --hypothesis-profile thorough."""
settings.register_profile("thorough", THOROUGH)


@dataclass
class Suite:
    """A run of the suite."""

    known: Mapping[str, KnownFailure]
    """Known failures by the id of a case."""
    subject: Subject | None = None
    """The implementation under test; None if cases are collected alone."""
    chosen: int = 0
    """How many cases the wanted capabilities and tiers have; 0 if only a part of the suite was collected."""


SUITE = pytest.StashKey[Suite]()
"""Where pytest keeps it; missing in a run that isn't one of the suite."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case(requirement, name, catches): what a test checks")
    for name in (*CAPABILITIES, *TIERS):
        config.addinivalue_line("markers", f"{name}: cases of this capability or tier")
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


def pytest_sessionstart(session: pytest.Session) -> None:
    config, option = session.config, session.config.option
    if option.subject is None:
        return
    options.check(config)
    try:
        frozen()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    suite = config.stash[SUITE] = Suite(options.known_failures(config))
    if option.collectonly:
        return  # no subject is asked, and no file is written
    suite.subject = options.subject(config)
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist: the process above it sees the results
    first = opening(suite.subject, option.subject, option.tier, option.processor)
    file = option.report.open("w", encoding="utf-8") if option.report else None
    config.pluginmanager.register(Recorder(first, file, option.write_known_failures, suite.known))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SUITE in session.config.stash:
        end(session.config.stash[SUITE].subject)


def end(subject: Subject | None) -> None:
    """Ends the process of a subject that has one."""
    if isinstance(subject, Command):
        subject.close()


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The implementation under test."""
    return cast(Subject, pytestconfig.stash[SUITE].subject)


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
    """What a test checks; None for a test of somebody else."""
    marker = item.get_closest_marker("case")
    return Case(*marker.args) if marker else None


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
    wanted, tiers = options.capabilities(config), TIERS[: TIERS.index(config.option.tier) + 1]
    left_out = set()
    for item, case in cases.items():
        item.add_marker(case.capability)
        item.add_marker(case.tier)
        facts = {"requirement": case.requirement, "name": case.name, "capability": case.capability}
        item.user_properties += facts.items()
        if case.capability not in wanted or case.tier not in tiers:
            left_out.add(item)
    files = {item.path.name for item in cases}
    whole = files == {path.name for path in project_folder("conformance").glob("test_*.py")}
    suite.chosen = len(cases) - len(left_out) if whole and "::" not in "".join(config.args) else 0
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session: pytest.Session) -> None:
    if SUITE not in session.config.stash:
        return
    cases = [item for item in session.items if case_of(item)]
    whole = len(cases) == session.config.stash[SUITE].chosen
    for item in cases:
        item.user_properties.append(("whole", whole))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turns the end of a case into a result of pytest. A capability that the subject lacks isn't tried."""
    case, config = case_of(pyfuncitem), pyfuncitem.config
    if case is None:
        return (yield)
    suite, ended = config.stash[SUITE], None
    tested = cast(Subject, suite.subject)
    try:
        if case.capability not in tested.capabilities:
            raise Verdict(Outcome.UNSUPPORTED, f"{tested.name} doesn't declare {case.capability}")
        result = yield
    except Verdict as verdict:
        ended = verdict
    except FlakyFailure as error:
        wrong = next((str(e) for e in error.exceptions if isinstance(e, Verdict)), "once rightly, once not")
        ended = WrongAnswer(f"the same question was answered in two ways: {wrong}")
    if known := suite.known.get(case.id):
        if ended is None:
            ended = WrongAnswer("this known failure passes now: take it out of the list")
        elif ended.outcome == known.outcome:
            ended = Verdict(Outcome.KNOWN_FAILURE, known.reason)
    facts = pyfuncitem.user_properties
    if ended is None:
        facts.append(("outcome", Outcome.PASSED.value))
        return result
    reason = str(ended).partition("\n")[0]
    facts += {"outcome": ended.outcome.value, "reason": reason, "cause": ended.cause}.items()
    if ended.outcome in LETTERS:
        pytest.skip(str(ended))
    pytest.fail(explain(case, ended, tested, options.command(config, pyfuncitem)), pytrace=False)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    # a file that can't be collected is reported here too, and has no outcome
    outcome = dict(getattr(report, "user_properties", ())).get("outcome")
    if report.when == "call" and outcome in LETTERS:
        text = str(outcome).replace("-", " ")
        return text, LETTERS[Outcome(str(outcome))], (text.upper(), {"yellow": True})
    return None
