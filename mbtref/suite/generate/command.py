"""The commands: make the golden vectors, check that the reference still gives the frozen ones, and measure."""

import contextlib
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mbtref.files import write_whole
from mbtref.suite import kodak
from mbtref.suite.generate import MADE, OWN, make, model_hashes, models
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.generate.measure import measured
from mbtref.suite.generate.moved import differences, summary
from mbtref.suite.generate.sets import Files, parsed
from mbtref.suite.subjects.data import model_file
from mbtref.suite.vectors import FOLDER, HOW_TO_REPAIR, MANIFEST, SCHEMA, load

KODAK = "DECODE-3"
"""The requirement whose vectors are made from the Kodak pictures."""


def generate(folder: Path, only: Collection[str] = ()) -> None:
    """Writes a whole set into a folder and prints what moved since the frozen one.

    only: requirements whose vectors are made, all if empty; the vectors of others stay frozen. Raises ValueError
    and writes nothing if a requirement is unknown, a vector lost its property, or Kodak pictures are needed and
    missing.
    """
    refuse_without_assertions()
    only = only or MADE
    if unknown := sorted(set(only) - set(MADE)):
        raise ValueError(f"no requirement {', '.join(unknown)}; those with vectors are {', '.join(MADE)}")
    frozen, before = stored(FOLDER), stored(folder)
    pictures = kodak.pictures() if KODAK in only else []
    with contextlib.ExitStack() as files_of_models:
        for own in OWN:
            files_of_models.enter_context(new_model(own.NAME, own.model_file()))
        files = make(frozen, only, pictures)
    write(folder, before, files)
    lines = list(summary(differences(frozen, files))) if frozen else ["there was no set before"]
    print("\n".join(lines or ["nothing moved"]))
    count, size = len(json.loads(files[MANIFEST])["vectors"]), sum(map(len, files.values()))
    print(f"{folder}: {count} vectors, {len(files)} files, {size / 1e6:.1f} MB")


@contextlib.contextmanager
def new_model(name: str, new: bytes) -> Iterator[None]:
    """A new model is in its file, which other processes read; then the old one is there again."""
    path = model_file(name)
    path.parent.mkdir(exist_ok=True)
    old = path.read_bytes() if path.is_file() else None
    if old != new:
        write_whole(path, new)
    try:
        yield
    finally:
        if old is None:
            path.unlink()
        elif old != new:
            write_whole(path, old)


def check(with_kodak: bool) -> int:
    """Makes the frozen set again in memory, prints each difference on a line, and returns their number.

    with_kodak: whether to include the Kodak part, which takes minutes and needs the pictures.
    Raises ValueError if the frozen files aren't those of their manifest, were made with other models, or a vector
    lost its property.
    """
    refuse_without_assertions()
    load(FOLDER)
    frozen = stored(FOLDER)
    if json.loads(frozen[MANIFEST])["models"] != model_hashes():
        raise ValueError(f"the vectors were made with other models; {HOW_TO_REPAIR}")
    pictures, why = [], "left out"
    try:
        pictures = kodak.pictures() if with_kodak else []
    except ValueError as error:
        why = str(error)
    left_out = [] if pictures else [KODAK]
    if left_out:
        print(f"not run: the Kodak part ({why})")
    moves = list(differences(frozen, make(frozen, set(MADE) - set(left_out), pictures)))
    for move in moves:
        print(move)
    print(f"{len(parsed(frozen).without(left_out).files)} files checked, {len(moves)} differences")
    return len(moves)


def measure() -> bool:
    """Prints how near correct implementations come to the limits. Returns whether all stay within."""
    shares = measured(Bench(models()), load(FOLDER).vectors)
    for what, (share, where) in shares.items():
        print(f"{what}: {share:.2f} of what is allowed, {where}")
    return all(share <= 1 for share, _ in shares.values())


def refuse_without_assertions() -> None:
    """Raises ValueError under `python -O`, which leaves out the assertions that vectors have their properties."""
    if not __debug__:
        raise ValueError("python -O leaves out what vectors assert: run it without -O and PYTHONOPTIMIZE")


def validate(manifest: object) -> None:
    """Raises ValueError, which names the place, if a manifest doesn't fit its schema."""
    import jsonschema

    try:
        jsonschema.validate(manifest, json.loads((FOLDER / SCHEMA).read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise ValueError(f"{MANIFEST}: {error.json_path}: {error.message}") from error


def stored(folder: Path) -> Files:
    """The files of a set that exist; empty if it has no manifest. Raises ValueError if that isn't one of a set."""
    if not (folder / MANIFEST).is_file():
        return {}
    data = (folder / MANIFEST).read_bytes()
    try:
        manifest = json.loads(data)
        validate(manifest)
    except ValueError as error:
        raise ValueError(f"{folder} has no manifest of a set: {error}; restore it, or take it away") from error
    paths = [path for path in manifest["files"] if (folder / path).is_file()]
    return {MANIFEST: data, **{path: (folder / path).read_bytes() for path in paths}}


def write(folder: Path, before: Files, files: Files) -> None:
    """Puts a set in the place of another one, `before`; if that fails, the other one stays. So do other files."""
    files = {**files, SCHEMA: (FOLDER / SCHEMA).read_bytes()}
    paths = [path for path in {**before, **files} if before.get(path) != files.get(path)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as part:
        new, old = Path(part, "new"), Path(part, "old")
        for path in files.keys() & paths:
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(new / path, files[path])
        try:
            move(paths, folder, old)
            move(paths, new, folder)
        except BaseException:
            move([path for path in paths if path in files and not (new / path).exists()], folder, new)
            move(paths, old, folder)
            raise


def move(paths: Iterable[str], source: Path, target: Path) -> None:
    """Moves those of the files that are there, and removes the folders that they leave empty."""
    for path in paths:
        if (source / path).is_file():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).replace(target / path)
            with contextlib.suppress(OSError):  # others are in it
                os.removedirs((source / path).parent)
