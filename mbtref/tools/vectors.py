"""Making the golden vectors anew, and checking that the frozen ones are what the reference gives."""

import json
from collections.abc import Mapping
from pathlib import Path

from conformance.vectors import FOLDER, MANIFEST, SCHEMA, load
from mbtref.files import write_whole
from mbtref.tools import kodak
from vectors.generate import make, model_hashes
from vectors.generate.compare import differences, summary
from vectors.generate.kodak import left_out
from vectors.generate.vectorset import Files


def generate(folder: Path) -> None:
    """Writes a whole new set into a folder, and prints what moved against the frozen one.

    Raises ValueError, and then writes nothing, if the Kodak pictures are missing or a vector lost its property.
    """
    files = made(kodak.pictures())
    frozen = stored(FOLDER)
    write(folder, files)
    lines = list(summary(differences(frozen, files))) if frozen else ["there was no set before"]
    print("\n".join(lines or ["nothing moved"]))
    size = sum(map(len, files.values()))
    print(
        f"{folder}: {len(json.loads(files[MANIFEST])['vectors'])} vectors, {len(files)} files, {size / 1e6:.1f} MB"
    )


def check(with_kodak: bool) -> int:
    """Regenerates the frozen set elsewhere and prints a line for each thing that differs. Returns how many.

    with_kodak: whether to do the Kodak part, which takes minutes and needs the pictures.
    Raises ValueError if the frozen files aren't those of their manifest, were made with other models, or a vector
    lost its property.
    """
    load(FOLDER)
    frozen = stored(FOLDER)
    manifest = json.loads(frozen[MANIFEST])
    validate(manifest)
    for name, digest in model_hashes().items():
        if manifest["models"].get(name) != digest:
            raise ValueError(
                f"the vectors were made with another {name}; make them anew with 'mbtref vectors generate'"
            )
    pictures, why = [], "left out"
    if with_kodak:
        try:
            pictures = kodak.pictures()
        except ValueError as error:
            why = str(error)
    if not pictures:
        frozen = left_out(frozen)
        print(f"not run: the Kodak part ({why})")
    new = made(pictures, {name: picture["seed"] for name, picture in manifest["pictures"].items()})
    found = [difference for difference in differences(frozen, new) if difference.change > difference.allowed]
    for difference in found:
        print(difference)
    print(f"{len(frozen)} files checked, {len(found)} differences")
    return len(found)


def made(pictures: list[Path], seeds: Mapping[str, int] | None = None) -> Files:
    """`make`, whose broken assertions are worth a line."""
    try:
        return make(pictures, seeds or {})
    except AssertionError as error:
        raise ValueError(f"a vector isn't what it is there for: {error}") from error


def validate(manifest: object) -> None:
    """Raises ValueError, naming the place, if a manifest doesn't fit its schema."""
    import jsonschema

    try:
        jsonschema.validate(manifest, json.loads((FOLDER / SCHEMA).read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise ValueError(f"{MANIFEST}: {error.json_path}: {error.message}") from error


def stored(folder: Path) -> Files:
    """The files of a set as far as they are there, nothing if there is no set."""
    if not (folder / MANIFEST).is_file():
        return {}
    manifest = (folder / MANIFEST).read_bytes()
    paths = [path for path in json.loads(manifest)["files"] if (folder / path).is_file()]
    return {MANIFEST: manifest, **{path: (folder / path).read_bytes() for path in paths}}


def write(folder: Path, files: Files) -> None:
    """Writes a set, each file whole, the manifest last; then removes what only the set before had."""
    before = stored(folder)
    schema = {SCHEMA: (FOLDER / SCHEMA).read_bytes()}
    for path, data in sorted((schema | dict(files)).items(), key=lambda item: item[0] == MANIFEST):
        if before.get(path) != data:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / path, data)
    for path in before.keys() - files.keys():
        (folder / path).unlink()
    for empty in sorted((p for p in folder.rglob("*") if p.is_dir() and not any(p.iterdir())), reverse=True):
        empty.rmdir()
