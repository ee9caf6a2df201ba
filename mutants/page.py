"""docs/mutants.md, what the suite sees; and docs/mutants.csv, mutant by mutant."""

import csv
import io
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mutants.clauses import CLAUSES, ELSEWHERE
from mutants.controls import Judged
from mutants.mutant import Codec
from mutants.verdict import Verdict

SHOWN = 3
"""Cases named of a clause."""
SURVIVORS = Path(__file__).with_name("survivors.toml")


def page(verdicts: Sequence[Verdict], judged: Sequence[Judged]) -> str:
    """The page. verdicts: on all mutants. judged: all controls."""
    return "\n".join([
        "# Wrong implementations, and what catches them",
        "",
        f"*Made by `make mutants` on {date.today()}; not to be edited.*",
        "",
        "Each mutant is the reference, the one-file decoder or the JavaScript codec, with a wrong function, "
        "constant or line in place of a right one ([`gallery/`](../mutants/gallery/)). The suite is asked about "
        "it, without the Kodak pictures. It must fail the requirement that is about the mistake, and its first "
        "message must name the wrong stage. [`mutants.csv`](mutants.csv) lists them all.",
        "",
        f"| | {' | '.join(Codec)} |",
        "|---|---:|---:|---:|",
        *figures(verdicts),
        "",
        "## Controls",
        "",
        "Right implementations that differ from the reference ([`controls.py`](../mutants/controls.py)). The "
        "suite is asked about all that each touches, and must say nothing against it.",
        "",
        "| control | how it differs | cases passed | failed |",
        "|---|---|---:|---:|",
        *(f"| {c.name} | {c.about} | {passed} | {len(failed)} |" for c, failed, passed in judged),
        "",
        "## Clauses",
        "",
        "The sentences of the [specification](specification.md) with MUST, and cases that fail if one is broken.",
        "",
        "| sentence | broken by | cases that fail |",
        "|---|---|---|",
        *clauses({v.mutant.name: v for v in verdicts}),
        "",
        "## Small changes",
        "",
        *survivors(),
        "",
    ])  # fmt: skip


def figures(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The rows of numbers."""
    groups = [[v for v in verdicts if v.mutant.of is codec] for codec in Codec]
    for title, counts in (
        ("mutants", [len(group) for group in groups]),
        ("caught by their requirement", [sum(v.mutant.requirement in v.requirements for v in g) for g in groups]),
        *((f"of these, in tier {t}", [sum(tier_of(v) == t for v in g) for g in groups]) for t in TIERS[:-1]),
        ("the message names the stage", [sum(v.fault is None for v in group) for group in groups]),
    ):
        yield f"| {title} | {' | '.join(map(str, counts))} |"


def tier_of(verdict: Verdict) -> str:
    """The smallest tier in which it is caught."""
    return REQUIREMENTS[verdict.mutant.requirement].tier


def clauses(by_name: dict[str, Verdict]) -> Iterator[str]:
    """A row for each sentence."""
    for sentence, names in CLAUSES.items():
        cases = list(dict.fromkeys(case for name in names for case in by_name[name].failed))
        more = f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
        yield f"| {sentence} | {', '.join(names)} | {', '.join(cases[:SHOWN])}{more} |"
    for sentence, shown in ELSEWHERE.items():
        yield f"| {sentence} | - | {shown} |"


def survivors() -> Iterator[str]:
    """The paragraph and the table on `mutants.automatic`."""
    known = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    yield (
        f"`python -m mutants.automatic` makes every small change in the codec's modules, {known['asked']} in all. "
        f"{known['survived']} survive: no case of the suite sees them "
        "([`survivors.toml`](../mutants/survivors.toml))."
    )
    yield from ("", "| why | changes |", "|---|---:|")
    for group in known["group"]:
        yield f"| {group['why']} | {group['survived']} |"


def table(verdicts: Sequence[Verdict]) -> str:
    """The mutants as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["mutant", "of", "how it is wrong", "requirement", "tier", "named in the message"])
    for verdict in verdicts:
        m = verdict.mutant
        rows.writerow([m.name, m.of, m.wrong, m.requirement, tier_of(verdict), verdict.fault or m.stage])
    return text.getvalue()
