"""Mutants that nobody thought of: the small changes that cosmic-ray makes in the codec's modules.

    python -m mutants.automatic                               all of them
    python -m mutants.automatic --sample TEXT --count 100     some

Each changes the text of one module, and the suite alone judges it. What the cases reach is measured first: a
change is asked of the cases that run its line, the quickest and most deadly first. A line that no case runs can't
be judged. Answers are kept in a file, so an interrupted run goes on where it stopped. Survivors are classified
once, in `survivors.toml`. With a new one the status is 1.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import itertools
import json
import subprocess
import sys
import tempfile
import time
import tomllib
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mbtref.files import write_whole
from mbtref.suite.subjects.protocol import Subject
from mutants.run import ALWAYS, Failed, ask_all, requirement_of

SURVIVORS = Path(__file__).with_name("survivors.toml")
REFERENCE = "mbtref.suite.subjects.reference"
MODULES = (
    "bitstream", "codec", "exact", "grid", "image", "model", "networks", "openloop.buffers", "openloop.forward",
    "openloop.likelihoods", "planes", "rans", "reproducible", "scan", "surroundings", "tables", "transforms",
)  # fmt: skip
"""The codec's modules on the way from pictures to streams and back."""
PAIRS = (
    "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "LShift_RShift",
    "RShift_LShift", "BitAnd_BitOr", "BitOr_BitAnd",
)  # fmt: skip
COMPARISONS = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq", "Lt_Gt", "Gt_Lt")
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in PAIRS),
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
    "core/ReplaceUnaryOperator_Delete_USub", "core/ReplaceUnaryOperator_Delete_Not", "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/NumberReplacer",
    "core/ZeroIterationForLoop",
)  # fmt: skip
"""Of cosmic-ray's: one replacement for each operator of the language, and its neighbours for a comparison."""


class Change(NamedTuple):
    """A module with one small change: a question to the suite."""

    name: str
    module: str
    text: str
    """All of the module, changed."""
    wrong: str
    """The line that was changed, and its new form."""
    cases: Mapping[str, float]
    """Those that run the statement, with their seconds: the quickest of each requirement first."""
    kills: Counter[str]
    """How many changes of this module each case has caught so far."""

    def subject(self) -> Subject:
        assert f"mbtref.{self.module}" not in sys.modules, f"{self.module} was imported before it is changed"
        right = importlib.machinery.SourceFileLoader.get_code

        def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> types.CodeType | None:
            return (
                compile(self.text, loader.path, "exec") if name == f"mbtref.{self.module}" else right(loader, name)
            )

        setattr(importlib.machinery.SourceFileLoader, "get_code", get_code)  # noqa: B010
        subject: Subject = importlib.import_module(REFERENCE).Reference()
        return subject

    def order(self, cases: Sequence[str]) -> Sequence[str]:
        return sorted(self.cases, key=lambda case: -self.kills[case] / (self.cases[case] + 0.05))

    def enough(self, failed: Failed, case: str) -> bool:
        return bool(failed)


def source(module: str) -> Path:
    """The file of one of MODULES."""
    spec = importlib.util.find_spec(f"mbtref.{module}")
    assert spec is not None
    return Path(str(spec.origin))


def texts(module: str) -> Iterator[str]:
    """All changed forms of a module that are Python still: the alternatives of a pattern can't be multiplied."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = source(module).read_text(encoding="utf-8")
    for operator in OPERATORS:
        for occurrence in itertools.count():
            new = mutate_code(text, get_operator(operator)(), occurrence)
            if new is None:
                break
            with contextlib.suppress(SyntaxError):
                ast.parse(new)
                yield new


def named(module: str, new: str) -> str:
    """A name that stays when comments, docstrings or other changes come."""
    tree = ast.parse(new)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return "m" + hashlib.sha256(f"{module} {ast.dump(tree)}".encode()).hexdigest()[:12]


def described(module: str, new: str) -> str:
    """The line that was changed, and its new form."""
    lines = list(difflib.ndiff(source(module).read_text(encoding="utf-8").splitlines(), new.splitlines()))
    before, after = (" ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{module}: {before}  →  {after}"


def statement(module: str, new: str) -> range:
    """The lines of the statement that was changed; of a loop or a function, the lines before its body."""
    text = source(module).read_text(encoding="utf-8")
    same = itertools.takewhile(
        lambda pair: pair[0] == pair[1], zip(text.splitlines(), new.splitlines(), strict=False)
    )
    at = 1 + sum(1 for _ in same)
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            begin = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
            body = getattr(node, "body", None)
            end = max(body[0].lineno, node.lineno + 1) if body else (node.end_lineno or begin) + 1
            found.append(range(begin, end))
    return min((lines for lines in found if at in lines), key=len)


def in_turns(seconds: Mapping[str, float]) -> list[str]:
    """The quickest case of each requirement, then the second one of each, and so on."""
    groups: dict[str, list[str]] = {}
    for case in sorted(seconds, key=lambda case: seconds[case]):
        groups.setdefault(requirement_of(case), []).append(case)
    return [case for turn in itertools.zip_longest(*groups.values()) for case in turn if case]


def changes(reach: Mapping[str, tuple[float, Mapping[str, Sequence[int]]]]) -> list[Change]:
    """All changes of all modules. reach: see `mutants.reach`."""
    order = in_turns({case: seconds for case, (seconds, _) in reach.items() if case != ALWAYS})
    found = []
    for module in MODULES:
        path = str(source(module))
        lines = {case: set(own.get(path, ())) for case, (_, own) in reach.items()}
        always = lines.pop(ALWAYS, set())
        kills: Counter[str] = Counter()
        for text in dict.fromkeys(texts(module)):
            own = set(statement(module, text))
            cases = {case: reach[case][0] for case in order if own & (lines[case] | always)}
            found.append(Change(named(module, text), module, text, described(module, text), cases, kills))
    return found


def classified() -> Mapping[str, str]:
    """Why each known survivor lives, by its description, or by its line for lines of which all changes survive."""
    groups: list[dict[str, Any]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["group"]
    return {change: group["why"] for group in groups for change in group["changes"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mutants.automatic", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sample", default="", metavar="TEXT", help="chooses the changes, such as a commit")
    parser.add_argument("--count", type=int, default=0, help="0: all; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE.json", help="keeps answers: what is in it isn't asked"
    )
    args = parser.parse_args()
    try:
        import cosmic_ray  # noqa: F401
    except ModuleNotFoundError as error:
        parser.error(f"this needs {error.name}: pip install 'mbtref[mutation]'")
    answers: dict[str, str] = (
        json.loads(args.answers.read_text()) if args.answers and args.answers.is_file() else {}
    )
    made = sorted(changes(measured()), key=lambda c: hashlib.sha256(f"{args.sample} {c.name}".encode()).digest())
    chosen = made[: args.count or len(made)]
    text = source(MODULES[0]).read_text(encoding="utf-8")
    right = chosen[0]._replace(name="right", module=MODULES[0], text=text)
    began = time.monotonic()

    def tell(change: Change, failed: Failed, passed: int) -> None:
        case = next(iter(failed), "")
        change.kills[case] += 1
        answers[change.name] = case
        if args.answers:
            write_whole(args.answers, json.dumps(answers, indent=0).encode())

    answers |= {change.name: "" for change in chosen if not change.cases}
    asked = [change for change in chosen if change.name not in answers]
    unchanged: list[Failed] = []
    ask_all([right], 1, lambda _, failed, passed: unchanged.append(failed))
    if unchanged != [{}]:
        sys.exit(f"the suite can't be asked, or fails the codec as it is: {unchanged}")
    ask_all(asked, args.jobs, tell)
    known = classified()
    survivors = [change for change in chosen if not answers[change.name]]
    new = [c for c in survivors if c.wrong not in known and c.wrong.partition("  →  ")[0] not in known]
    for change in new:
        print(f"{change.wrong}{'' if change.cases else '  (no case runs it)'}")
    unreached = sum(not change.cases for change in survivors)
    print(
        f"{len(chosen)} of {len(made)} changes, {len(asked)} of them asked in {time.monotonic() - began:.0f} s: "
        f"{len(survivors)} survive, {unreached} in lines that no case runs; {len(new)} aren't in {SURVIVORS.name}"
    )
    return 1 if new else 0


def measured() -> Any:
    """What each case runs. Another process measures it: nothing of the codec may be imported here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reach.json")
        subprocess.run([sys.executable, "-m", "mutants.reach", path], check=True)
        return json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
