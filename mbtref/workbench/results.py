"""The records of an evaluation, and the file that holds them.

The records that were asked for come first, in the order of asking, whatever order they come in. What the file held
before follows in its old order. A measurement goes only when one of the same pixels and model takes its place. A
record that is older than MS-SSIM is kept too, and measured anew if it is asked for.

The file is written whole after each record. When there are so many records that writing takes long, it is written
less often, to spend a tenth of the time at most, and once more at the end, whatever ends the evaluation.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mbtref.files import write_whole
from mbtref.workbench.records import Record, as_json, from_json

SHARE = 0.1
"""The largest part of the time that is spent on writing."""


class Results:
    """The records of one evaluation. Use it in a `with` block, which ends with the last writing.

    path: the file, or None. earlier: the records that are to be kept, see `read`.
    """

    def __init__(self, path: Path | None, earlier: Sequence[Record]) -> None:
        self._path = path
        self._earlier = earlier
        self._by_key = {_key(record): record for record in reversed(earlier) if record.complete}
        self._found: dict[int, Record] = {}
        self._unwritten = False
        self._due = 0.0

    def known(self, pixels: str, fingerprint: str) -> Record | None:
        """The record that was there before, if it is complete. pixels, fingerprint: as in `Record`."""
        return self._by_key.get((pixels, fingerprint))

    def add(self, place: int, record: Record) -> None:
        """Takes a record. place: its number in the order of asking. Raises OSError."""
        self._found[place] = record
        self._unwritten = True
        if time.monotonic() >= self._due:
            self._write()

    def asked(self) -> list[Record]:
        """The records that were asked for and found, in the order of asking."""
        return [self._found[place] for place in sorted(self._found)]

    def all(self) -> list[Record]:
        """The records of the file: those asked for, then the kept ones."""
        asked = self.asked()
        new = {_key(record) for record in asked}
        return asked + [record for record in self._earlier if _key(record) not in new]

    def _write(self) -> None:
        start = time.monotonic()
        if self._path:
            content = json.dumps(as_json(self.all()), indent=1, allow_nan=False)
            write_whole(self._path, f"{content}\n".encode())
        self._unwritten = False
        now = time.monotonic()
        self._due = now + (now - start) * (1 / SHARE - 1)

    def __enter__(self) -> "Results":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._unwritten:
            self._write()


def _key(record: Record) -> tuple[str, str]:
    """What makes two records measurements of the same thing."""
    return record.pixels, record.fingerprint


def read(path: Path) -> list[Record]:
    """The records of an earlier evaluation; none if there is no file.

    Raises OSError, or ValueError if the file holds anything else.
    """
    if not path.exists():
        return []
    try:
        return from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a result of this version of 'mbtref eval', can't be resumed") from error
