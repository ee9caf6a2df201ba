"""What a port's own tests and continuous integration use: levels, badge, the pytest plugin, the GitHub action."""

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from mbtref.suite.reports import levels
from mbtref.suite.reports.levels import EXACT_CODEC, EXACT_DECODER, FLOAT_CODEC, PORTABLE, TRANSFORMS
from mbtref.suite.reports.progress import Progress
from mbtref.suite.reports.recorder import Recorder
from mbtref.suite.reports.report import Report, line
from tests.support import ROOT, pytest_in
from tests.support import run as mbtref

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
Kind = tuple[str, str, str]
"""Capability, tier and outcome of a case."""
OF_FLOATS: list[Kind] = [
    ("transforms", "smoke", "passed"),
    ("decode", "smoke", "unsupported"),
    ("entropy-float", "smoke", "passed"),
    ("roundtrip", "full", "passed"),
    ("portable", "full", "passed"),
]
OF_EXACT: list[Kind] = [(name, "full", "passed") for name in ("decode", "encode", "roundtrip", "portable")]
KODAK: Kind = ("kodak", "kodak", "passed")
NOT_RUN: list[Kind] = [("kodak", "kodak", "not-run"), ("portable", "kodak", "not-run")]


def of(kinds: Sequence[Kind], tier: str = "full", whole: bool = True) -> Report:
    """The report of a run with these cases."""
    subject = {"given": "", "name": "<a & b>", "version": "2", "capabilities": []}
    opening = {"record": "opening", "format": 1, "tier": tier, "subject": subject, "machine": {}, "versions": {}}
    rest = {"record": "case", "requirement": "RANS-1", "text": "", "seconds": 0, "message": ""}
    cases = [
        {**rest, "case": str(n), **dict(zip(("capability", "tier", "outcome"), kind, strict=True))}
        for n, kind in enumerate(kinds)
    ]
    return Report(opening, cases, {"record": "closing", "status": 0, "whole": whole, "counts": {}})


@pytest.mark.parametrize(
    ("kinds", "tier", "due"),
    [
        (OF_FLOATS[:2], "full", [TRANSFORMS]),
        ([*OF_FLOATS[:4], KODAK], "kodak", [TRANSFORMS, FLOAT_CODEC]),
        ([*OF_FLOATS, KODAK], "kodak", [TRANSFORMS, FLOAT_CODEC, PORTABLE]),
        ([*OF_EXACT, KODAK], "kodak", [EXACT_DECODER, EXACT_CODEC]),
        (OF_EXACT, "smoke", []),
        ([*OF_EXACT[1:], KODAK], "kodak", []),
        *(([*OF_EXACT[:at], *OF_EXACT[at + 1 :], KODAK], "kodak", [EXACT_DECODER]) for at in (1, 2, 3)),
        (OF_FLOATS, "full", [TRANSFORMS]),
        (OF_EXACT, "full", [EXACT_DECODER]),
        *(([*OF_FLOATS, KODAK, case], "kodak", [TRANSFORMS, FLOAT_CODEC]) for case in NOT_RUN[1:]),
        *(([*OF_EXACT, KODAK, case], "kodak", [EXACT_DECODER]) for case in NOT_RUN),
        ([*OF_EXACT, KODAK, ("kodak", "kodak", "failed")], "kodak", [EXACT_DECODER]),
        ([*OF_EXACT, KODAK, ("decode", "kodak", "failed")], "kodak", []),
    ],
)
def test_levels(kinds: Sequence[Kind], tier: str, due: Sequence[levels.Level]) -> None:
    """A level needs a case of each capability of its own, all right: also the Kodak pictures."""
    assert levels.claimed(of(kinds, tier)) == due, "other levels"
    for part in (of(kinds, tier, whole=False), of(kinds, tier)._replace(closing=None)):
        assert levels.claimed(part) == [], f"a level from a part of the cases: {part.closing}"


@pytest.mark.parametrize("outcome", ["failed", "crashed", "unsupported", "known-failure", "not-run"])
def test_one_case_takes_a_level_away(outcome: str) -> None:
    """One case that isn't a pass is enough, whatever it is, and the reason says so."""
    run = of([*OF_EXACT, ("decode", "full", outcome)])
    assert levels.claimed(run) == [], f"a level in spite of a case that is {outcome}"
    why = levels.missing(EXACT_DECODER, run)
    assert why == f"decode: of 2 cases 1 {outcome}", f"not the reason: {why}"


@pytest.mark.parametrize(
    ("kinds", "tier", "says"),
    [
        ([*OF_FLOATS, *NOT_RUN], "full", "float codec, portable (kodak: of 1 cases 1 not-run)"),
        ([*OF_EXACT, KODAK, NOT_RUN[1]], "kodak", "exact codec (portable: of 2 cases 1 not-run)"),
        (OF_FLOATS, "full", None),
        ([*OF_EXACT, *NOT_RUN, ("roundtrip", "full", "failed")], "kodak", None),
        (OF_EXACT, "smoke", None),
        ([*OF_EXACT, KODAK], "kodak", None),
    ],
)
def test_levels_that_lack_evidence_are_told(kinds: Sequence[Kind], tier: str, says: str | None) -> None:
    """The end of a run names, in a line, the levels that it would give if more had been run."""
    run = of(kinds, tier)
    recorder = Recorder(run.opening, None, None, {}, set(), {})
    recorder.cases, recorder.closing = [{**case, "message": ""} for case in run.cases], run.closing
    told = [text for _, text in Progress(recorder, mock.Mock(), {}).closing()]
    lines = [text for text in told if text.startswith("levels that lack only what wasn't run: ")]
    assert len(lines) == (says is not None), f"{told}"
    assert says is None or says in lines[0], f"{says!r} isn't in {lines[0]!r}"


PORT = """
from mbtref.suite.subjects.protocol import Methods

class Subject(Methods):
    name, version, capabilities = "a port", "1", ("transforms",)
"""
FROM_WHEEL = "-p mbtref.suite.plugin mine --pyargs mbtref.conformance"
FROM_CLONE = f"-p mbtref.suite.plugin mine {ROOT / 'conformance'}"


@pytest.fixture
def port(tmp_path: Path) -> Path:
    """The folder of a port: a subject that does nothing, and a test of its own."""
    (tmp_path / "port.py").write_text(PORT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_mine.py").write_text("def test_mine() -> None:\n    pass\n")
    return tmp_path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a machine on which the action's first step has installed mbtref, without the network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("installed")
    offline = dict.fromkeys(("PIP_NO_INDEX", "PIP_NO_DEPS"), "1") | {"PIP_NO_BUILD_ISOLATION": "0"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    where = {"PIP_TARGET": str(folder / "site"), "GITHUB_ACTION_PATH": str(ROOT), "PATH": path}
    ended = take("Install mbtref", {}, folder, **offline, **where)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {"PYTHONPATH": str(folder / "site"), "PATH": f"{folder / 'site' / 'bin'}{os.pathsep}{path}"}


def test_one_name_is_installed(installed: Mapping[str, str]) -> None:
    """The wheel installs the package mbtref and nothing beside it, its parts and the data inside."""
    site = Path(installed["PYTHONPATH"])
    top = {path.name for path in site.iterdir() if path.suffix != ".dist-info"}
    assert top == {"mbtref", "bin"}, f"the wheel installs {sorted(top)}"
    needed = (
        "data/lite-q3.safetensors decoder.py conformance/conftest.py suite/plugin.py suite/data/kodak.json "
        "vectors/README.md vectors/manifest.json web/codec.mjs web/subject.mjs workbench/data/report.html"
    )
    missing = [path for path in needed.split() if not (site / "mbtref" / path).is_file()]
    assert not missing, f"{missing} aren't in the wheel"
    tools = {"package.json", "tsconfig.json", "biome.json", ".npmrc", "node_modules"}
    useless = tools & {path.name for path in (site / "mbtref" / "web").iterdir()}
    assert not useless, f"{useless} are in the wheel"


@pytest.mark.parametrize("arguments", [FROM_WHEEL, f"{FROM_WHEEL} -n 2", FROM_CLONE])
def test_the_suite_among_a_ports_own_tests(arguments: str, installed: Mapping[str, str], port: Path) -> None:
    """A port's pytest runs the suite and its own tests; all cases are in the report, once each, with xdist too."""
    options = f"{arguments} --subject numpy --capabilities rans --tier smoke --report report.json"
    status, said = pytest_in(port, *shlex.split(options), path=installed["PYTHONPATH"])
    assert status == 0, said
    opening, *cases, closing = json.loads((port / "report.json").read_text())
    assert (opening["tier"], closing["whole"]) == ("smoke", True), f"{opening}, {closing}"
    passed = Counter(case["outcome"] for case in cases)["passed"]
    assert f"{passed + 1} passed" in said, f"{passed} cases and one test of its own:\n{said}"


def test_the_suite_needs_a_subject(installed: Mapping[str, str], port: Path) -> None:
    """A run of the suite without a subject says what to give."""
    status, said = pytest_in(port, *FROM_WHEEL.split(), path=installed["PYTHONPATH"])
    assert status == pytest.ExitCode.USAGE_ERROR, said
    assert "say which implementation the suite should check: --subject" in said


def test_badge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes a badge with the highest level, and prints why the others aren't reached."""
    opening, cases, closing = of([*OF_EXACT, KODAK], "kodak")
    report, drawn = tmp_path / "report.json", tmp_path / "badge.svg"
    report.write_text("".join(line(record) for record in (opening, *cases, *([closing] if closing else ()))))
    assert mbtref("badge", report, "-o", drawn) == 0, "badge fails"
    rows = capsys.readouterr().out
    assert "| exact codec | It also writes .mbt streams, which everybody else decodes. | yes |" in rows, rows
    assert "| no: transforms: no case was run |" in rows, rows
    root = ET.parse(drawn).getroot()
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["mbt2018", "exact codec"], f"the badge says {texts}"
    assert root.get("aria-label") == "mbt2018: exact codec, <a & b> 2", "another description"

    report.write_text("".join(line(record) for record in (opening, *cases)))
    assert mbtref("badge", report, "-o", drawn) == 0, "a report that was cut off is none"
    assert levels.NONE in drawn.read_text(), "a level from a report that was cut off"


def contrast(colour: str) -> float:
    """Contrast of white text on a colour: W3C, WCAG 2.1, section 1.4.3."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


@pytest.mark.parametrize("colour", [levels.GREEN, levels.GREY, levels.DARK])
def test_the_badge_is_legible(colour: str) -> None:
    """White text stands out from every colour of the badge."""
    assert contrast(colour) > 4.5, f"{colour} has {contrast(colour):.2f}"


def step(name: str) -> Mapping[str, Any]:
    return next(each for each in ACTION["runs"]["steps"] if each["name"] == name)


def take(name: str, inputs: Mapping[str, str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a step of the action as GitHub does: bash with these options, inputs in place of their names."""
    given = {key: each.get("default", "") for key, each in ACTION["inputs"].items()} | dict(inputs)
    environment = {
        key: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: given[found[1]], value)
        for key, value in step(name)["env"].items()
    }
    script = folder / "step.sh"
    script.write_text(step(name)["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder, env={**os.environ, **environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "options", "status", "says"),
    [
        ("reference", "--capabilities transforms -n 0", 0, "transforms"),
        ("port:Subject", "--capabilities transforms", 1, levels.NONE),
        ("numpy", "--capabilities rans -k 'RANS-1 or RANS-2' -o \"junit_logging=no\"", 0, levels.NONE),
        ("numpy", "--capabilities rans --deselect '$(touch run); `touch run`' --deselect *", 0, levels.NONE),
    ],
)
def test_the_action(
    subject: str, options: str, status: int, says: str, installed: Mapping[str, str], port: Path
) -> None:
    """The action checks a subject: its exit status, report, JUnit file, badge and summary, passed or not.

    Its options are split into words as by a shell, which runs none of them.
    """
    summary = port / "summary.md"
    given = {"subject": subject, "options": options}
    ended = take("Check", given, port, **installed, GITHUB_STEP_SUMMARY=str(summary))
    assert ended.returncode == status, ended.stdout + ended.stderr
    claims = f"levels that it may claim: {says}" in ended.stdout
    assert claims is (says != levels.NONE), ended.stdout
    results = port / ACTION["inputs"]["folder"]["default"]
    assert sorted(path.name for path in results.iterdir()) == ["badge.svg", "junit.xml", "report.json"]
    assert not (port / "run").exists(), "a shell has run what the options say"
    assert says in (results / "badge.svg").read_text(), "another badge"
    tests = ET.parse(results / "junit.xml").getroot().find("testsuite")
    assert tests is not None, "the JUnit file has no results"
    assert int(tests.get("tests", "0")) > 10, "the JUnit file lacks results"
    assert summary.read_text().startswith("| level | meaning |"), "no summary"
    assert step("Keep the results")["if"] == "always()", "results of a run that failed aren't kept"


def test_the_workflow_of_the_documents() -> None:
    """The workflow in docs/subjects.md is YAML, short, and gives only inputs that the action has."""
    text = (ROOT / "docs" / "subjects.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(block.splitlines()) <= 12, f"{len(block.splitlines())} lines"
    (used,) = [each for each in yaml.safe_load(block)["jobs"]["mbt2018"]["steps"] if "mbtref" in each["uses"]]
    assert used["with"].keys() <= ACTION["inputs"].keys(), f"inputs {used['with']}"
