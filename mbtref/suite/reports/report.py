"""The report of a run: a JSON array, one record a line, written as the run goes.

The first record says what was checked and where. The last one says that the run came to its end: a report without
it was cut off. The schema is `report.schema.json`.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import FOLDER, MANIFEST

FORMAT = 1
VERSIONS_OF = ("mbtref", "numpy", "torch", "compressai")
Record = Mapping[str, Any]


class Report(NamedTuple):
    """The records of a run."""

    opening: Record
    cases: Sequence[Record]
    closing: Record | None
    """None if the run was cut off."""

    @property
    def subject(self) -> str:
        """Name and version of the implementation."""
        return f"{self.opening['subject']['name']} {self.opening['subject']['version']}"


def opening(subject: Subject, given: str, tier: str, simulated: str | None) -> Record:
    """The first record. given: the subject as named on the command line. simulated: see `processors`."""
    return {
        "record": "opening",
        "format": FORMAT,
        "tier": tier,
        "subject": {
            "given": given,
            "name": subject.name,
            "version": subject.version,
            "capabilities": sorted(subject.capabilities),
        },
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            **({"simulated": simulated} if simulated else {}),
        },
        "versions": {"python": platform.python_version(), **dict(versions())},
    }


def versions() -> Iterator[tuple[str, str]]:
    """The start of the SHA-256 of the vectors' manifest, and the versions of what is installed of VERSIONS_OF."""
    yield "vectors", hashlib.sha256((FOLDER / MANIFEST).read_bytes()).hexdigest()[:16]
    for name in VERSIONS_OF:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def line(record: Record) -> str:
    """A record as it is written."""
    begin = "[\n" if record["record"] == "opening" else ""
    end = "\n]\n" if record["record"] == "closing" else ",\n"
    return begin + json.dumps(record) + end


def read(path: Path) -> Report:
    """Reads a report. Raises OSError, or ValueError if it isn't a report at all."""
    records = []
    for text in path.read_text(encoding="utf-8").splitlines():
        if text not in ("[", "]"):
            try:
                records.append(json.loads(text.rstrip(",")))
            except json.JSONDecodeError:
                break
    first = records[0] if records else None
    if not isinstance(first, dict) or (first.get("record"), first.get("format")) != ("opening", FORMAT):
        raise ValueError(f"{path}: not a conformance report of format {FORMAT}")
    cases = [record for record in records if record["record"] == "case"]
    return Report(first, cases, records[-1] if records[-1]["record"] == "closing" else None)
