"""The room of mutants: that each is what it says, that the runner tells, and that no clause is left out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mbtref.suite.requirements import REQUIREMENTS
from mutants import automatic
from mutants.clauses import CLAUSES, ELSEWHERE
from mutants.gallery import MUTANTS
from mutants.mutant import OF_DECODER, Mutant, changed

ROOT = Path(__file__).parent.parent
SPECIFICATION = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_one_replacement(mutant: Mutant) -> None:
    """Each mutant changes its module in one place, compiles, and belongs to a requirement that is checked."""
    compile(changed(mutant), mutant.file, "exec")
    assert mutant.name.isidentifier(), f"{mutant.name} can't be the attribute of a module"
    assert mutant.requirement in ("", *REQUIREMENTS), f"{mutant.name}: no requirement {mutant.requirement}"
    assert mutant.wrong, f"{mutant.name} doesn't say how it is wrong"


def test_there_are_enough() -> None:
    """There are at least 150 mutants, of the reference and of the one-file decoder."""
    decoder = sum(mutant.file in OF_DECODER for mutant in MUTANTS.values())
    assert decoder >= 50, f"only {decoder} mutants of the one-file decoder"
    assert len(MUTANTS) - decoder >= 100, f"only {len(MUTANTS) - decoder} mutants of the reference"


def run(*names: str) -> tuple[int, str]:
    """Runs the gallery's command. Returns its status and what it printed."""
    command = [sys.executable, "-m", "mutants", *names, "--messages", "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_the_runner_tells_what_caught_a_mutant() -> None:
    """A wrong implementation is caught by its requirement, with a message that names the stage."""
    status, shown = run("slope", "decoder_slope")
    assert status == 0, shown
    for words in ("slope: ['EXACT-1']", "psi[", "2 mutants, 0 not caught as they should be"):
        assert words in shown, f"{words!r} isn't in {shown}"


def test_the_runner_notices_a_survivor(tmp_path: Path) -> None:
    """A mutant that isn't caught ends the run with status 1, and is named."""
    program = (
        "import sys; from mutants.gallery import MUTANTS; from mutants.__main__ import main\n"
        "MUTANTS['slope'] = MUTANTS['slope']._replace(new=MUTANTS['slope'].old + '  # the same')\n"
        "sys.argv = ['mutants', 'slope', '--jobs', '1']; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "slope: caught by nothing, not by EXACT-1" in done.stdout, done.stdout + done.stderr


def sentences() -> list[str]:
    """The sentences of the specification with MUST or MAY, on one line each."""
    text = re.sub(r"\n    .*", "", SPECIFICATION.partition("## 1.")[2])
    paragraphs = re.split(r"\n\n|\n(?=[-0-9|])", text)
    found = [s for p in paragraphs for s in re.split(r"(?<=[.:])\s+(?=[A-Z`]|m MUST)", " ".join(p.split()))]
    return [sentence for sentence in found if re.search(r"\bMUST\b", sentence)]


def test_every_clause_can_be_seen_broken() -> None:
    """Each sentence with MUST is in the table of clauses, and mutants break it, or another test shows it."""
    for sentence in sentences():
        keys = [key for key in (*CLAUSES, *ELSEWHERE) if key in sentence]
        assert keys, f"no clause of mutants/clauses.py is about: {sentence}"
    text = " ".join(SPECIFICATION.split())
    for key, names in CLAUSES.items():
        assert key in text, f"the specification doesn't say: {key}"
        assert names or key in ELSEWHERE, f"nothing breaks: {key}"
        assert not (unknown := set(names) - MUTANTS.keys()), f"no mutant {unknown}"


def test_survivors_are_classified() -> None:
    """Each known survivor of the automatic mutants has a reason, and is still among them."""
    pytest.importorskip("cosmic_ray", reason="python -m mutants.automatic needs cosmic-ray")
    known = automatic.classified()
    made = {mutant.wrong for file in automatic.MODULES for mutant in automatic.changes(file)}
    assert not (gone := known.keys() - made), f"not among the mutants any more: {sorted(gone)}"
    assert all(known.values()), "a survivor without a reason"
