"""Builds a release and tries it: `python -m release -o dist`, or `make release`.

The folder gets the source distribution, the wheel made of it, the archive of the vectors, and SHA256SUMS. A step
that fails ends the release:

1. CHANGELOG.md and CITATION.cff name the version of pyproject.toml, and nothing is uncommitted.
2. `build` makes both distributions, and `twine check` reads their descriptions.
3. The wheel has one name at its top, isn't larger than LARGEST_WHEEL, and names the public repository.
4. The source distribution, unpacked, passes the smoke tier of its suite and the tests of SAMPLE.
5. In an empty environment, the wheel without extras has no PyTorch. Its suite passes the smoke tier with the
   one-file decoder, as a command and as tests of the installed package.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mbtref.files import write_whole
from release.archive import archive

ROOT = Path(__file__).parent.parent
SAMPLE = ("tests/test_house.py", "tests/test_release.py")
"""Tests that the unpacked source distribution runs: those that look at the whole project."""
LARGEST_WHEEL = 60_000_000
"""Bytes. The models take most of them."""
PLACEHOLDER = "github.com/OWNER/"
"""Stands in pyproject.toml until there is a public repository."""


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
        output(sys.executable, "-m", "build", "--outdir", folder, ROOT)
        output(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        check_wheel(wheel)
        try_sdist(sdist)
        try_wheel(wheel, version)
        name = f"mbtref-vectors-{version}"
        write_whole(folder / f"{name}.zip", archive(name))
        digests = {path.name: hashlib.sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
        sums = "".join(f"{digest.hexdigest()}  {file}\n" for file, digest in digests.items())
        write_whole(folder / "SHA256SUMS", sums.encode())
        print(sums, end="")
    except (ReleaseError, ValueError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def checked_version() -> str:
    """The version, if every place that names it agrees and the working tree is clean."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for file, line in (("CHANGELOG.md", f"## {version}"), ("CITATION.cff", f"version: {version}")):
        if not re.search(rf"^{re.escape(line)}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE):
            raise ReleaseError(f"{file} has no line '{line}', the version of pyproject.toml")
    if changed := output("git", "status", "--porcelain"):
        raise ReleaseError(f"not everything is committed:\n{changed}")
    return version


def try_sdist(sdist: Path) -> None:
    """Unpacks the source distribution outside the clone, and runs a part of its tests there."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as packed:
            packed.extractall(folder, filter="data")
        (root,) = Path(folder).iterdir()
        for words in (("conformance", "--tier", "smoke"), SAMPLE):
            print(output(sys.executable, "-m", "pytest", "-q", *words, cwd=root).splitlines()[-1])


def check_wheel(wheel: Path) -> None:
    """A wheel installs the package mbtref and nothing beside it, isn't too large, and names the repository."""
    with zipfile.ZipFile(wheel) as found:
        names = found.namelist()
        shown = [found.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    if top != {"mbtref"}:
        raise ReleaseError(f"the wheel would install {', '.join(sorted(top))}")
    if (size := wheel.stat().st_size) > LARGEST_WHEEL:
        raise ReleaseError(f"the wheel has {size} bytes, more than {LARGEST_WHEEL}")
    if PLACEHOLDER in "".join(shown):
        raise ReleaseError("pyproject.toml doesn't name the repository yet: see 'A release' in CONTRIBUTING.md")


def try_wheel(wheel: Path, version: str) -> None:
    """Installs the wheel into an empty environment, outside the clone, and runs the suite there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "Scripts" if sys.platform == "win32" else "bin")
        python, command = programs / "python", programs / "mbtref"
        output(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
        shown = output(command, "--version", cwd=folder).strip()
        if shown != f"mbtref {version}":
            raise ReleaseError(f"the wheel says that it is {shown!r}, not mbtref {version}")
        if "torch" in output(python, "-m", "pip", "list", cwd=folder):
            raise ReleaseError("the wheel needs PyTorch")
        installed = (python, "-m", "pytest", "-p", "mbtref.suite.plugin", "--pyargs", "mbtref.conformance")
        for suite in ((command, "conformance"), installed):
            words = (*suite, "--subject", "numpy", "--tier", "smoke", "-q")
            print(output(*words, cwd=folder).splitlines()[-1])


def output(*command: str | Path, cwd: str | Path = ROOT) -> str:
    """What a command prints; it imports from cwd first. Raises ReleaseError with its last words if it fails."""
    environment = os.environ | {"PYTHONPATH": str(cwd)}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ReleaseError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{words}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
