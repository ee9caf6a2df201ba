"""The report of a run: a JSON array, one record a line, written as the run goes.

The first record says what was checked and where. The last one says that the run came to its end: a report without
it was cut off. The schema is `report.schema.json`.
"""

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TextIO

from mbtref.suite.cases import Outcome
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import FOLDER, MANIFEST

FORMAT = 1
VERSIONS_OF = ("mbtref", "numpy", "torch", "compressai")


class Report:
    """Writes one report and counts the outcomes. file: the report's file, None to count only."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file
        self.counts: Counter[str] = Counter()

    def open(self, subject: Subject, given: str, tier: str, simulated: str | None) -> None:
        """Writes the first record. given: the subject as named on the command line. tier: how much is checked.
        simulated: the name of its simulated processor, see `processors`, or None."""
        self._write({
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
            "versions": {"python": platform.python_version(), **versions()},
        })  # fmt: skip

    def case(self, entry: Mapping[str, object]) -> None:
        """Writes one case: requirement, text, case, capability, tier, outcome, seconds, message."""
        self.counts[str(entry["outcome"])] += 1
        self._write({"record": "case", **entry})

    def close(self, status: int | None, whole: bool) -> None:
        """Writes the last record and closes the file. status: of the run; None, if it was cut off: no record.
        whole: whether all cases of the tier were run."""
        if status is not None:
            counts = {outcome: self.counts[outcome] for outcome in Outcome}
            self._write({"record": "closing", "status": status, "whole": whole, "counts": counts}, last=True)
        if self.file:
            self.file.close()

    def _write(self, record: Mapping[str, object], last: bool = False) -> None:
        if self.file is None:
            return
        begin = "[\n" if record["record"] == "opening" else ""
        self.file.write(begin + json.dumps(record) + ("\n]\n" if last else ",\n"))
        self.file.flush()


def versions() -> dict[str, str]:
    """Versions of the installed packages of VERSIONS_OF, and the start of the SHA-256 of the vectors' manifest."""
    entries = {"vectors": hashlib.sha256((FOLDER / MANIFEST).read_bytes()).hexdigest()[:16]}
    for name in VERSIONS_OF:
        try:
            entries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return entries


def read(path: Path) -> tuple[list[dict[str, object]], bool]:
    """The records of a report, and whether it is complete. Raises ValueError if it isn't a report at all."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line not in ("[", "]"):
            try:
                records.append(json.loads(line.rstrip(",")))
            except json.JSONDecodeError:
                break
    opening = records[0] if records else None
    if not isinstance(opening, dict) or (opening.get("record"), opening.get("format")) != ("opening", FORMAT):
        raise ValueError(f"{path}: not a conformance report of format {FORMAT}")
    return records, records[-1]["record"] == "closing"
