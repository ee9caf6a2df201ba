"""Files are written whole, or not at all."""

import os
import stat
from pathlib import Path

import pytest

from mbtref.files import write_whole


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


@pytest.mark.parametrize(("name", "reason"), [("none/file", "No such file"), ("folder", "not a regular file")])
def test_a_wrong_place_is_an_os_error(tmp_path: Path, name: str, reason: str) -> None:
    """A folder is neither made nor replaced."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=reason):
        write_whole(tmp_path / name, b"")
    assert os.listdir(tmp_path) == ["folder"], "the folder isn't alone any more"
