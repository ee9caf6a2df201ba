"""The part of the frozen set that stays when vectors are made anew. It doesn't depend on the machine that runs.

- Choices (the seed of a picture, its content), tolerances and margins are found once and then kept.
- A value stays as it was frozen if the new one equals it within its tolerance. So every stage starts from the same
  bits on every machine, and a machine that rounds differently writes the same files.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mbtref.suite.generate.change import change
from mbtref.suite.vectors import MANIFEST

Files = Mapping[str, bytes]
"""A whole set: the bytes of every file by its path, with the manifest."""
Entry = Mapping[str, Any]
"""A vector in the manifest."""


class Frozen:
    """A set that was made before, or a part of it.

    files: all but the manifest. pictures: by their names, see the manifest's schema.
    """

    def __init__(self, files: Files, entries: Sequence[Entry], pictures: Mapping[str, Entry]) -> None:
        self.files = files
        self.entries = entries
        self.pictures = pictures
        self._by_id = {entry["id"]: entry for entry in entries}

    def entry(self, vector: str) -> Entry:
        """The entry of this id; empty if the vector is new."""
        return self._by_id.get(vector, {})

    def kept(self, path: str, data: bytes, allowed: float) -> bytes:
        """The frozen bytes of a file if data differs from them by the allowed change at most; else data."""
        old = self.files.get(path)
        return data if old is None or change(path, old, data) > allowed else old

    def without(self, requirements: Collection[str]) -> "Frozen":
        """The set without the vectors of these requirements and the files that only they use."""
        entries = [entry for entry in self.entries if entry["requirement"] not in requirements]
        if not entries:
            return Frozen({}, (), {})
        gone = paths(self.entries) - paths(entries) - {picture["file"] for picture in self.pictures.values()}
        kept = {path: data for path, data in self.files.items() if path not in gone}
        return Frozen(kept, entries, self.pictures)


def parsed(files: Files) -> Frozen:
    """A whole set, from its files with the manifest; an empty set if there is no manifest."""
    manifest = json.loads(files.get(MANIFEST, '{"vectors": [], "pictures": {}}'))
    rest = {path: data for path, data in files.items() if path != MANIFEST}
    return Frozen(rest, manifest["vectors"], manifest["pictures"])


def paths(entries: Iterable[Entry]) -> set[str]:
    """All files that vectors name."""
    return {path for entry in entries for path in files_of(entry)}


def files_of(entry: Entry) -> list[str]:
    """The files that a vector names."""
    groups = (entry["inputs"], entry.get("expected", {}), entry.get("may_differ", {}))
    return [path for group in groups for path in group.values()]
