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

from mbtref.suite import strict
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import FOLDER, MANIFEST

FORMAT = 1
SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("report.schema.json").read_text("utf-8"))["$defs"]
"""Of each kind of record."""
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
    """Reads a report, also one that was cut off. Raises OSError, or ValueError if it isn't a report."""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            records = strict.parse(text)
        except ValueError:  # cut off: whole lines, and perhaps a part of one
            records = strict.parse(text.rpartition(",\n")[0] + "]")
        return _report(records)
    except ValueError as error:
        raise ValueError(f"{path}: not a conformance report of format {FORMAT} ({error})") from error


def _report(records: Any) -> Report:
    """The report of these records. Raises ValueError if they aren't of a run."""
    strict.check(records, {"type": "array", "items": {"type": "object"}})
    opening, *cases = records or [{}]
    strict.check(opening, SCHEMA["opening"], "record 1")
    closing = cases.pop() if cases and cases[-1].get("record") == "closing" else None
    known: dict[tuple[str, str], int] = {}
    for number, case in enumerate(cases, 2):
        strict.check(case, SCHEMA["case"], f"record {number}")
        if case["requirement"] not in REQUIREMENTS or case["capability"] not in CAPABILITIES:
            raise ValueError(f"record {number}: its requirement or capability isn't known")
        if (first := known.setdefault((case["requirement"], case["case"]), number)) < number:
            raise ValueError(f"records {first} and {number} are of the same case")
    if closing:
        strict.check(closing, SCHEMA["closing"], f"record {len(records)}")
    return Report(opening, cases, closing)
