"""What runs no network starts without PyTorch and numba, and so answers at once; it needs no extra."""

from pathlib import Path

import pytest

import mbtref
from tests.support import child, picture

PROGRAM = """
import sys
from mbtref.workbench.cli import main
status = main(sys.argv[1:])
print("slow" if {"torch", "numba", "safetensors"} & sys.modules.keys() else "", file=sys.stderr)
sys.exit(status)
"""


LITE = Path(mbtref.__file__).parent / "data" / "lite-q3.safetensors"


@pytest.fixture(scope="module")
def stream() -> bytes:
    """A stream of lite-q3."""
    return mbtref.encode(mbtref.load("lite-q3"), picture(70, 130))


@pytest.mark.parametrize(
    ("status", "words", "says"),
    [
        (2, "", "encode"),
        (0, "--help", ""),
        (0, "--version", f"mbtref {mbtref.__version__}\n"),
        (0, "eval --help", ""),
        (0, "conformance --help", "  --known-failures "),
        (1, "compare missing.json missing.json", ""),
        (0, "zoo list", ""),
        (0, "inspect a.mbt", "  z  "),
        (0, f"inspect a.mbt --model {LITE}", "  z  "),
        (1, "inspect a.mbt --model lite-q4", "mbtref: a.mbt: unknown-model at byte 4"),
    ],
)
def test_no_torch(status: int, words: str, says: str, stream: bytes, tmp_path: Path) -> None:
    """Help, version and inspect are answered with the base packages alone, and leave nothing behind."""
    (tmp_path / "a.mbt").write_bytes(stream)
    done = child("-c", PROGRAM, *words.split(), folder=tmp_path)
    *errors, last = done.stderr.splitlines()
    assert done.returncode == status, f"'mbtref {words}' should end with {status}: {done}"
    assert last != "slow", f"'mbtref {words}' imports PyTorch, numba or safetensors"
    right, other = ("\n".join(errors), done.stdout) if status else (done.stdout, "\n".join(errors))
    assert right, f"'mbtref {words}' says nothing"
    assert says in right, f"it should say {says!r}:\n{right}"
    assert not other, f"an error is on stderr alone, and nothing else is:\n{other}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mbt"], "something was written"
