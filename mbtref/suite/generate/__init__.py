"""Makes the vectors: everything under `vectors/` except the schema and the README.

A decorated function makes a vector (`registry`). The golden answers are the reference's, with floats in float64
(`implementations`). A frozen file that is still right stays as it is (`case`).
"""

import hashlib
import importlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from tqdm import tqdm

from mbtref import Model, load
from mbtref.modelfile import EMBEDDED
from mbtref.suite import requirements
from mbtref.suite.generate import edge, filled, registry
from mbtref.suite.generate.case import Making
from mbtref.suite.generate.implementations import DERIVATION, Bench
from mbtref.suite.generate.sets import Files, parsed
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects.data import model_file
from mbtref.suite.vectors import MANIFEST, VERSION

for module in registry.MODULES:
    importlib.import_module(f"{__name__}.{module}")
MADE = registry.made()
"""The requirements that have vectors."""
OWN = (edge, filled)
"""Modules of models that only the suite has."""


def models() -> dict[str, Model]:
    """The models of all vectors, by name."""
    return {name: load(model_file(name)) for name in (*EMBEDDED, *(own.NAME for own in OWN))}


def make(files: Files, only: Collection[str], kodak: Sequence[Path] = ()) -> Files:
    """Makes a set, with a progress bar.

    files: the frozen set, empty if there is none. only: requirements whose vectors are made; the vectors of others
    stay frozen. kodak: the 24 files, needed for DECODE-3. Raises ValueError if a vector lost its property.
    """
    out = Making(Bench(models()), parsed(files), kodak)
    for own in OWN:
        out.put(own.FILE, own.model_file())
    with tqdm(list(registry.cases(out, only)), leave=False, disable=None) as bar:
        for function, case in bar:
            bar.set_description(case.name)
            try:
                function(case)
            except AssertionError as error:
                raise ValueError(f"a vector lost its property: {error}") from error
    kept, new = out.frozen.without(only), out.new.without(REQUIREMENTS.keys() - only)
    whole = {**kept.files, **new.files}
    order = list(REQUIREMENTS)
    content = {
        "version": VERSION,
        "tolerances": DERIVATION,
        "requirements": requirements.as_json(),
        "models": model_hashes(),
        "pictures": {**kept.pictures, **new.pictures},
        "vectors": sorted([*kept.entries, *new.entries], key=lambda entry: order.index(entry["requirement"])),
        "files": {path: sha256(whole[path]) for path in sorted(whole)},
    }
    manifest = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {**whole, MANIFEST: manifest.encode()}


def model_hashes() -> dict[str, str]:
    """SHA-256 of the embedded model files, by name."""
    return {name: sha256(model_file(name).read_bytes()) for name in EMBEDDED}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
