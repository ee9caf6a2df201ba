"""docs/mutants.md: what the suite sees, mutant by mutant, clause by clause."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mbtref.suite.vectors import frozen
from mutants.clauses import CLAUSES, ELSEWHERE
from mutants.mutant import OF_DECODER
from mutants.run import LEFT_OUT, Verdict

SHOWN = 3
"""Cases named of a clause."""


def page(verdicts: Sequence[Verdict]) -> str:
    """The page. verdicts: on all mutants."""
    caught = sorted((v for v in verdicts if v.mutant.requirement), key=order)
    equivalent = [v for v in verdicts if not v.mutant.requirement]
    return "\n".join([
        "# Wrong implementations, and what catches them",
        "",
        f"*Made by `make mutants` on {date.today()}; not to be edited.*",
        "",
        "Each mutant is the reference, or the one-file decoder, with one mistake: a replacement in one file "
        "([`mutants/`](../mutants/)). The suite is asked about it without the Kodak pictures. It must fail the "
        "requirement that is about the mistake, and its first message must name the wrong stage.",
        "",
        *figures(caught, equivalent),
        "",
        "## Clauses",
        "",
        "The sentences of the [specification](specification.md) with MUST, and cases that fail if one is broken.",
        "",
        "| sentence | broken by | cases that fail |",
        "|---|---|---|",
        *clauses({v.mutant.name: v for v in verdicts}),
        "",
        "## Mutants",
        "",
        "| mutant | file | how it is wrong | requirement | tier | named |",
        "|---|---|---|---|---|---|",
        *(row(v) for v in caught),
        "",
        "## Mutants that nothing can tell apart",
        "",
        "| mutant | file | why |",
        "|---|---|---|",
        *(f"| {v.mutant.name} | {v.mutant.file} | {v.mutant.wrong} |" for v in equivalent),
        "",
        "## Vectors that catch none of these mutants",
        "",
        "They stay: each repeats a question at another model, size or symbol, and a mistake that needs just that "
        "one may be made tomorrow.",
        "",
        *unused(verdicts),
        "",
    ])  # fmt: skip


def order(verdict: Verdict) -> tuple[int, str]:
    """By requirement, then by name."""
    return list(REQUIREMENTS).index(verdict.mutant.requirement), verdict.mutant.name


def figures(caught: Sequence[Verdict], equivalent: Sequence[Verdict]) -> Iterator[str]:
    """The table of numbers."""
    yield "| | reference | one-file decoder |"
    yield "|---|---:|---:|"
    groups = [[v for v in caught if (v.mutant.file in OF_DECODER) is decoder] for decoder in (False, True)]
    same = [sum((v.mutant.file in OF_DECODER) is decoder for v in equivalent) for decoder in (False, True)]
    for title, counts in (
        ("wrong mutants", [len(group) for group in groups]),
        ("caught by their requirement", [sum(v.mutant.requirement in v.requirements for v in g) for g in groups]),
        *(
            (f"of these, in tier {tier}", [sum(tier_of(v) == tier for v in g) for g in groups])
            for tier in TIERS[:-1]
        ),
        ("the message names the stage", [sum(v.fault is None for v in group) for group in groups]),
        ("mutants that nothing can tell apart", same),
    ):
        yield f"| {title} | {' | '.join(map(str, counts))} |"


def tier_of(verdict: Verdict) -> str:
    """The smallest tier in which it is caught."""
    return REQUIREMENTS[verdict.mutant.requirement].tier


def row(verdict: Verdict) -> str:
    """A mutant's line."""
    m = verdict.mutant
    named = f"`{m.stage}`" if m.stage else "-"
    return f"| {m.name} | {m.file} | {m.wrong} | {m.requirement} | {tier_of(verdict)} | {verdict.fault or named} |"


def clauses(by_name: dict[str, Verdict]) -> Iterator[str]:
    """A line for each sentence."""
    for sentence, names in CLAUSES.items():
        cases = [case for name in names for case in by_name[name].failed]
        shown = ", ".join(dict.fromkeys(cases[:SHOWN])) or ELSEWHERE.get(sentence, "none")
        more = f" and {len(set(cases)) - SHOWN} more" if len(set(cases)) > SHOWN else ""
        yield f"| {sentence} | {', '.join(names) or '-'} | {shown}{more} |"


def unused(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Lists of vectors whose failure no mutant needs, by requirement."""
    used = {case for verdict in verdicts for case in verdict.failed}
    for key, requirement in REQUIREMENTS.items():
        names = [v.name for v in frozen().vectors if v.requirement == key and v.id not in used]
        if names and requirement.capability not in LEFT_OUT and requirement.tier != TIERS[-1]:
            yield f"- {key}: {', '.join(names)}"
