"""What a port's own tests and continuous integration use: levels, badge, the pytest plugin, the GitHub action."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mbtref.suite.reports import badge, levels
from mbtref.suite.reports.levels import EXACT_CODEC, EXACT_DECODER, FLOAT_CODEC, PORTABLE, TRANSFORMS, Kind, Run
from tests.support import run as mbtref

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
OF_TRANSFORMS = {Kind("transforms", "smoke", "passed"): 12, Kind("decode", "smoke", "unsupported"): 40}
OF_EXACT = {
    Kind(capability, tier, "passed"): 3
    for capability, tier in (("decode", "smoke"), ("encode", "full"), ("roundtrip", "full"), ("portable", "full"))
}


def of(counts: Mapping[Kind, int], tier: str = "full", whole: bool = True) -> list[levels.Level]:
    """The levels of a run with these outcomes."""
    return list(levels.claimed(Run("a port 1", tier, whole, counts)))


def test_levels_follow_from_capabilities() -> None:
    """A level needs every capability of its own, each with a case, and no other."""
    assert of(OF_TRANSFORMS) == [TRANSFORMS], "unsupported decoding takes the transforms away"
    floats = {**OF_TRANSFORMS, Kind("entropy-float", "smoke", "passed"): 2, Kind("roundtrip", "full", "passed"): 2}
    assert of(floats) == [TRANSFORMS, FLOAT_CODEC], "a float codec isn't seen"
    assert of({**floats, Kind("portable", "full", "passed"): 9}) == [TRANSFORMS, FLOAT_CODEC, PORTABLE]
    assert of(OF_EXACT) == [EXACT_DECODER, EXACT_CODEC], "an exact codec isn't seen"
    for kind in OF_EXACT:
        fewer = {other: n for other, n in OF_EXACT.items() if other != kind}
        assert EXACT_CODEC not in of(fewer), f"an exact codec without {kind.capability}"


@pytest.mark.parametrize("outcome", ["failed", "crashed", "unsupported", "known-failure", "not-run"])
def test_one_case_takes_a_level_away(outcome: str) -> None:
    """One case that isn't a pass is enough, whatever it is, and the reason says so."""
    counts = {**OF_EXACT, Kind("decode", "full", outcome): 1}
    assert of(counts) == [], f"a level in spite of a case that is {outcome}"
    why = levels.missing(EXACT_DECODER, Run("a port 1", "full", True, counts))
    assert why == f"decode: of 4 cases 1 {outcome}", f"not the reason: {why}"


def test_kodak_may_be_missing_but_not_wrong() -> None:
    """Kodak pictures that aren't there take no level away; one that was coded wrongly does."""
    for tier in ("full", "kodak"):
        assert EXACT_CODEC in of({**OF_EXACT, Kind("kodak", "kodak", "not-run"): 8}, tier), (
            "missing pictures count"
        )
    for capability in ("kodak", "decode"):
        wrong = {**OF_EXACT, Kind(capability, "kodak", "failed"): 1}
        assert EXACT_CODEC not in of(wrong, "kodak"), f"a wrong Kodak case of {capability} doesn't count"


def test_a_part_of_the_suite_gives_no_level() -> None:
    """A run of the tier smoke, or of chosen cases, gives none."""
    assert of(OF_EXACT, tier="smoke") == [], "a level from the tier smoke"
    assert of(OF_EXACT, whole=False) == [], "a level from a part of the cases"


PORT = """
from mbtref.suite.subjects.protocol import Methods

class Subject(Methods):
    name, version, capabilities = "a port", "1", ("transforms",)
"""
PLUGIN = ("-p", "mbtref.suite.plugin")
FROM_WHEEL = (*PLUGIN, "--pyargs", "mbtref.conformance", "mine")
FROM_CLONE = (*PLUGIN, str(ROOT / "conformance"), "mine")


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


def pytest_in(folder: Path, installed: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in the folder of a port."""
    environment = {**os.environ, **installed, "PYTHONPATH": f"{installed['PYTHONPATH']}{os.pathsep}{folder}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("suite", "options", "whole"),
    [
        (FROM_WHEEL, (), True),
        (FROM_WHEEL, ("-n", "2"), True),
        (FROM_WHEEL, ("-k", "not lite-q3"), False),
        (FROM_CLONE, ("--tier", "smoke"), True),
    ],
)
def test_the_suite_among_a_ports_own_tests(
    suite: tuple[str, ...], options: tuple[str, ...], whole: bool, installed: Mapping[str, str], port: Path
) -> None:
    """A port's pytest runs the suite and its own tests; the report knows if it is of all cases."""
    chosen = ("--subject", "numpy", "--report", "report.json", "--tier", "full", *options)
    ended = pytest_in(port, installed, *suite, *chosen)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    opening, *cases, closing = json.loads((port / "report.json").read_text())
    assert opening["tier"] == ("smoke" if "smoke" in options else "full"), f"tier {opening['tier']}"
    assert closing["whole"] is whole, f"whole is {closing['whole']}"
    passed = Counter(case["outcome"] for case in cases)["passed"]
    assert f"{passed + 1} passed" in ended.stdout, f"{passed} cases and one test of its own:\n{ended.stdout}"
    claims = "levels that it may claim: exact decoder" in ended.stdout
    assert claims is (whole and "smoke" not in options), ended.stdout


def test_the_plugin_keeps_out_of_other_runs(installed: Mapping[str, str], port: Path) -> None:
    """A run of the port's own tests starts no subject; one of the suite without a subject says what to give."""
    alone = pytest_in(port, installed, *PLUGIN, "mine")
    assert (alone.returncode, "1 passed" in alone.stdout) == (0, True), alone.stdout + alone.stderr
    assert "level" not in alone.stdout, f"the suite speaks: {alone.stdout}"
    nobody = pytest_in(port, installed, *FROM_WHEEL)
    assert nobody.returncode == pytest.ExitCode.USAGE_ERROR, nobody.stdout
    assert "say which implementation the suite should check: --subject" in nobody.stdout + nobody.stderr


def test_badge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes a badge with the highest level, and prints why the others aren't reached."""
    opening = {"record": "opening", "format": 1, "tier": "full", "subject": {"name": "<a & b>", "version": "2"}}
    cases = [{"record": "case", **kind._asdict()} for kind, count in OF_EXACT.items() for _ in range(count)]
    report = tmp_path / "report.json"
    report.write_text(
        "[\n" + ",\n".join(map(json.dumps, [opening, *cases, {"record": "closing", "whole": True}])) + "\n]\n"
    )
    assert mbtref("badge", report, "-o", tmp_path / "badge.svg") == 0, "badge fails"
    rows = capsys.readouterr().out
    assert "| exact codec | It also writes .mbt streams, which everybody else decodes. | yes |" in rows, rows
    assert "| no: transforms: no case was run |" in rows, rows
    root = ET.parse(tmp_path / "badge.svg").getroot()
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["mbt2018", "exact codec"], f"the badge says {texts}"
    assert root.get("aria-label") == "mbt2018: exact codec, <a & b> 2", "another description"

    report.write_text("[\n" + ",\n".join(map(json.dumps, [opening, *cases])) + ",\n")
    assert mbtref("badge", report, "-o", tmp_path / "badge.svg") == 0, "a report that was cut off is none"
    assert badge.NONE in (tmp_path / "badge.svg").read_text(), "a level from a report that was cut off"
    report.write_text("{}")
    assert mbtref("badge", report, "-o", tmp_path / "badge.svg") == 1, "no report, but a badge"


def contrast(colour: str) -> float:
    """Contrast of white text on a colour: W3C, WCAG 2.1, section 1.4.3."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


@pytest.mark.parametrize("colour", [badge.GREEN, badge.GREY, badge.DARK])
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
        ("numpy", "--capabilities decode -n 2", 0, "exact decoder"),
        ("port:Subject", "--capabilities transforms", 1, badge.NONE),
    ],
)
def test_the_action(
    subject: str, options: str, status: int, says: str, installed: Mapping[str, str], port: Path
) -> None:
    """The action checks a subject: its exit status, report, JUnit file, badge and summary, passed or not."""
    summary = port / "summary.md"
    python_path = f"{installed['PYTHONPATH']}{os.pathsep}{port}"
    variables = {**installed, "PYTHONPATH": python_path, "GITHUB_STEP_SUMMARY": str(summary)}
    ended = take("Check", {"subject": subject, "options": options}, port, **variables)
    assert ended.returncode == status, ended.stdout + ended.stderr
    results = port / ACTION["inputs"]["folder"]["default"]
    assert sorted(path.name for path in results.iterdir()) == ["badge.svg", "junit.xml", "report.json"]
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
