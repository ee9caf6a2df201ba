"""Downloads: whatever a server sends, a file is whole and the right one, or one line says why there is none."""

import contextlib
import itertools
import socketserver
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mbtref.workbench import download as downloads
from mbtref.workbench.download import download
from mbtref.workbench.errors import DownloadError
from tests.support import serving

WANTED = bytes(range(250)) * 40
"""The right file: 10,000 bytes."""
OK = b"HTTP/1.1 200 OK\r\n"


def answering(parts: Iterable[bytes], asked: str = "GET") -> AbstractContextManager[str]:
    """The address of a server that answers a request that holds `asked` with these bytes, as they come."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if asked in self.request.recv(1 << 16).decode():
                with contextlib.suppress(OSError):  # the reader has hung up
                    for part in parts:
                        self.request.sendall(part)

    return serving(Handler)


def check(path: Path) -> None:
    """Raises ValueError if it isn't the right file."""
    if path.read_bytes() != WANTED:
        raise ValueError("another file")


def slowly(data: bytes) -> Iterator[bytes]:
    """A byte at a time, 20 of them a second."""
    for value in data:
        yield bytes([value])
        time.sleep(0.05)


def of_length(length: object, body: bytes = WANTED) -> list[bytes]:
    """An answer that announces this length."""
    return [OK + f"Content-Length: {length}\r\n\r\n".encode(), body]


CHUNKED = OK + b"Content-Length: 10000\r\nTransfer-Encoding: chunked\r\n\r\n"
Answer = Callable[[], Iterable[bytes]]
ANSWERS: dict[str, tuple[Answer, str]] = {
    "no end": (lambda: itertools.chain([OK + b"\r\n"], itertools.repeat(WANTED)), "at most 20000"),
    "no end of chunks": (lambda: itertools.chain([CHUNKED], itertools.repeat(b"5\r\n12345\r\n")), "at most 20000"),
    "a length too large": (lambda: of_length(1 << 40), "offers 1099511627776 bytes or more"),
    "a length of many digits": (lambda: of_length("9" * 5000), "digits"),
    "a length too small": (lambda: of_length(9999), "another file; nothing was kept"),
    "a length beyond the end": (lambda: of_length(10001), "of 10001; call again to go on from byte 10000"),
    "no such file": (lambda: [b"HTTP/1.1 404 Not Found\r\n\r\n"], "the server answers 404 Not Found"),
    "slow": (lambda: itertools.chain([OK + b"\r\n"], slowly(WANTED)), "slower than 10000 bytes a second"),
    "slow at the end": (lambda: itertools.chain([OK + b"\r\n"], [WANTED[:9900]], slowly(WANTED)), "slower than"),
    "slow headers": (lambda: slowly(OK + b"Server: " + bytes(9999)), "slower than 10000 bytes a second"),
    "slow chunks": (lambda: itertools.chain([CHUNKED], slowly(b"0" * 9999)), "slower than 10000 bytes a second"),
    "another file": (lambda: of_length(3, b"abc"), "another file; nothing was kept"),
    "compressed": (
        lambda: [OK + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b"],
        "another file; nothing was kept",
    ),
    "nothing": (lambda: [], "closed connection without response"),
    "no HTTP": (lambda: [b"\x16\x03\x01\r\n\r\n"], "http://"),
    "headers without end": (lambda: [OK + b"A: b\r\n" * 9999], "more than 100 headers"),
    "a local file": (lambda: [b"HTTP/1.1 302 Found\r\nLocation: file:///etc/hosts\r\n\r\n"], "not allowed"),
}
"""What a server sends, and what is said of it."""


@pytest.mark.parametrize("name", ANSWERS)
def test_bad_answers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is too long, too slow, cut off or of another file is a DownloadError, and gives no file."""
    answer, message = ANSWERS[name]
    if name.startswith("slow"):
        monkeypatch.setattr(downloads, "PERIOD", 0.2)
    with answering(answer()) as url, pytest.raises(DownloadError, match=message):
        download(url, tmp_path / "file", 20_000, check)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.pop("file.part", 1) <= len(WANTED), "a part that is too large was kept"
    assert not sizes, f"there is a file: {sizes}"


@pytest.mark.parametrize("length", ["10000", "many", "-1", "", "²"])
def test_good_answers(length: str, tmp_path: Path) -> None:
    """The right file comes whatever its announced length means."""
    with answering(of_length(length)) as url:
        download(url, tmp_path / "file", 20_000, check)
    assert (tmp_path / "file").read_bytes() == WANTED, "another file came"


@pytest.mark.parametrize(
    ("have", "answer"),
    [
        (1000, [b"HTTP/1.1 206 Partial Content\r\nContent-Length: 9000\r\n\r\n", WANTED[1000:]]),
        (1000, of_length(10_000)),
        (10_000, [b"HTTP/1.1 416 Range Not Satisfiable\r\n\r\n"]),
    ],
)
def test_a_part_is_continued(have: int, answer: list[bytes], tmp_path: Path) -> None:
    """The next call asks for what a part lacks; a server that knows no ranges sends everything."""
    (tmp_path / "file.part").write_bytes(WANTED[:have])
    with answering(answer, f"Range: bytes={have}-") as url:
        download(url, tmp_path / "file", 20_000, check)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"file": WANTED}, f"there is {list(found)}"


@pytest.mark.parametrize("range", ["bytes 0-9999/10000", "bytes 7-9/10", "x"])
def test_a_part_of_another_place(range: str, tmp_path: Path) -> None:
    """A part that a server continues at the wrong place is no file, and isn't kept."""
    (tmp_path / "file.part").write_bytes(WANTED[:100])
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\n\r\n".encode()
    with answering([head, WANTED]) as url, pytest.raises(DownloadError, match="another file; nothing was kept"):
        download(url, tmp_path / "file", 20_000, check)
    assert not list(tmp_path.iterdir()), "something was kept"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/a", "http://", "none://a", "a", "http://[", "http://a b"])
def test_bad_addresses(url: str, tmp_path: Path) -> None:
    """An address that can't be opened is one line."""
    with pytest.raises(DownloadError, match=r"^[^\n]*$"):
        download(url, tmp_path / "file", 20_000, check)
