"""Makes the vectors: everything under `vectors/` but the schema, the facts and this code.

Each module has one capability or a few. A vector is made by a function that asserts the rare property for which it
is there; the golden answers are the reference's, its floats in float64 (`implementations`).
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from conformance.subjects.data import model_file
from conformance.vectors import FOLDER, MANIFEST
from mbtref import load
from mbtref.weights import EMBEDDED
from vectors.generate import buffers, entropy_coder, exact, kodak, stages, streams
from vectors.generate.implementations import DERIVATION, Bench, one_thread
from vectors.generate.pictures import SIZES
from vectors.generate.requirements import REQUIREMENTS
from vectors.generate.vectorset import Files, VectorSet

SOUND = ("lite-q4", "odd")
"""Model and picture of the stream into which faults are put."""
FOREIGN = "lite-q3"
"""Whose stream of that picture is the one of another model."""
FACTS = "facts"
"""The folder of what is known from elsewhere: kept as it is, never made."""
SEEDS = range(1000)
"""Of pictures, tried in this order."""


def make(kodak_pictures: Sequence[Path], seeds: Mapping[str, int]) -> Files:
    """Makes all vectors, with a progress bar.

    kodak_pictures: the 24 files, or none to leave out the Kodak part. seeds: those of other pictures, by name;
    one that isn't there is searched.
    """
    out = VectorSet(Bench({name: load(name) for name in EMBEDDED}))
    pictures: dict[str, Any] = {}
    records = []
    bar = tqdm(total=len(EMBEDDED) * (len(SIZES) + 1 + len(kodak_pictures)) + 3, leave=False, disable=None)

    def doing(*what: str) -> None:
        bar.update()
        bar.set_description(" ".join(what))

    with bar, one_thread():
        doing("entropy coder")
        entropy_coder.all_vectors(out)
        doing("buffers")
        buffers.all_vectors(out)
        for name, model in out.bench.models.items():
            for size in SIZES:
                doing(name, size)
                known = seeds.get(f"{name}/{size}")
                case = stages.choose(out.bench, name, size, SEEDS if known is None else [known])
                stages.whole_codec(out, case)
                pictures[case.name] = picture_entry(case)
            doing(name, "far from pictures")
            for vector in itertools.chain(stages.VECTORS, exact.VECTORS, streams.VECTORS):
                vector(out, name, model)
        doing("malformed streams")
        streams.malformed(out, SOUND[0], sound(out))
        for name, path in itertools.product(EMBEDDED, kodak_pictures):
            doing(name, path.stem)
            records.append(kodak.kodak(out, name, path))
    if records:
        out.put(kodak.TABLE, kodak.table(records))
    for path in sorted((FOLDER / FACTS).iterdir()):
        out.put(f"{FACTS}/{path.name}", path.read_bytes())
    return {**out.files, MANIFEST: manifest(out, pictures)}


def picture_entry(case: stages.Case) -> dict[str, Any]:
    """What the manifest says of a picture."""
    height, width, _ = case.picture.shape
    return {
        "model": case.model,
        "height": height,
        "width": width,
        "seed": case.seed,
        "file": f"stages/{case.name}/picture.png",
    }


def sound(out: VectorSet) -> streams.Sound:
    """A right stream, out of the vectors made before."""
    name, size = SOUND
    folder = f"stages/{name}/{size}"
    return streams.Sound(
        model=out.bench.models[name],
        data=out.files[f"{folder}/closed/stream.mbt"],
        k_z=out.array(f"{folder}/exact/k_z.npy"),
        k=out.array(f"{folder}/exact/k.npy"),
        foreign=out.files[f"stages/{FOREIGN}/{size}/closed/stream.mbt"],
    )


def manifest(out: VectorSet, pictures: Mapping[str, Any]) -> bytes:
    """The file that describes all others."""
    order = list(REQUIREMENTS)
    used = {entry["requirement"] for entry in out.entries}
    models = model_hashes()
    for name, model in out.bench.models.items():
        assert models[name].startswith(model.fingerprint.hex()), f"the file of {name} was replaced meanwhile"
    content = {
        "version": 1,
        "tolerances": DERIVATION,
        "requirements": {key: REQUIREMENTS[key]._asdict() for key in order if key in used},
        "models": models,
        "pictures": pictures,
        "vectors": sorted(out.entries, key=lambda entry: order.index(entry["requirement"])),
        "files": {path: sha256(out.files[path]) for path in sorted(out.files)},
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def model_hashes() -> dict[str, str]:
    """SHA-256 of the embedded model files, by name."""
    return {name: sha256(model_file(name).read_bytes()) for name in EMBEDDED}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
