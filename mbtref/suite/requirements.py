"""What is required of an implementation: by id, with its capability, tier, source and limits.

The table is `data/requirements.toml`. The manifest, the messages of a run, the matrix and docs/requirements.md are
made from it, and nothing is judged by a limit that isn't there.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TIERS = ("smoke", "full", "kodak")
"""Each holds the ones before it: stages one by one; all requirements, each picture at one model; at all models."""
DEFAULT_TIER = "full"
EACH = "each"
"""In place of a capability: that of the operation after which a case is named."""


class Limit(NamedTuple):
    """How far an answer may depart."""

    value: float
    unit: str
    text: str
    """What is bounded, and where the number comes from."""


class Requirement(NamedTuple):
    """One thing that is required."""

    capability: str
    tier: str
    """The smallest of TIERS that checks it."""
    text: str
    source: str
    """Where it is written."""
    limits: Mapping[str, Limit]
    """By name."""


def _read(path: Path) -> Iterator[tuple[str, Requirement]]:
    for key, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        bounds = {name: Limit(**bound) for name, bound in entry.pop("limits", {}).items()}
        yield key, Requirement(**entry, limits=bounds)


REQUIREMENTS: Mapping[str, Requirement] = dict(_read(Path(__file__).parent / "data" / "requirements.toml"))


def limit(requirement: str, name: str) -> float:
    """The value of a limit."""
    return REQUIREMENTS[requirement].limits[name].value


def as_json() -> dict[str, object]:
    """The table as the manifest has it."""
    return {
        key: {**each._asdict(), "limits": {name: bound._asdict() for name, bound in each.limits.items()}}
        for key, each in REQUIREMENTS.items()
    }


def page() -> str:
    """docs/requirements.md."""
    return "\n".join([
        "# What is required",
        "",
        "*Made by `mbtref requirements`; not to be edited.*",
        "",
        "The suite judges by this table and by the tolerances of single vectors. "
        "[`vectors/manifest.json`](../vectors/manifest.json) has both. An output without a tolerance must be "
        "equal. An implementation is asked only for the capabilities that it [declares](subjects.md). § is a section "
        "of the [specification](specification.md). A tier holds those before it: smoke, full, kodak.",
        "",
        "| id | capability | tier | what is required | source |",
        "|---|---|---|---|---|",
        *(f"| {key} | {r.capability} | {r.tier} | {r.text} | {r.source} |" for key, r in REQUIREMENTS.items()),
        "",
        "## Limits",
        "",
        "| id | limit | value | of what |",
        "|---|---|---:|---|",
        *(f"| {key} | {name} | {bound.value:g} {bound.unit} | {bound.text} |" for key, name, bound in limits()),
        "",
    ])  # fmt: skip


def limits() -> Iterator[tuple[str, str, Limit]]:
    """All limits with their requirement and name."""
    for key, requirement in REQUIREMENTS.items():
        for name, bound in requirement.limits.items():
            yield key, name, bound
