"""The records of an evaluation, and the files that hold them.

The requested records come first, always in the order requested. What the file held before follows in its old
order. A measurement is removed only when one of the same pixels and model replaces it. A record that is older than
MS-SSIM is kept too; if it is requested, it is measured again.

They are written whole after each record. With many records, when writing takes long, they are written less often,
so that it takes at most a tenth of the time. They are always written once more at the end, even after an error.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from mbtref.files import write_whole
from mbtref.suite import strict
from mbtref.suite.msssim import SMALLEST_SIDE
from mbtref.workbench.records import Record, as_json, from_json
from mbtref.workbench.tables import as_csv

SHARE = 0.1
"""The largest share of the time that writing may take."""


class Results(AbstractContextManager["Results"]):
    """The records of one evaluation. Use it in a `with` block, which ends with the last writing.

    paths: the files, .json or .csv. earlier: the records to keep, see `read`.
    """

    def __init__(self, paths: Iterable[Path], earlier: Sequence[Record]) -> None:
        self._paths = tuple(paths)
        self._earlier = earlier
        self._by_key = {_key(record): record for record in reversed(earlier) if _complete(record)}
        self._found: dict[int, Record] = {}
        self._written = 0
        self._due = 0.0

    def known(self, pixels: str, fingerprint: str) -> Record | None:
        """The earlier record, if it is complete. pixels, fingerprint: as in `Record`."""
        return self._by_key.get((pixels, fingerprint))

    def add(self, place: int, record: Record) -> None:
        """Takes a record. place: its number in the order requested. Raises OSError."""
        self._found[place] = record
        if time.monotonic() >= self._due:
            self._write()

    def asked(self) -> list[Record]:
        """The records that were requested and found, in the order requested."""
        return [self._found[place] for place in sorted(self._found)]

    def _write(self) -> None:
        start = time.monotonic()
        asked = self.asked()
        replaced = {_key(record) for record in asked}
        records = asked + [record for record in self._earlier if _key(record) not in replaced]
        for path in self._paths:
            write_whole(path, as_csv(records) if path.suffix.lower() == ".csv" else _content(records))
        self._written = len(self._found)
        now = time.monotonic()
        self._due = now + (now - start) * (1 / SHARE - 1)

    def __exit__(self, *error: object) -> None:
        if self._written < len(self._found):
            self._write()


def _content(records: Sequence[Record]) -> bytes:
    """The JSON file."""
    return f"{json.dumps(as_json(records), indent=1, allow_nan=False)}\n".encode()


def _complete(record: Record) -> bool:
    """Whether nothing is missing. Files older than MS-SSIM have records without it."""
    return record.msssim is not None or min(record.height, record.width) < SMALLEST_SIDE


def _key(record: Record) -> tuple[str, str]:
    """What makes two records measurements of the same thing."""
    return record.pixels, record.fingerprint


def read(path: Path) -> list[Record]:
    """The records of an evaluation; none if there is no file.

    Raises OSError, or ValueError if the file holds anything else.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    try:
        return from_json(strict.parse(data))
    except ValueError as error:
        raise ValueError(f"{path}: not a file of 'mbtref eval --json' ({error})") from error
