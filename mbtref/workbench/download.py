"""Downloads that resume and show their progress. No half-written file gets the final name.

A server decides neither how much is written nor how long it takes.
"""

import http.client
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mbtref.workbench.errors import DownloadError

TIMEOUT = 30
"""Seconds without a byte after which a server counts as gone."""
PERIOD = 30
"""Seconds for which a server may be slow."""
SLOWEST = 10_000
"""Bytes that must come in a second, on average over a PERIOD."""
BLOCK = 1 << 16
"""Bytes read at a time, at most."""


class _Paced(io.RawIOBase):
    """The bytes of a connection. Reading raises TimeoutError if they come too slowly."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._start, self._count = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._source.readinto(buffer)
        now = time.monotonic()
        if not self._count:
            self._start = now
        self._count += count or 0
        if (passed := now - self._start) > PERIOD:
            if self._count < SLOWEST * passed:
                raise TimeoutError(f"slower than {SLOWEST} bytes a second")
            self._count = 0
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that comes fast enough, its headers too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens addresses, for answers that are an `_Answer`."""

    def do_open(self, http_class: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        paced: Any = type("Paced", (http_class,), {"response_class": _Answer})
        return super().do_open(paced, *args, **kwargs)


def download(url: str, path: Path, most: int, check: Callable[[Path], object]) -> None:
    """Downloads url to path. The file appears there only when it is whole and checked.

    An unfinished download stays in `path` + ".part", and the next call continues it.
    most: the bytes that the file may have. check: raises ValueError if its argument isn't the right file.
    Raises DownloadError: no network, a server's refusal, a connection that was cut or is slow, a file that is too
    large, a failed check.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = _size(part)
    try:
        _fetch(url, part, have, most)
    except urllib.error.HTTPError as error:
        error.close()
        # 416: the server has no bytes beyond our part
        if not (error.code == 416 and have):
            raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
        again = f"; call again to go on from byte {_size(part)}" if _size(part) else ""
        raise DownloadError(f"{url}: {error}{again}") from error
    try:
        check(part)
    except ValueError as error:
        part.unlink()
        raise DownloadError(f"{url}: {error}; nothing was kept") from error
    os.replace(part, path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, have: int, most: int) -> None:
    """Appends the missing bytes to part. Raises OSError, also if the server sent fewer than it announced.

    Raises ValueError, and keeps nothing, if the file is too large.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.build_opener(_Handler).open(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        start = have if resumed else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        name = url.rpartition("/")[2]
        bar = tqdm(None, name, total, leave=False, unit="B", unit_scale=True, disable=None, initial=start)
        with open(part, "ab" if resumed else "wb") as file, bar:
            while max(total or 0, file.tell()) <= most and (block := answer.read1(BLOCK)):
                file.write(block)
                bar.update(len(block))
        if (size := max(total or 0, _size(part))) > most:
            part.unlink()
            raise ValueError(f"the server offers {size} bytes or more, and the file has at most {most}")
        if total is not None and _size(part) < total:
            raise ConnectionError(f"cut off at byte {_size(part)} of {total}")
