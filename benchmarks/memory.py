"""How much memory whole calls need: each runs once, in a process of its own in which nothing else runs.

What surprises: the peak is Linux's own count of that process. `getrusage` would begin with what the parent held.
"""

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.calls import COMPARED_UP_TO, COMPRESS, DECODE, DECOMPRESS, ENCODE
from benchmarks.compressai import CompressAI, Strings
from mbtref.codec import decode, encode
from mbtref.image import Image
from mbtref.model import load

T = TypeVar("T")

STATUS = Path("/proc/self/status")


def alone(work: Callable[..., T], *arguments: object) -> T:
    """The result of a function in a new process. Raises BrokenProcessPool if it is killed, as when memory ends."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def peaks(file: Path, picture: Image, threads: int) -> dict[str, int]:
    """The most memory that each process held, in bytes, Python, PyTorch and the model included.

    file: the model's. Empty where the system doesn't tell. Raises BrokenProcessPool as `alone` does.
    """
    if not STATUS.exists():
        return {}
    found: dict[str, int] = {}
    found[ENCODE], data = alone(encoding, file, picture, threads)
    found[DECODE] = alone(decoding, file, data, threads)
    if picture.shape[0] * picture.shape[1] <= COMPARED_UP_TO:
        found[COMPRESS], strings = alone(compressing, file, picture, threads)
        found[DECOMPRESS] = alone(decompressing, file, strings, threads)
    return found


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found, f"{STATUS} has no VmHWM"
    return 1024 * int(found[1])


def encoding(file: Path, picture: Image, threads: int) -> tuple[int, bytes]:
    """The peak of one encode, and the stream."""
    torch.set_num_threads(threads)
    data = encode(load(file), picture)
    return peak(), data


def decoding(file: Path, data: bytes, threads: int) -> int:
    """The peak of one decode."""
    torch.set_num_threads(threads)
    decode(load(file), data)
    return peak()


def compressing(file: Path, picture: Image, threads: int) -> tuple[int, Strings]:
    """The peak of CompressAI's compress, and the strings."""
    torch.set_num_threads(threads)
    strings = CompressAI(file).compress(picture)
    return peak(), strings


def decompressing(file: Path, strings: Strings, threads: int) -> int:
    """The peak of CompressAI's decompress."""
    torch.set_num_threads(threads)
    CompressAI(file).decompress(strings)
    return peak()
