"""Reads the golden vectors: the manifest, the values, and every file's hash.

Every file must be exactly as it was frozen: `load` names the first file that is missing, changed or extra. The
bytes that were checked are kept, since a subject can write where the suite can read.
"""

import functools
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

import mbtref
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import MOST, OPERATIONS, Array, Value, Values, native
from mbtref.suite.requirements import REQUIREMENTS

FOLDER = project_folder("vectors")
MANIFEST, SCHEMA, ABOUT = "manifest.json", "manifest.schema.json", "README.md"
VERSION = 1
HOW_TO_REPAIR = "restore the set, or make it anew with 'mbtref vectors generate'"


class File(NamedTuple):
    """A golden file as it was when its hash was checked."""

    suffix: str
    content: bytes

    def read_bytes(self) -> bytes:
        """As of a `Path`."""
        return self.content


@dataclass(frozen=True)
class Vector:
    """One question with its answer."""

    id: str
    """The requirement's id, a slash and a name."""
    requirement: str
    operation: str
    """One of `operations.OPERATIONS`."""
    model: str | None
    purpose: str
    """The bug that it catches."""
    input_files: Mapping[str, File]
    expected_files: Mapping[str, File]
    """Some or all of the operation's outputs, in its order; empty if only `rejected` or `sha256` is expected."""
    rejected: str | None
    """The kind with which the inputs must be refused."""
    sha256: Mapping[str, str]
    """Hashes of outputs that aren't stored. The requirement says which bytes are hashed."""
    tolerance: Mapping[str, float]
    """Largest absolute error of an output. An output without a tolerance must be equal."""
    bits: Mapping[str, float]
    """The same for -log2 of an output that is a likelihood."""
    may_differ: Mapping[str, File]
    """By output: a file with the places of values that may differ by the tolerance; all others must be equal."""
    margin: Mapping[str, float]
    """Distance from the nearest tie of the values that are rounded for an output."""

    @property
    def name(self) -> str:
        """The id without the requirement."""
        return self.id.partition("/")[2]

    @property
    def inputs(self) -> Values:
        """Values by name, new ones at every call."""
        return {name: read(file) for name, file in self.input_files.items()}

    @property
    def expected(self) -> Values:
        """Values by name, new ones at every call."""
        return {name: read(file) for name, file in self.expected_files.items()}


@dataclass(frozen=True)
class Picture:
    """A picture from which vectors are made."""

    name: str
    """Without the model. The vectors made from it are named model/name."""
    model: str
    file: File
    """(H, W, 3) uint8, not padded."""


@dataclass(frozen=True)
class Manifest:
    """A whole set."""

    vectors: tuple[Vector, ...]
    models: Mapping[str, str]
    """SHA-256 of the model files that the vectors were made with."""
    pictures: tuple[Picture, ...]
    kodak: tuple[Mapping[str, Any], ...]
    """The figures of every Kodak picture at every model: the records of kodak.json."""

    def vector(self, id: str) -> Vector:
        """The vector with this id."""
        return next(vector for vector in self.vectors if vector.id == id)


def read(file: File | Path) -> Value:
    """A file as a value of an operation: an array, in native byte order, for .npy and .png, else bytes."""
    content = file.read_bytes()
    if file.suffix == ".npy":
        array: Array = np.load(io.BytesIO(content), allow_pickle=False)
        return array.astype(native(array.dtype), copy=False)
    if file.suffix == ".png":
        with PIL.Image.open(io.BytesIO(content)) as picture:
            return np.array(picture.convert("RGB"))
    return content


def load(folder: Path = FOLDER) -> Manifest:
    """The set in a folder. Raises ValueError if anything in it isn't as the manifest says."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = content["version"]
    except FileNotFoundError as error:
        raise ValueError(f"no vectors in {folder}: {MANIFEST} is missing; {HOW_TO_REPAIR}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / MANIFEST} is damaged ({error!r}); {HOW_TO_REPAIR}") from error
    if version != VERSION:
        raise ValueError(f"{folder / MANIFEST} has version {version}, this suite reads version {VERSION}")
    files = verified(folder, content["files"])
    try:
        return _manifest(files, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / MANIFEST} doesn't fit {SCHEMA} ({error!r}); {HOW_TO_REPAIR}") from error


@functools.cache
def frozen() -> Manifest:
    """The project's own set, read and checked once per run. Raises ValueError as `load` does."""
    return load()


def digests() -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of all files that the suite judges by, by path: the package, its tests and the vectors."""
    folders = (Path(mbtref.__file__).parent, project_folder("conformance"), FOLDER)
    paths = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path): digest(path) for path in paths if path.parent.name != "__pycache__"}


def digest(path: Path) -> tuple[int, str]:
    """The size of a file, and the SHA-256 of its beginning: no file of ours is longer. Or why it can't be read."""
    try:
        with path.open("rb") as file:
            return path.stat().st_size, hashlib.sha256(file.read(MOST)).hexdigest()
    except OSError as error:
        return -1, str(error)


def changed(before: Mapping[str, tuple[int, str]]) -> str | None:
    """The first file that isn't as in earlier `digests`: written, added or removed. None if all are."""
    return min((path for path, _ in before.items() ^ digests().items()), default=None)


def verified(folder: Path, hashes: Mapping[str, str]) -> dict[str, File]:
    """The files of a manifest by path. hashes: SHA-256 by path.

    Raises ValueError if a file is missing, changed, or not in the manifest.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    present = found - {MANIFEST, SCHEMA, ABOUT}
    for path in sorted(hashes.keys() - present):
        raise ValueError(f"vectors: {path} is missing; {HOW_TO_REPAIR}")
    for path in sorted(present - hashes.keys()):
        raise ValueError(f"vectors: {path} isn't in the manifest; take it out of {folder}")
    files = {path: File(Path(path).suffix, (folder / path).read_bytes()) for path in hashes}
    for path, file in sorted(files.items()):
        if hashlib.sha256(file.content).hexdigest() != hashes[path]:
            raise ValueError(f"vectors: {path} was changed, its SHA-256 isn't the manifest's; {HOW_TO_REPAIR}")
    return files


def _manifest(files: Mapping[str, File], content: Mapping[str, Any]) -> Manifest:
    vectors = tuple(_vector(files, entry) for entry in content["vectors"])
    for vector in vectors:
        if vector.requirement not in REQUIREMENTS or vector.operation not in OPERATIONS:
            raise ValueError(f"{vector.id}: no such requirement or operation")
    pictures = tuple(
        Picture(key.partition("/")[2], entry["model"], files[entry["file"]])
        for key, entry in content["pictures"].items()
    )
    kodak = json.loads(files["kodak.json"].content)["records"] if "kodak.json" in files else []
    return Manifest(vectors, content["models"], pictures, tuple(kodak))


def _vector(files: Mapping[str, File], entry: Mapping[str, Any]) -> Vector:
    """A vector of the manifest. files: all, by their paths there."""

    def named(paths: Mapping[str, str]) -> dict[str, File]:
        return {name: files[path] for name, path in paths.items()}

    limits = entry.get("tolerance", {})
    return Vector(
        id=entry["id"],
        requirement=entry["requirement"],
        operation=entry["operation"],
        model=entry["model"],
        purpose=entry["purpose"],
        input_files=named(entry["inputs"]),
        expected_files=named(entry.get("expected", {})),
        rejected=entry.get("rejected"),
        sha256=entry.get("sha256", {}),
        tolerance={name: limit["absolute"] for name, limit in limits.items()},
        bits={name: limit["bits"] for name, limit in limits.items() if "bits" in limit},
        may_differ=named(entry.get("may_differ", {})),
        margin=entry.get("margin", {}),
    )
