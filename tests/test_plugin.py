"""The plugin beside others: it leaves a port's tests alone, and knows a part of a run and files that changed."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mbtref.suite import vectors
from mbtref.suite.cases import all_cases
from mbtref.suite.reports import report
from tests.support import ROOT, pytest_in
from tests.test_suite import CONFORMANCE, pytest_on

RANS = ("--subject", "numpy", "--capabilities", "rans")
IN_PORT = {
    "conftest.py": """
import pytest
from hypothesis import settings

settings.register_profile("thorough", max_examples=31)

@pytest.fixture(scope="session")
def subject():
    return "the port's own"
""",
    "pytest.ini": "[pytest]\naddopts = --strict-markers\nmarkers =\n  case: a mark of the port's own\n",
    "test_mine.py": """
import sys, warnings
from pathlib import Path
import pytest
from hypothesis import given, settings, strategies

tried = []

@given(strategies.integers())
def test_search(number):
    tried.append(number)

@pytest.mark.case
def test_mark():
    pass

@pytest.mark.case(["a", "list"])
def test_mark_of_a_list(record_property):
    record_property("requirement", "REQ-7")
    record_property("outcome", "unsupported")

def test_seen(subject, pytestconfig):
    seen = [len(tried), settings.default, settings.get_current_profile_name(), settings.get_profile("thorough")]
    seen += [subject, warnings.filters, pytestconfig.inipath, pytestconfig.getini("markers")[:1]]
    Path("seen").write_text("\\n".join(map(repr, seen)))

def test_fails():
    assert subject is None
""",
}


def test_a_ports_own_tests_are_left_alone(tmp_path: Path) -> None:
    """With the plugin a port's tests have the same results, search, fixtures, settings and warnings as without."""
    for name, text in IN_PORT.items():
        (tmp_path / name).write_text(text)

    def own(*given: str) -> Sequence[object]:
        path = f"{ROOT}{os.pathsep}{tmp_path}"
        status, said = pytest_in(tmp_path, "test_mine.py", "-v", "-rA", *given, path=path)
        verdicts = [line.split(" [")[0] for line in said.splitlines() if "test_mine.py::" in line]
        return status, verdicts, re.sub("'(ci|mbtref-thorough)'", "'default'", (tmp_path / "seen").read_text())

    suite = (str(CONFORMANCE), *RANS, "--tier", "smoke", "-k", "mine or rare")
    without = own()
    for options in ((), suite, (*suite, "--hypothesis-profile", "mbtref-thorough")):
        assert own("-p", "mbtref.suite.plugin", *options) == without, f"it changes something with {options}"


class Deselecting:
    """A plugin that leaves a case out."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        del items[0]


RARE = "conformance/test_vectors.py::test_vector[RANS-1/rare]"


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ("", True),
        ("--lf", False),
        ("--ff", True),
        ("-k RANS-1", False),
        ("-m 'not smoke'", False),
        (f"--deselect {RARE}", False),
        ("--ignore-glob */test_state.py", False),
        ("--setup-only", False),
        ("another plugin", False),
    ],
)
def test_a_part_is_not_the_whole(options: str, whole: bool, tmp_path: Path) -> None:
    """A report is of a whole run only if there is a result of every case that the suite has."""
    cache, path = tmp_path / "cache", tmp_path / "report.json"
    failed = {RARE: True, "conformance/test_state.py::test_state[STATE-1/rans_decode]": True}
    (cache / "v" / "cache").mkdir(parents=True)
    (cache / "v" / "cache" / "lastfailed").write_text(json.dumps(failed))
    plugins = [Deselecting()] if options == "another plugin" else []
    given = [] if plugins else shlex.split(options)
    common = ["--in-process", "--report", str(path)]
    pytest_on(CONFORMANCE, *RANS, *common, *given, plugins=plugins, cache=f"-ocache_dir={cache}")
    found = report.read(path)
    assert found.closing, "the run was cut off"
    assert found.closing["whole"] is whole, f"{len(found.cases)} cases"


def test_all_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """What the suite has is what a run of all its files collects: no test of it is without a case."""
    pytest_on(CONFORMANCE, "--collect-only", "--subject", "numpy", "--tier", "kodak")
    collected = [line for line in capsys.readouterr().out.splitlines() if "::" in line]
    ids = [case.id for case in all_cases()]
    assert len(ids) == len(set(ids)) == len(collected), f"{len(ids)} cases, {len(collected)} tests"


VANDAL = """
from mbtref.suite.subjects.one_file import OneFile
from mbtref.suite.vectors import FOLDER

for path in FOLDER.rglob("*.npy"):
    path.write_bytes(bytes(8))

class Subject(OneFile):
    pass
"""


def test_a_subject_cannot_write_its_own_answers(tmp_path: Path) -> None:
    """The suite asks and compares what it checked before the subject began, and a run with changed files fails."""
    for name, but in (("mbtref", "*-q?.safetensors"), ("conformance", "__pycache__"), ("vectors", "")):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(but))
    (tmp_path / "vandal.py").write_text(VANDAL)
    options = ("--subject", "vandal:Subject", "--capabilities", "rans", "--report", "report.json", "-q")
    status, said = pytest_in(tmp_path, "conformance", *options, path=str(tmp_path))
    found = report.read(tmp_path / "report.json")
    assert {case["outcome"] for case in found.cases} == {"passed"}, said
    assert found.closing, said
    assert (status, found.closing["status"], found.closing["whole"]) == (1, 1, False), said
    assert "this run proves nothing: " in said, said
    assert ".npy was changed meanwhile" in said, said


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (lambda file: None, False),
        (lambda file: file.touch(), False),
        (lambda file: file.write_bytes(b"other"), True),
        (lambda file: file.unlink(), True),
        (lambda file: file.rename(file.with_name("new")), True),
        (lambda file: (file.parent / "new").touch(), True),
        (lambda file: os.truncate(file, 1 << 40), True),
        (lambda file: (file.unlink(), file.symlink_to("/dev/zero")), True),
    ],
)
def test_changed_files_are_noticed(
    change: Callable[[Path], object], noticed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is written, removed, added or replaced is named; a new date alone is no change."""
    monkeypatch.setattr(vectors, "FOLDER", tmp_path)
    (tmp_path / "golden").write_bytes(b"right")
    before = vectors.digests()
    change(tmp_path / "golden")
    named = vectors.changed(before)
    assert bool(named) is noticed, f"{named} is named"
    assert named is None or Path(named).parent == tmp_path, f"{named} is named"
