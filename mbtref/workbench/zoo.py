"""Zoo models: CompressAI's published checkpoints of mbt2018, by name.

    zoo-q1 ... zoo-q8                  trained for MSE
    zoo-msssim-q1 ... zoo-msssim-q8    trained for MS-SSIM

The first use of a name downloads its checkpoint, makes its integer tables and keeps a model file beside it, in the
folder `zoo` of MBTREF_HOME. From then on that file is the model. What surprises:

- A model file, and so its fingerprint, depends on the checkpoint alone. Everyone who imports the same checkpoint
  gets the same file, so they can decode each other's streams.
- Finding a model file doesn't load it: its metadata have the hashes of its checkpoint and tensors.
- A local checkpoint with a published name must have the hash in that name. A file with another name is accepted.
  If it isn't the published one, its model is called zoo-q4-0123abcd, by its own hash, and never stands for zoo-q4;
  its N and M must be those of zoo-q4.
"""

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mbtref.modelfile import SAFETENSORS, description, split
from mbtref.suite.folders import home
from mbtref.workbench import modelfiles
from mbtref.workbench.facts import facts
from mbtref.workbench.modelfiles import ModelFile

if TYPE_CHECKING:
    from mbtref.model import Model

METRICS = {"zoo-q": "mse", "zoo-msssim-q": "ms-ssim"}
"""The beginnings of zoo models' names, each with the metric of the training."""
QUALITIES = range(1, 9)
ZOO = tuple(f"{prefix}{quality}" for prefix in METRICS for quality in QUALITIES)
"""Names of the zoo models."""
MOST_BYTES = 1 << 28
"""Bytes that a published checkpoint may have. The weights of the largest models have 102 million."""
HASH_DIGITS = 8
"""Hex digits of a SHA-256 that a published file name carries."""
SOURCE = "source_sha256"
"""Key of a model file's metadata: SHA-256 of its checkpoint."""
CONTENT = "tensors_sha256"
"""Key of a model file's metadata: SHA-256 of the bytes after its header, which reveals damage."""


class Entry(NamedTuple):
    """The facts of a zoo model that are known without its files."""

    name: str
    file: str
    """Name of the published checkpoint."""
    digits: str
    """The first HASH_DIGITS hex digits of its SHA-256."""
    width: tuple[int, int]
    """N and M."""
    metadata: dict[str, str]
    """Of its model file: metric, quality, file, and lambda where it is known."""


def entry(name: str) -> Entry:
    """The entry of a zoo model. Raises ValueError, which lists the names, for an unknown name."""
    if name not in ZOO:
        raise ValueError(f"no zoo model {name!r}: there are {', '.join(ZOO)}")
    known = facts("zoo-checkpoints")
    metric, quality = METRICS[name[:-1]], int(name[-1])
    file: str = known[metric][quality - 1]
    metadata = {"metric": metric, "quality": f"q{quality}", "source_file": file}
    if metric == "mse":
        metadata["lambda"] = str(known["lambda_mse"][quality - 1])
    (width,) = [
        (size["N"], size["M"])
        for qualities, size in known["dimensions"].items()
        if qualities[1] <= name[-1] <= qualities[-1]  # such as q1-q4
    ]
    return Entry(name, file, file.removesuffix(".pth.tar")[-HASH_DIGITS:], width, metadata)


def folder() -> Path:
    """The folder of checkpoints and model files. It may not exist."""
    return home() / "zoo"


def model_file(name: str) -> Path:
    """The model file of a published checkpoint. It may not exist."""
    return folder() / f"{name}{SAFETENSORS}"


def load(name: str, weights: Path | None = None, url: str | None = None) -> "Model":
    """Loads a zoo model. Arguments and errors as for `get`."""
    return get(name, weights, url).load()


def get(name: str, weights: Path | None = None, url: str | None = None) -> ModelFile:
    """The file of a zoo model: from the cache if it is there, else made of its checkpoint.

    weights: a local checkpoint to use, see above. url: address of the published files; default: CompressAI's.
    A model file that is damaged, or made from another checkpoint, is made again.
    Raises ValueError for an unknown name or a wrong checkpoint, DownloadError, OSError.
    """
    wanted = entry(name)
    if weights is None:
        return _cached(model_file(name), wanted.digits) or _imported(wanted, fetch(name, url))
    return _imported(wanted, weights)


def fetch(name: str, url: str | None = None) -> Path:
    """The published checkpoint in the cache, downloaded if it is missing. Arguments and errors as for `load`."""
    wanted = entry(name)
    path = folder() / wanted.file
    if path.exists():
        check(path, wanted.digits)
    else:
        from mbtref.workbench.download import download

        source = f"{url or facts('zoo-checkpoints')['root_url']}/{wanted.file}"
        download(source, path, MOST_BYTES, functools.partial(check, digits=wanted.digits))
    return path


def find(fingerprint: bytes) -> ModelFile | None:
    """The model file in the cache that has this fingerprint, if any."""
    paths = sorted(path for path in folder().glob(f"*{SAFETENSORS}") if path.is_file())
    return next((file for file in map(modelfiles.of_path, paths) if file.fingerprint == fingerprint), None)


def check(path: Path, digits: str) -> None:
    """Raises ValueError if the SHA-256 of a file doesn't begin with these hex digits."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(digits):
        raise ValueError(f"{path}: its SHA-256 is {digest}, not {digits}...; it is damaged or another file")


def _imported(wanted: Entry, path: Path) -> ModelFile:
    """The model file of a checkpoint; it is made if the cache lacks it. Errors as for `get`."""
    from mbtref.making import checkpoint
    from mbtref.making.complete import complete
    from mbtref.making.modelfile import body, write

    published = {known.file: known for known in map(entry, ZOO)}.get(path.name)
    if published:
        check(path, published.digits)
        if published.name != wanted.name:
            raise ValueError(f"{path.name}: this is the checkpoint of {published.name}, not of {wanted.name}")
    source = checkpoint.read(path)
    name, metadata = wanted.name, wanted.metadata
    if not source.sha256.startswith(wanted.digits):
        width = source.networks.N, source.networks.M
        if width != wanted.width:
            raise ValueError(
                f"{path.name}: N={width[0]} M={width[1]}, but {wanted.name} has N={wanted.width[0]} "
                f"M={wanted.width[1]}; name the right model, or use 'mbtref import'"
            )
        name, metadata = f"{name}-{source.sha256[:HASH_DIGITS]}", {}
    target = model_file(name)
    if file := _cached(target, source.sha256):
        return file
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = complete(source.networks)
    content = hashlib.sha256(body(tensors)).hexdigest()
    write(tensors, target, metadata | {SOURCE: source.sha256, CONTENT: content})
    return modelfiles.of_path(target)


def _cached(path: Path, digits: str) -> ModelFile | None:
    """The file if it exists, is whole, and comes from a checkpoint whose SHA-256 begins with digits."""
    try:
        data = path.read_bytes()
        metadata = description(data)
    except (FileNotFoundError, ValueError):
        return None
    whole = metadata.get(CONTENT) == hashlib.sha256(split(data)[1]).hexdigest()
    return modelfiles.of_path(path) if whole and metadata.get(SOURCE, "").startswith(digits) else None
