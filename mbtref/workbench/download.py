"""Downloads that resume and show their progress. No half-written file gets the final name."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

TIMEOUT = 30
"""Seconds without a byte after which a server counts as gone."""
BLOCK = 1 << 16
"""Bytes read at a time."""


class DownloadError(Exception):
    """A file couldn't be downloaded, or isn't the right one."""


def download(url: str, path: Path, check: Callable[[Path], object]) -> None:
    """Downloads url to path. The file appears there only when it is whole and checked.

    An unfinished download stays in `path` + ".part", and the next call continues it.
    check: raises ValueError if its argument isn't the right file.
    Raises DownloadError: no network, a server's refusal, a connection that was cut, a failed check.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = _size(part)
    try:
        _fetch(url, part, have)
    except urllib.error.HTTPError as error:
        # 416: the server has no bytes beyond our part
        if not (error.code == 416 and have):
            raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
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


def _fetch(url: str, part: Path, have: int) -> None:
    """Appends the missing bytes to part. Raises OSError, also if the server sent fewer than it announced."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        start = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        name = url.rpartition("/")[2]
        bar = tqdm(None, name, total, leave=False, unit="B", unit_scale=True, disable=None, initial=start)
        with open(part, "ab" if resumed else "wb") as file, bar:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and _size(part) < total:
            raise ConnectionError(f"cut off at byte {_size(part)} of {total}")
