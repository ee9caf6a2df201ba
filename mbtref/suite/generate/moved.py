"""The differences between two sets. A value within its tolerance stays frozen (`case`), so it doesn't differ."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from mbtref.suite.generate.sets import Files, change, paths
from mbtref.suite.vectors import MANIFEST

SHOWN = 8
"""Lines per group in a summary."""
OTHER = "beside the vectors"
"""The group of differences outside all requirements."""
Part = TypeVar("Part")


class Move(NamedTuple):
    """One difference between two sets."""

    group: str
    """A requirement, or OTHER."""
    item: str
    """A file, a vector's id, or a part of the manifest."""
    text: str
    change: float = math.inf
    """Largest change of a value; inf where values can't be compared."""

    def __str__(self) -> str:
        return f"{self.group}: {self.item}: {self.text}"


def differences(old: Files, new: Files) -> Iterator[Move]:
    """Everything that differs."""
    was, now = (json.loads(files[MANIFEST]) for files in (old, new))
    for part in ("version", "tolerances", "requirements", "models", "pictures"):
        if was[part] != now[part]:
            yield Move(OTHER, f"{MANIFEST}, {part}", "changed")
    owners: dict[str, str] = {}
    entries = [{entry["id"]: entry for entry in manifest["vectors"]} for manifest in (was, now)]
    for entry in [*entries[1].values(), *entries[0].values()]:
        owners |= dict.fromkeys(paths([entry]) - owners.keys(), entry["requirement"])
    for id, before, after in unequal(*entries):
        group = id.partition("/")[0]
        if before is None or after is None:
            yield Move(group, id, "new" if before is None else "gone")
        else:
            yield from (Move(group, id, f"changed {field}") for field, *_ in unequal(before, after))
    for path, data, other in unequal(old, new):
        group = owners.get(path, OTHER)
        if data is None or other is None:
            yield Move(group, path, "new" if data is None else "gone")
        elif path != MANIFEST and (moved := change(path, data, other)):
            size = f" by up to {moved:.3g}" if moved < math.inf else ""
            yield Move(group, path, f"changed{size}", moved)


def unequal(old: Mapping[str, Part], new: Mapping[str, Part]) -> Iterator[tuple[str, Part | None, Part | None]]:
    """Keys whose values differ, in order, with both values, None where a key is missing."""
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def summary(found: Iterable[Move]) -> Iterator[str]:
    """Lines that say what moved, by requirement."""
    for group, members in itertools.groupby(sorted(found), key=lambda move: move.group):
        moves = list(members)
        changes = [move.change for move in moves if move.change < math.inf]
        largest = f", values by up to {max(changes):.3g}" if changes else ""
        kinds = {kind: sum(move.text.startswith(kind) for move in moves) for kind in ("new", "gone", "changed")}
        yield f"{group}: {', '.join(f'{count} {kind}' for kind, count in kinds.items() if count)}{largest}"
        yield from (f"  {move.item}: {move.text}" for move in moves[:SHOWN])
        if len(moves) > SHOWN:
            yield f"  and {len(moves) - SHOWN} more"
