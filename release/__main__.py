"""Builds a release and tries it: `python -m release -o dist`, or `make release`.

Into the folder go the source distribution, the wheel made of it, the archive of the vectors, and SHA256SUMS. Each
step ends the release if it fails:

1. CHANGELOG.md and CITATION.cff name the version of pyproject.toml, and nothing is uncommitted.
2. `build` makes both distributions, and `twine check` reads their descriptions.
3. The wheel has one name at its top.
4. In an empty environment, the wheel without extras has no PyTorch, and its suite passes its smoke tier with the
   one-file decoder.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mbtref.files import write_whole
from release.archive import write

ROOT = Path(__file__).parent.parent
SUMS = "SHA256SUMS"


class ReleaseError(Exception):
    """Why this can't be released."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 1 with a line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m release", description="Builds a release and tries it.")
    parser.add_argument("-o", dest="folder", type=Path, default=ROOT / "dist", help="default: dist")
    folder: Path = parser.parse_args(arguments).folder.resolve()
    try:
        version = checked_version()
        if folder.exists() and any(folder.iterdir()):
            raise ReleaseError(f"{folder} isn't empty: remove it, or choose another folder with -o")
        folder.mkdir(parents=True, exist_ok=True)
        wheel = distributions(folder)
        one_name(wheel)
        tried(wheel, version)
        write(folder, version)
        print(sums(folder), end="")
    except (ReleaseError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def checked_version() -> str:
    """The version, if every place that names it agrees and the working tree is clean."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for file, line in (("CHANGELOG.md", f"## {version}"), ("CITATION.cff", f"version: {version}")):
        if not re.search(rf"^{re.escape(line)}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE):
            raise ReleaseError(f"{file} has no line '{line}', the version of pyproject.toml")
    if changed := output("git", "status", "--porcelain"):
        raise ReleaseError(f"not everything is committed:\n{changed}")
    return version


def distributions(folder: Path) -> Path:
    """Builds the source distribution and, out of it, the wheel. Returns the wheel's path."""
    output(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    output(sys.executable, "-m", "twine", "check", "--strict", *map(str, folder.iterdir()))
    (wheel,) = folder.glob("*.whl")
    return wheel


def one_name(wheel: Path) -> None:
    """A wheel installs the package mbtref and nothing beside it."""
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if top != {"mbtref"}:
        raise ReleaseError(f"the wheel would install {', '.join(sorted(top))}")


def tried(wheel: Path, version: str) -> None:
    """Installs the wheel into an empty environment, outside the clone, and runs the suite there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "Scripts" if sys.platform == "win32" else "bin")
        output(str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel), cwd=folder)
        shown = output(str(programs / "mbtref"), "--version", cwd=folder).strip()
        if shown != f"mbtref {version}":
            raise ReleaseError(f"the wheel says that it is {shown!r}, not mbtref {version}")
        if "torch" in output(str(programs / "python"), "-m", "pip", "list", cwd=folder):
            raise ReleaseError("the wheel needs PyTorch")
        words = ("conformance", "--subject", "numpy", "--tier", "smoke", "-q")
        print(output(str(programs / "mbtref"), *words, cwd=folder).splitlines()[-1])


def sums(folder: Path) -> str:
    """Writes the SHA-256 of every file into SUMS, in the form of sha256sum, and returns it."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    write_whole(folder / SUMS, lines.encode())
    return lines


def output(*command: str, cwd: str | Path = ROOT) -> str:
    """What a command prints. Raises ReleaseError with its last words if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ReleaseError(f"{' '.join(command)} ended with {done.returncode}:\n{words}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
