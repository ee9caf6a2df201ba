"""The differences between two sets. A value within its tolerance stays frozen (`frozen`), so it doesn't differ."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mbtref.suite.generate.frozen import Files, change, files_of
from mbtref.suite.vectors import MANIFEST

SHOWN = 8
"""Lines per group in a summary."""
OTHER = "beside the vectors"
"""The group of differences outside all requirements."""


class Move(NamedTuple):
    """One difference between two sets."""

    group: str
    """A requirement, or OTHER."""
    item: str
    """A file, a vector's id, or a part of the manifest."""
    text: str
    change: float
    """Largest change of a value; inf where values can't be compared."""

    def __str__(self) -> str:
        return f"{self.group}: {self.item}: {self.text}"


def differences(old: Files, new: Files) -> Iterator[Move]:
    """Everything that differs."""
    was, now = (json.loads(files[MANIFEST]) for files in (old, new))
    yield from _manifests(was, now)
    owners = {**_owners(was), **_owners(now)}
    for path in sorted((old.keys() | new.keys()) - {MANIFEST}):
        group = owners.get(path, OTHER)
        if path not in old or path not in new:
            yield Move(group, path, "new" if path in new else "gone", math.inf)
        elif moved := change(path, old[path], new[path]):
            size = f" by up to {moved:.3g}" if moved < math.inf else ""
            yield Move(group, path, f"changed{size}", moved)


def summary(found: Iterable[Move]) -> Iterator[str]:
    """Lines that say what moved, by requirement."""
    for group, members in itertools.groupby(sorted(found), key=lambda d: d.group):
        moved = list(members)
        changes = [d.change for d in moved if d.change < math.inf]
        largest = f", values by up to {max(changes):.3g}" if changes else ""
        kinds = {kind: sum(d.text.startswith(kind) for d in moved) for kind in ("new", "gone", "changed")}
        yield f"{group}: {', '.join(f'{count} {kind}' for kind, count in kinds.items() if count)}{largest}"
        for d in moved[:SHOWN]:
            yield f"  {d.item}: {d.text}"
        if len(moved) > SHOWN:
            yield f"  and {len(moved) - SHOWN} more"


def _manifests(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Move]:
    """Differences between the entries and between the other parts of two manifests."""
    for part in ("version", "tolerances", "requirements", "models", "pictures"):
        if was[part] != now[part]:
            yield Move(OTHER, f"{MANIFEST}, {part}", "changed", math.inf)
    before, after = ({entry["id"]: entry for entry in entries["vectors"]} for entries in (was, now))
    for key in sorted(before.keys() | after.keys()):
        group = key.split("/")[0]
        if key not in before or key not in after:
            yield Move(group, key, "new" if key in after else "gone", math.inf)
            continue
        a, b = before[key], after[key]
        for field in sorted(a.keys() | b.keys()):
            if a.get(field) != b.get(field):
                yield Move(group, key, f"changed {field}", math.inf)


def _owners(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The first requirement that uses each file."""
    owners: dict[str, str] = {}
    for entry in manifest["vectors"]:
        for path in files_of(entry):
            owners.setdefault(path, entry["requirement"])
    return owners
