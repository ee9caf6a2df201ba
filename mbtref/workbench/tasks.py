"""What a process does with one picture or stream. Each function runs in a process of an `Engine`.

A process loads a model once, and keeps it for later tasks.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from mbtref.progress import Watch, unwatched
from mbtref.workbench import picturefiles
from mbtref.workbench.errors import enough_memory
from mbtref.workbench.inputs import Pair, write
from mbtref.workbench.modelfiles import ModelFile
from mbtref.workbench.quiet import quiet

if TYPE_CHECKING:
    from mbtref.image import Image
    from mbtref.model import Model
    from mbtref.workbench.records import Record

T = TypeVar("T")

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


@enough_memory()
def encode(
    model: ModelFile, data: bytes, pair: Pair, reproducible: bool, device: str, watch: Watch = unwatched
) -> str:
    """Encodes a picture file, whose bytes are `data`. Returns a line about the stream.

    reproducible, device: as for `mbtref.load`. watch: shows the progress. Raises ValueError or OSError, and
    MemoryError.
    """
    with quiet():
        picture = picturefiles.parse(data, pair.source)
    from mbtref import codec

    stream = codec.encode(loaded(model, reproducible, device), picture, watch)
    write(pair.target, stream)
    height, width, _ = picture.shape
    return f"{pair.target}: {width}×{height}, {len(stream)} bytes, {8 * len(stream) / (height * width):.4f} bpp"


@enough_memory()
def decode(
    model: ModelFile, data: bytes, pair: Pair, reproducible: bool, device: str, watch: Watch = unwatched
) -> str:
    """Decodes a stream, whose bytes are `data`, to a PNG file. Returns a line about the picture.

    Other arguments as for `encode`. Raises BitstreamError, ValueError or OSError, and MemoryError.
    """
    from mbtref import codec

    picture = codec.decode(loaded(model, reproducible, device), data, watch)
    write(pair.target, picturefiles.png(picture))
    height, width, _ = picture.shape
    return f"{pair.target}: {width}×{height}, decoded with {model.name}"


@enough_memory()
def evaluate(model: ModelFile, picture: "Image", name: str, device: str) -> "Record":
    """Measures one picture at one model. picture: (H, W, 3) uint8. device: as for `mbtref.load`.

    Raises ValueError as `codec.encode` does, OSError, and MemoryError.
    """
    from mbtref.workbench import evaluate as measuring

    return measuring.evaluate(loaded(model, False, device), picture, name)
