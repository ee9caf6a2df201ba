"""Mutants that nobody thought of: the small changes that cosmic-ray makes in the codec's modules.

    python -m mutants.automatic --sample TEXT --count 100

The suite alone judges them. Survivors are classified once, in `survivors.toml`. With a new one the status is 1.
"""

import argparse
import difflib
import hashlib
import itertools
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mutants.mutant import FILES, OF_DECODER, REFERENCE, Mutant, source
from mutants.run import verdicts

SURVIVORS = Path(__file__).with_name("survivors.toml")
MODULES = [file for file in FILES if FILES[file] != REFERENCE and file not in OF_DECODER]
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


def changes(file: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = source(file)
    for operator in OPERATORS:
        for occurrence in itertools.count():
            new = mutate_code(text, get_operator(operator)(), occurrence)
            if new is None:
                break
            name = "m" + hashlib.sha256(new.encode()).hexdigest()[:12]
            yield Mutant(name, file, text, new, "", "", described(file, text, new))


def described(file: str, old: str, new: str) -> str:
    """The line that was changed, and its new form."""
    lines = list(difflib.ndiff(old.splitlines(), new.splitlines()))
    before, after = (" ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{file}: {before}  →  {after}"


def classified() -> Mapping[str, str]:
    """Why each known survivor lives, by its description."""
    groups: list[dict[str, Any]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["group"]
    return {change: group["why"] for group in groups for change in group["changes"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mutants.automatic", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sample", default="", metavar="TEXT", help="chooses the mutants, such as a commit")
    parser.add_argument("--count", type=int, default=100, help="0: all; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    args = parser.parse_args()
    try:
        mutants = {mutant.name: mutant for file in MODULES for mutant in changes(file)}
    except ModuleNotFoundError as error:
        parser.error(f"this needs {error.name}: pip install 'mbtref[mutation]'")
    order = sorted(mutants, key=lambda name: hashlib.sha256(f"{args.sample} {name}".encode()).digest())
    chosen = [mutants[name] for name in order[: args.count or len(order)]]
    known, survivors, new = classified(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for verdict in verdicts(chosen, False, args.jobs, Path(folder)):
            if not verdict.failed:
                survivors += 1
                if verdict.mutant.wrong not in known:
                    new += 1
                    print(verdict.mutant.wrong, flush=True)
    print(f"{len(chosen)} of {len(mutants)} mutants, {survivors} survivors, {new} of them not in {SURVIVORS.name}")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
