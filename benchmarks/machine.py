"""The machine that a result is of, and the versions of what ran on it."""

import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def describe() -> dict[str, str]:
    """What there is to say, by its name, in the order to show it."""
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "mbtref": version("mbtref"),
        "PyTorch": version("torch"),
        "NumPy": version("numpy"),
        "numba": version("numba"),
        "CompressAI": version("compressai"),
        "date": date.today().isoformat(),
    }


def processor() -> str:
    """The processor's name, as its maker calls it where Linux tells."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
