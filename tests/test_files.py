"""Files are read within bounds, and written whole or not at all."""

import os
import socket
import stat
from pathlib import Path

import pytest

from mbtref.files import write_whole
from mbtref.workbench import bounded
from mbtref.workbench.bounded import read_whole


def test_a_file_is_written(tmp_path: Path) -> None:
    """A new and an existing file get the data and the permissions of open(), and nothing lies beside them."""
    path, usual = tmp_path / "file", tmp_path / "usual"
    usual.touch()
    for data in (b"first", b"", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data, "the file doesn't hold what was written"
    assert sorted(os.listdir(tmp_path)) == ["file", "usual"], "something was left beside the file"
    found, due = (stat.S_IMODE(each.stat().st_mode) for each in (path, usual))
    assert found == due, f"permissions are {found:o}, not {due:o}"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """When any step of writing fails, the file is as it was and nothing lies beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old", "the old file is gone"
    assert os.listdir(tmp_path) == ["file"], "something was left beside the file"


PLACES = {
    "folder": "not a regular file",
    "pipe": "not a regular file",
    "socket": "not a regular file",
    "link": "not a regular file",
    "/dev/zero": "not a regular file",
    "loop": "Too many levels of symbolic links",
    "dangling": "No such file",
    "none/file": "No such file",
}


@pytest.mark.parametrize(("name", "reason"), PLACES.items())
def test_a_wrong_place_is_an_os_error(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a regular file is read or replaced, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    for link, target in (("loop", "loop"), ("link", "pipe"), ("dangling", "none/file")):
        Path(link).symlink_to(target)
    before = sorted(os.listdir())
    with pytest.raises(OSError, match=reason):
        write_whole(Path(name), b"")
    assert sorted(os.listdir()) == before, "a place isn't what it was"
    with pytest.raises(OSError, match="Is a directory" if name == "folder" else reason):
        read_whole(Path(name))


def test_reading_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is read to the bound and refused beyond it; a pipe of the shell is read to its end."""
    monkeypatch.setattr(bounded, "BLOCK", 8)
    monkeypatch.setattr(bounded, "BYTES_MAX", 32)
    path = tmp_path / "file"
    for size in (0, 1, 31, 32):
        path.write_bytes(bytes(size))
        assert read_whole(path) == bytes(size), f"not all of {size} bytes"
    path.write_bytes(bytes(33))
    with pytest.raises(OSError, match="more than the 32 bytes"):
        read_whole(path)
    reader, writer = os.pipe()
    os.write(writer, b"shell")
    os.close(writer)
    assert read_whole(Path(f"/dev/fd/{reader}")) == b"shell", "the pipe isn't read"
    os.close(reader)
