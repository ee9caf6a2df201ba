"""Makes the vectors: everything under `vectors/` except the schema and the README.

A decorated function makes a vector (`registry`). The golden answers are the reference's, with floats in float64
(`implementations`). A frozen file that is still right stays as it is (`frozen`).
"""

import hashlib
import importlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from mbtref import Model, load
from mbtref.modelfile import EMBEDDED
from mbtref.suite import requirements
from mbtref.suite.generate import edge, registry
from mbtref.suite.generate.frozen import Entry, Files, parsed, paths
from mbtref.suite.generate.implementations import DERIVATION, Bench
from mbtref.suite.generate.vectorset import VectorSet
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects.data import model_file
from mbtref.suite.vectors import MANIFEST

for module in registry.MODULES:
    importlib.import_module(f"{__name__}.{module}")
MADE = registry.made()
"""The requirements that have vectors."""


def models() -> dict[str, Model]:
    """The models of all vectors, by name."""
    return {name: load(model_file(name)) for name in (*EMBEDDED, edge.NAME)}


def make(files: Files, only: Collection[str], kodak: Sequence[Path] = ()) -> Files:
    """Makes a set, with a progress bar.

    files: the frozen set, empty if there is none. only: requirements whose vectors are made; the vectors of others
    stay frozen. kodak: the 24 files, needed for DECODE-3.
    """
    frozen = parsed(files)
    out = VectorSet(Bench(models()), frozen, kodak)
    out.put(edge.FILE, edge.model_file())
    with tqdm(list(registry.cases(out, only)), leave=False, disable=None) as bar:
        for function, case in bar:
            bar.set_description(case.name)
            function(case)
    kept = frozen.without(only)
    wanted = [entry for entry in out.entries if entry["requirement"] in only]
    unwanted = paths(out.entries) - paths(wanted)
    new = {path: data for path, data in out.files.items() if path not in unwanted}
    return described([*kept.entries, *wanted], {**kept.pictures, **out.pictures}, {**kept.files, **new})


def described(entries: Sequence[Entry], pictures: Mapping[str, Entry], files: Files) -> Files:
    """The files of a set with its manifest, which describes all others."""
    order = list(REQUIREMENTS)
    content = {
        "version": 1,
        "tolerances": DERIVATION,
        "requirements": requirements.as_json(),
        "models": model_hashes(),
        "pictures": pictures,
        "vectors": sorted(entries, key=lambda entry: order.index(entry["requirement"])),
        "files": {path: sha256(files[path]) for path in sorted(files)},
    }
    manifest = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {**files, MANIFEST: manifest.encode()}


def model_hashes() -> dict[str, str]:
    """SHA-256 of the embedded model files, by name."""
    return {name: sha256(model_file(name).read_bytes()) for name in EMBEDDED}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
