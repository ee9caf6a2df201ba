"""Downloads that resume, show their progress and leave nothing half-written behind."""

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
    """A file that couldn't be had, or wasn't what it should be."""


def download(url: str, path: Path, check: Callable[[Path], None]) -> None:
    """Fetches url to path, which appears only once it is whole and checked.

    What has come so far lies in `path` + ".part" and is taken up again by the next call.
    check: raises ValueError if the file it is given isn't the right one.
    Raises DownloadError: no network, a server's refusal, a connection that was cut, a failed check.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = _size(part)
    try:
        _fetch(url, part, have)
    except urllib.error.HTTPError as error:
        # 416: nothing lies beyond what is there already
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
    """Appends to part what it lacks. Raises OSError, also if the server sent less than it announced."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        start = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=url.rsplit("/", 1)[-1],
            leave=False,
            disable=None,
        )
        with open(part, "ab" if resumed else "wb") as file, bar:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and _size(part) < total:
            raise ConnectionError(f"cut off at byte {_size(part)} of {total}")
