"""Files are written whole, or not at all."""

import os
import stat
from pathlib import Path

import pytest

from mbtref.files import write_whole


def test_a_file_is_written(tmp_path: Path) -> None:
    """A new and an existing file get the data, and nothing lies beside them afterwards."""
    path = tmp_path / "file"
    for data in (b"first", b"", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data, "the file doesn't hold what was written"
    assert os.listdir(tmp_path) == ["file"], "something was left beside the file"


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """A file is as readable as one that open() makes."""
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "usual").write_bytes(b"")
    ours, usual = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual"))
    assert ours == usual, f"permissions are {ours:o}, not {usual:o}"


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


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """Writing into a folder that doesn't exist is an OSError and makes none."""
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "file", b"")
    assert os.listdir(tmp_path) == [], "a folder was made"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """Writing over a folder is an OSError, and leaves it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "folder", b"")
    assert os.listdir(tmp_path) == ["folder"], "the folder isn't alone any more"
