"""What runs no network starts without PyTorch and numba, and so answers at once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mbtref
from tests.support import picture, write_png

ROOT = Path(__file__).parent.parent
PROGRAM = """
import sys
from mbtref.workbench.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("slow" if {"torch", "numba"} & sys.modules.keys() else "", file=sys.stderr)
sys.exit(status)
"""


def start(words: list[str], folder: Path) -> tuple[int, str, str, bool]:
    """Runs a command in a new process. Returns status, output, errors, and whether a slow package was imported."""
    command, found = [sys.executable, "-c", PROGRAM, *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True)
    *errors, last = done.stderr.splitlines()
    return done.returncode, done.stdout, "\n".join(errors), last == "slow"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (2, ""),
        (0, "--help"),
        (0, "--version"),
        (0, "eval --help"),
        (0, "conformance --help"),
        (2, "nonsense"),
        (2, "encode missing.png -o b.mbt"),
        (2, "encode a.png -o b.mbt --model lite-q9"),
        (2, "encode a.png -o b.mbt --model a.png"),
        (2, "encode a.png -o b.mbt --weights a.png"),
        (2, "encode a.png a.png -o out"),
        (2, "encode a.png -o b.jpg"),
        (2, "encode a.png - -o out"),
        (2, "decode a.mbt -o b.jpg"),
        (1, "decode a.png -o b.png"),
        (1, "inspect a.png"),
        (2, "eval a.png --model lite-q3,lite-q9"),
        (2, "eval a.png --model lite-q3,lite-q3"),
        (2, "eval a.png --model lite-q3 --resume"),
        (2, "eval a.png --model lite-q3 --jobs 2 --cluster tcp://127.0.0.1:9"),
        (1, "eval empty --model lite-q3"),
        (1, "compare missing.json missing.json"),
        (2, "zoo fetch zoo-q9"),
        (2, "export lite-q9 -o out"),
        (2, "export lite-q3 -o a.png"),
        (0, "zoo list"),
    ],
)
def test_no_torch(status: int, words: str, tmp_path: Path) -> None:
    """Help, version and every wrong call are answered without PyTorch, and leave nothing behind."""
    write_png(tmp_path / "a.png", picture(20, 30))
    (tmp_path / "a.mbt").touch()
    (tmp_path / "empty").mkdir()
    found, out, errors, slow = start(words.split(), tmp_path)
    assert found == status, f"'mbtref {words}' should end with {status}, not {found}: {errors}"
    assert not slow, f"'mbtref {words}' imports PyTorch or numba"
    assert out or errors, f"'mbtref {words}' says nothing"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mbt", "a.png", "empty"], "something was written"


def test_inspect_needs_no_torch(tmp_path: Path) -> None:
    """The sizes of z and y are found without PyTorch, for a model of the package and for a model file."""
    (tmp_path / "a.mbt").write_bytes(mbtref.encode(mbtref.load("lite-q3"), picture(70, 130)))
    mine = Path(mbtref.__file__).parent / "data" / "lite-q3.safetensors"
    for options in ([], ["--model", str(mine)]):
        status, out, errors, slow = start(["inspect", "a.mbt", *options], tmp_path)
        assert status == 0, f"inspect fails: {errors}"
        assert "  z  " in out, f"the size of z isn't shown:\n{out}"
        assert not slow, f"inspect {options} imports PyTorch or numba"


def test_inspect_refuses_another_model(tmp_path: Path) -> None:
    """A stream of another model than the one that is named is one line and status 1."""
    (tmp_path / "a.mbt").write_bytes(mbtref.encode(mbtref.load("lite-q3"), picture(20, 30)))
    status, _, errors, _ = start(["inspect", "a.mbt", "--model", "lite-q4"], tmp_path)
    assert status == 1, "it should be refused"
    assert errors.startswith("mbtref: a.mbt: unknown-model at byte 4"), f"it should name file and kind: {errors}"


def test_no_words_show_the_help(tmp_path: Path) -> None:
    """Without arguments the answer is the help, as an error; the version is one line."""
    status, out, errors, _ = start([], tmp_path)
    assert (status, out) == (2, ""), "it is wrong use"
    assert "encode" in errors, f"it isn't the help: {errors}"
    _, out, _, _ = start(["--version"], tmp_path)
    assert re.fullmatch(r"mbtref \d+\.\d+\.\d+\n", out), f"not a version: {out!r}"
