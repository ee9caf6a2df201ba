"""Python and NumPy of another architecture, run by qemu-user: Debian's own packages, unpacked into a folder.

Nothing is installed: debootstrap fetches the packages and dpkg-deb unpacks them. Environment variables name
what an installation would choose, such as a BLAS.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import mbtref

RELEASE = "bookworm"
"""The release of Debian that has the packages."""
PACKAGES = "python3-numpy"
EMULATORS: Mapping[str, str] = {
    "s390x": "qemu-s390x-static",
    "arm64": "qemu-aarch64-static",
    "armhf": "qemu-arm-static",
}
"""Debian's architectures, each with its emulator: a big-endian one, a common one, one of 32 bits."""
READY = ".ready"
"""A file that marks a complete folder."""
PROJECT = Path(mbtref.__file__).parent.parent
"""Where Python finds this project."""
INSTALL = "apt-get install qemu-user-static debootstrap"


class NotHere(Exception):
    """The architecture can't be emulated on this machine. The text says why."""


def python(architecture: str, folder: Path) -> Sequence[str]:
    """The command that runs an architecture's Python. Sets it up in the folder if it isn't there yet.

    Raises NotHere if the emulator or debootstrap is missing, or the packages can't be fetched.
    """
    for program in (EMULATORS[architecture], "debootstrap"):
        if not shutil.which(program):
            raise NotHere(f"{program} isn't installed ({INSTALL})")
    root = folder / architecture
    if not (root / READY).is_file():
        set_up(architecture, root)
    # an installation would choose both
    libraries = os.pathsep.join(str(p) for name in ("blas", "lapack") for p in root.glob(f"usr/lib/*/{name}"))
    variables = ["-E", f"LD_LIBRARY_PATH={libraries}", "-E", f"PYTHONPATH={PROJECT}"]
    emulator = [EMULATORS[architecture], "-L", str(root), *variables]
    return [*emulator, str(root / "usr" / "bin" / "python3")]


def set_up(architecture: str, root: Path) -> None:
    """Fetches and unpacks the packages, which takes half a minute. Raises NotHere."""
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    options = ["--foreign", "--variant=minbase", f"--arch={architecture}", f"--include={PACKAGES}"]
    call(["debootstrap", *options, RELEASE, str(root)])
    for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        call(["dpkg-deb", "-x", str(package), str(root)])
    (root / READY).touch()


def call(command: Sequence[str]) -> None:
    """Runs a program. If it fails, raises NotHere with the last line of its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotHere(f"{command[0]} failed: {' '.join(last)}")
