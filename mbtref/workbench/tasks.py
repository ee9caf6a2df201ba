"""What a process does with pictures or streams of one size. Each function runs in a process of an `Engine`.

A process loads a model once, and keeps it for later tasks.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tqdm import tqdm

from mbtref.progress import Watch, unwatched
from mbtref.workbench import engine, picturefiles
from mbtref.workbench.errors import enough_memory
from mbtref.workbench.inputs import Pair, write
from mbtref.workbench.modelfiles import ModelFile
from mbtref.workbench.quiet import quiet

if TYPE_CHECKING:
    from mbtref.image import Image
    from mbtref.model import Model
    from mbtref.workbench.records import Record

R = TypeVar("R")
T = TypeVar("T")

File: TypeAlias = tuple[bytes, Pair]
"""The bytes of a file that is read, and the names of both."""
Named: TypeAlias = "tuple[Image, str]"
"""A picture, (H, W, 3) uint8, and its name."""
KEPT = 4
"""Models that a process keeps in memory."""
PATIENCE = 2
"""Seconds until a loop shows its progress."""


@functools.lru_cache(KEPT)
def loaded(model: ModelFile, reproducible: bool, device: str) -> "Model":
    """The model of a file. Errors as for `ModelFile.load`."""
    found = model.load(device)
    return found.made_reproducible() if reproducible else found


def bar(steps: Sequence[T], name: str) -> Iterable[T]:
    """A `mbtref.progress.Watch` for a terminal: a loop that takes long has a progress bar."""
    return tqdm(steps, name, unit="step", delay=PATIENCE, leave=False, disable=None)


def each(
    work: Callable[..., list[R]], model: ModelFile, pieces: Sequence[Any], *options: object
) -> list[R | Exception]:
    """The outcomes of pieces that are worked on together. If one is refused, each is worked on alone.

    work: one of the functions below. options: its other arguments.
    """
    try:
        return [*work(model, pieces, *options)]
    except engine.REFUSALS as error:
        if len(pieces) == 1:
            return [error]
    return [outcome for piece in pieces for outcome in each(work, model, [piece], *options)]


@enough_memory()
def encode(
    model: ModelFile, files: Sequence[File], reproducible: bool, device: str, watch: Watch = unwatched
) -> list[str]:
    """Encodes picture files of one size. Returns a line about each stream.

    reproducible, device: as for `mbtref.load`. watch: shows the progress. Raises ValueError or OSError, and
    MemoryError.
    """
    with quiet():
        pictures = [picturefiles.parse(data, pair.source) for data, pair in files]
    from mbtref import codec

    streams = codec.encode_batch(loaded(model, reproducible, device), pictures, watch)
    lines = []
    for (_, pair), picture, stream in zip(files, pictures, streams, strict=True):
        write(pair.target, stream)
        height, width, _ = picture.shape
        bpp = 8 * len(stream) / (height * width)
        lines.append(f"{pair.target}: {width}×{height}, {len(stream)} bytes, {bpp:.4f} bpp")
    return lines


@enough_memory()
def decode(
    model: ModelFile, files: Sequence[File], reproducible: bool, device: str, watch: Watch = unwatched
) -> list[str]:
    """Decodes streams of one size to PNG files. Returns a line about each picture.

    Other arguments as for `encode`. Raises BitstreamError, ValueError or OSError, and MemoryError.
    """
    from mbtref import codec

    pictures = codec.decode_batch(loaded(model, reproducible, device), [data for data, _ in files], watch)
    lines = []
    for (_, pair), picture in zip(files, pictures, strict=True):
        write(pair.target, picturefiles.png(picture))
        height, width, _ = picture.shape
        lines.append(f"{pair.target}: {width}×{height}, decoded with {model.name}")
    return lines


@enough_memory()
def evaluate(model: ModelFile, pictures: Sequence[Named], device: str) -> "list[Record]":
    """Measures pictures of one size at one model. device: as for `mbtref.load`.

    Raises ValueError as `codec.encode` does, OSError, and MemoryError.
    """
    from mbtref.workbench import evaluate as measuring

    return [measured.record for measured in measuring.measure_batch(loaded(model, False, device), pictures)]
