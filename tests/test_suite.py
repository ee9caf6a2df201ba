"""The suite itself: that it finds what is wrong, says where, and never takes silence for a pass."""

import json
from pathlib import Path

import jsonschema
import pytest

from conformance import matrix, report

CONFORMANCE = Path(report.__file__).parent


def run(folder: Path, subject: str, *options: str) -> tuple[int, list[dict[str, object]]]:
    """Runs the suite's vectors on a subject. Returns the exit status and the cases of the report."""
    path = folder / "report.json"
    arguments = [
        "--subject",
        subject,
        "--report",
        path,
        "--tier",
        "smoke",
        "-q",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    status = pytest.main([str(CONFORMANCE / "test_vectors.py"), *map(str, arguments)])
    records, complete = report.read(path)
    assert complete, "a run that came to its end has no closing record"
    schema = json.loads((CONFORMANCE / "report.schema.json").read_text())
    jsonschema.validate(json.loads(path.read_text()), schema)
    return int(status), [record for record in records if record["record"] == "case"]


@pytest.mark.parametrize(
    ("miniature", "capability", "requirement", "words"),
    [
        ("WrongMask", "entropy-exact", "EXACT-1", ["phi["]),
        ("SwappedScaleAndMean", "entropy-float", "FLOAT-1", ["sigma["]),
        ("SwappedColours", "transforms", "TRANSFORM-1", ["y[", "times the tolerance"]),
        ("NotANumber", "transforms", "TRANSFORM-2", ["z isn't finite at (1, 0, 0)"]),
        ("OneTooMany", "transforms", "TRANSFORM-3", ["y_hat in the answer, but not asked for"]),
        ("WrongDtype", "transforms", "TRANSFORM-3", ["x_hat has dtype float64, not float32"]),
        ("Raises", "transforms", "TRANSFORM-3", ["ZeroDivisionError: division by zero"]),
    ],
)
def test_a_wrong_subject_fails(
    miniature: str, capability: str, requirement: str, words: list[str], tmp_path: Path
) -> None:
    """An implementation wrong in one way fails the requirement that is about it, and only that one."""
    status, cases = run(tmp_path, f"tests.miniatures:{miniature}", "--capabilities", capability)
    assert status == pytest.ExitCode.TESTS_FAILED, f"the run ended with {status}"
    wrong = {str(c["requirement"]) for c in cases if c["outcome"] not in ("passed", "unsupported")}
    assert wrong == {requirement}, f"{sorted(wrong)} failed, it should be {requirement}"
    message = next(str(c["message"]) for c in cases if c["requirement"] == requirement and c["message"])
    for part in [*words, "repeat: pytest", requirement]:
        assert part in message, f"{part!r} isn't in the message:\n{message}"


def test_silence_is_not_a_pass(tmp_path: Path) -> None:
    """A subject that answers unsupported to all fails the run."""
    status, cases = run(tmp_path, "tests.miniatures:Nothing")
    assert {c["outcome"] for c in cases} == {"unsupported"}, "something else than unsupported"
    assert status == pytest.ExitCode.TESTS_FAILED, f"a run that checked nothing ended with {status}"


def test_known_failures_are_strict(tmp_path: Path) -> None:
    """A list of known failures makes the run pass; an entry that passes, or is no case, makes it fail."""
    known = tmp_path / "known.json"
    only = ("--capabilities", "transforms")
    status, _ = run(tmp_path, "tests.miniatures:Raises", *only, "--write-known-failures", str(known))
    entries = json.loads(known.read_text())
    assert status == 1, "it should fail without the list"
    assert entries, "the list of failures is empty"
    assert "ZeroDivisionError" in entries[0]["reason"], f"no reason: {entries[0]}"
    status, cases = run(tmp_path, "tests.miniatures:Raises", *only, "--known-failures", str(known))
    assert status == 0, "known failures should not fail the run"
    assert [c["outcome"] for c in cases].count("known-failure") == len(entries), "not all are reported as known"
    status, _ = run(tmp_path, "conformance.subjects.reference:Reference", *only, "--known-failures", str(known))
    assert status == pytest.ExitCode.TESTS_FAILED, "an entry that passes should fail the run"


def test_a_cut_off_report_is_seen(tmp_path: Path) -> None:
    """A report without its closing record is read as incomplete, and the matrix says so."""
    run(tmp_path, "tests.miniatures:Nothing", "--capabilities", "transforms")
    path = tmp_path / "report.json"
    cut = tmp_path / "cut.json"
    cut.write_text("\n".join(path.read_text().splitlines()[:4]) + '\n{"record": "ca')
    assert not report.read(cut)[1], "a cut-off report counts as complete"
    columns = [matrix.column(path), matrix.column(cut)]
    assert "nothing 0 | nothing 0 (cut off)" in matrix.markdown(columns), matrix.markdown(columns)
    assert "nothing 0 (cut off)" in matrix.page(columns), "the page doesn't say that a report was cut off"


def test_matrix_shows_the_worst_outcome(tmp_path: Path) -> None:
    """A cell is a pass only if every case of its requirement passed."""
    assert matrix.cell({"passed": 3}) == ("passed", "✓"), "three passes are a pass"
    assert matrix.cell({"passed": 3, "failed": 1}) == ("failed", "✗ 1 of 4"), "one failure is a failure"
    assert matrix.cell({"passed": 2, "not-run": 1}) == ("passed", "✓ 2 of 3"), "what wasn't run is no pass"
    assert matrix.cell({"unsupported": 2}) == ("unsupported", "–"), "not supported is its own mark"
    assert matrix.cell({}) == ("absent", ""), "no case, no mark"
