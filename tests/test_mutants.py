"""The gallery and the controls: that each can be installed, that the runner tells, that no clause is left out."""

import re
import shutil
import sys
from collections import Counter

import pytest

from mbtref.suite.cases import all_cases
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.sample import KODAK
from mbtref.suite.subjects.reference import Reference
from mutants import __main__ as runner
from mutants import automatic, javascript
from mutants.clauses import CLAUSES, ELSEWHERE
from mutants.controls import CONTROLS
from mutants.gallery import MUTANTS
from mutants.mutant import Codec, Mutant
from mutants.run import LEFT_OUT
from tests.support import ROOT, child

SPECIFICATION = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")


def test_a_control_differs() -> None:
    """Each control replaces functions that the codec has, is asked for what can be asked, and is no mutant."""
    assert not (both := MUTANTS.keys() & CONTROLS.keys()), f"mutants and controls: {both}"
    for name, control in CONTROLS.items():
        unknown = set(control.capabilities) - set(CAPABILITIES) | set(control.capabilities) & set(LEFT_OUT)
        assert not unknown, f"{name} can't be asked for {unknown}"
        other = control.codec is not Reference or any(callable(change.value) for change in control.changes)
        assert other, f"nothing shows that {name} differs"
        for change in control.changes:
            assert getattr(change.owner, change.name) is not change.value, (
                f"{name}: {change.name} is the right one"
            )


ALARMS = """
import sys
from mbtref import planes
from mutants.__main__ import main
from mutants.controls import CONTROLS, control
from mutants.gallery import MUTANTS
from mutants.mutant import around

CONTROLS["wrong"] = control("wrong", ["rans"], "as a mutant", *MUTANTS["words_first_out_first"].changes)
CONTROLS["right"] = control("right", ["rans"], "in its loop", *CONTROLS["rans_of_halves"].changes)
CONTROLS["idle"] = control("idle", ["rans"], "where nobody looks", around(planes.pad, lambda right, x: right(x)))
sys.exit(main())
"""


def test_a_control_raises_an_alarm_if_it_fails_or_is_idle() -> None:
    """A control that the suite fails is an alarm, and so is one whose own code no case runs."""
    done = child("-c", ALARMS, "wrong", "idle", "right", "--messages", "--jobs", "1", folder=ROOT)
    assert done.returncode == 1, done.stdout + done.stderr
    for words in ("wrong: a false alarm in RANS-1/", "no case runs what differs: pad", "3 controls, 2 alarms"):
        assert words in done.stdout, f"{words!r} isn't in {done.stdout}"


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_can_be_installed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mutant replaces names that the codec has, and belongs to a requirement that is checked."""
    replaced: list[object] = []

    def put(place: object, name: str, value: object) -> None:
        replaced.append(getattr(place, name))
        monkeypatch.setattr(place, name, value)

    mutant.install(put)
    assert replaced, f"{mutant.name} replaces nothing"
    assert mutant.name.isidentifier(), f"{mutant.name} can't be the attribute of a module"
    assert mutant.requirement in REQUIREMENTS, f"{mutant.name}: no requirement {mutant.requirement}"
    assert mutant.wrong, f"{mutant.name} doesn't say how it is wrong"


def test_a_change_reaches_every_importer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function is replaced in each module that has imported it, and the suite's own decoder stays right."""
    from mbtref import codec, decoder, exact, grid, reproducible

    MUTANTS["half_to_even"].install(monkeypatch.setattr)
    functions = {module.round_half_up for module in (grid, exact, codec, reproducible)}
    assert len(functions) == 1, "a module rounds by the right function still"
    right = decoder.leaky_relu
    MUTANTS["decoder_slope"].install(monkeypatch.setattr)
    assert decoder.leaky_relu is right, "the decoder that the suite asks has become the mutant"


def test_a_gone_name_breaks_loudly() -> None:
    """A mutant of a name that the codec doesn't have raises AttributeError, and installs nothing."""
    from mbtref import exact
    from mutants.mutant import constant, mutant

    gone = mutant("gone", "EXACT-1", "psi", "of a name that is gone", constant(exact, "INCLINE", 1310))
    with pytest.raises(AttributeError, match="INCLINE"):
        gone.install()
    assert not hasattr(exact, "INCLINE"), "a name was made that the codec doesn't have"


def test_a_moved_line_breaks_loudly() -> None:
    """A mutant of a part that the JavaScript codec doesn't have once raises ValueError, with that part."""
    for part, count in (("gone", 0), ("x", 2)):
        with pytest.raises(ValueError, match=f"{count} times, not once: {part}"):
            javascript.replaced("let x = 0, y = x", part, "")


def test_there_are_enough() -> None:
    """Each requirement that a mutant can fail has one, and the three implementations have their share."""
    of = Counter(mutant.requirement for mutant in MUTANTS.values())
    asked = {case.requirement for case in all_cases() if KODAK not in case.name}
    askable = {key for key in asked if REQUIREMENTS[key].capability not in LEFT_OUT}
    assert not (free := askable - of.keys()), f"no mutant fails {sorted(free)}"
    shares = Counter(mutant.of for mutant in MUTANTS.values())
    for codec, least in ((Codec.REFERENCE, 90), (Codec.ONE_FILE, 30), (Codec.JAVASCRIPT, 12)):
        assert shares[codec] >= least, f"only {shares[codec]} mutants of the {codec}"
    assert len(MUTANTS) <= 250, f"{len(MUTANTS)} mutants: more than anyone reads"


SURVIVOR = """
import sys
from mbtref import exact
from mutants.__main__ import main
from mutants.gallery import MUTANTS
from mutants.mutant import constant
from mutants.verdict import About

MUTANTS["slope"] = MUTANTS["slope"]._replace(changes=(constant(exact, "SLOPE", 1311),))
About.order = lambda self, cases: [case for case in cases if case.startswith("EXACT-1/lite-q3")]
sys.exit(main())
"""


def test_the_runner_tells_what_caught_a_mutant() -> None:
    """A wrong implementation is caught with a message that names the stage; one that isn't caught is named."""
    done = child("-c", SURVIVOR, "slope", "decoder_slope", "--messages", "--jobs", "1", folder=ROOT)
    assert done.returncode == 1, done.stdout + done.stderr
    for words in ("decoder_slope: ['EXACT-1']", "psi[", "slope: caught by nothing, not by EXACT-1",
                  "2 mutants, 1 not caught as they should be"):  # fmt: skip
        assert words in done.stdout, f"{words!r} isn't in {done.stdout}"


def test_what_needs_node_is_not_run_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Node its mutants and controls aren't asked, which is said, and there is no page of all."""
    asked: list[str] = []
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(runner, "ask_all", lambda questions, *_: asked.extend(each.name for each in questions))
    monkeypatch.setattr(sys, "argv", ["mutants", "javascript", "js_slope_in_32_bits", "slope", "remembers"])
    runner.main()
    assert asked == ["remembers", "slope"], f"it asks {asked}"
    printed = capsys.readouterr().out
    assert "not run: javascript, js_slope_in_32_bits: the JavaScript codec needs Node" in printed, printed
    monkeypatch.setattr(sys, "argv", ["mutants", "-o", "page.md"])
    with pytest.raises(SystemExit) as ended:
        runner.main()
    assert ended.value.code == 2, f"a page without them ended with {ended.value.code}"
    assert "the JavaScript codec needs Node" in capsys.readouterr().err, "it doesn't say what is missing"


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
    for key in (*CLAUSES, *ELSEWHERE):
        assert key in text, f"the specification doesn't say: {key}"
    for key, names in CLAUSES.items():
        assert names, f"nothing breaks: {key}"
        assert not (unknown := set(names) - MUTANTS.keys()), f"no mutant {unknown}"


def test_a_change_finds_its_statement() -> None:
    """A change is asked of the cases that run its statement: the lines of it, or those before a body."""
    text = automatic.source("scan").read_text(encoding="utf-8")
    at = text.splitlines().index("class Step(NamedTuple):") + 1
    changed = text.replace("ROW_LAG = REACH + 1", "ROW_LAG = REACH - 1")
    (line,) = automatic.statement("scan", changed)
    assert text.splitlines()[line - 1].startswith("ROW_LAG"), f"line {line} is another statement"
    header = automatic.statement("scan", text.replace("class Step(NamedTuple):", "class Step(Other):"))
    assert (header.start, header.stop) == (at, at + 1), f"a class's statement is {header}, not its first line"


def test_survivors_are_classified() -> None:
    """Each known survivor of the automatic mutants has a reason, and its lines are still there."""
    known = automatic.classified()
    for change in known:
        module, _, lines = change.partition("  →  ")[0].partition(": ")
        text = " ".join(line.strip() for line in automatic.source(module).read_text("utf-8").splitlines())
        assert lines in text, f"{module} hasn't these lines any more: {lines}"
    assert all(known.values()), "a survivor without a reason"
