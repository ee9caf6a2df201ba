"""Makes the vectors: everything under `vectors/` except the schema, the README and the facts.

Each module has one capability or a few. A function makes a vector and asserts the rare property that the vector is
for. The golden answers are the reference's, with floats in float64 (`implementations`). A frozen file that is
still right stays as it is (`frozen`).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mbtref import Model, load
from mbtref.modelfile import EMBEDDED, SERIES
from mbtref.suite import requirements
from mbtref.suite.generate import (
    buffers,
    edge,
    entropy_coder,
    exact,
    kodak,
    large,
    malformed,
    rare,
    reproducible,
    stages,
    streams,
)
from mbtref.suite.generate.frozen import Entry, Files, parsed, paths
from mbtref.suite.generate.implementations import DERIVATION, Bench
from mbtref.suite.generate.textures import SIZES
from mbtref.suite.generate.vectorset import VectorSet
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.subjects.data import model_file
from mbtref.suite.vectors import MANIFEST

STAGED = SERIES["lite"]
"""The models with vectors of every stage, on all pictures. All models have the streams of the Kodak pictures."""
LARGER = "wide-q6", ("square", "odd")
"""A model with larger symbols and more of them, and the pictures of its stages."""
Group = tuple[Collection[str], Collection[Callable[[VectorSet, str, Model], None]]]
"""Requirements, and functions that make vectors of these for one model."""
GROUPS: tuple[Group, ...] = (
    (stages.FLOOR, stages.VECTORS),
    (exact.REQUIREMENTS, exact.VECTORS),
    (streams.REQUIREMENTS, streams.VECTORS),
)
"""The vectors of a model in STAGED, beside its stages."""
OF_LARGER: Group = streams.REQUIREMENTS, streams.OF_LARGER
"""The vectors of LARGER, beside its stages."""
SOUND = ("lite-q4", "odd")
"""Model and picture of the stream into which faults are put."""
FOREIGN = "lite-q3"
"""Another model, whose stream of that picture is a fault too."""


MADE = (
    *entropy_coder.REQUIREMENTS,
    *buffers.REQUIREMENTS,
    *stages.PURPOSES,
    *rare.LIKELIHOODS,
    *malformed.REQUIREMENTS,
    *large.REQUIREMENTS,
    *kodak.REQUIREMENTS,
    *reproducible.REQUIREMENTS,
    *reproducible.KODAK,
)
"""The requirements that have vectors."""


class Part(NamedTuple):
    """Vectors that are made together."""

    title: str
    requirements: Collection[str]
    """Those of its vectors."""
    make: Callable[[], object]


def make(kodak_pictures: Sequence[Path], files: Files, only: Collection[str] = MADE) -> Files:
    """Makes a set, with a progress bar.

    kodak_pictures: the 24 files, needed for DECODE-3. files: the frozen set, empty if there is none. only:
    requirements whose vectors are made; the vectors of others stay frozen.
    """
    frozen = parsed(files)
    models = {name: load(model_file(name)) for name in (*EMBEDDED, edge.NAME)}
    out = VectorSet(Bench(models), frozen)
    out.put(edge.FILE, edge.model_file())
    with tqdm(
        [part for part in parts(out, kodak_pictures) if set(part.requirements) & set(only)],
        leave=False,
        disable=None,
    ) as bar:
        for part in bar:
            bar.set_description(part.title)
            part.make()
    kept = frozen.without(only)
    wanted = [entry for entry in out.entries if entry["requirement"] in only]
    unwanted = paths(out.entries) - paths(wanted)
    new = {path: data for path, data in out.files.items() if path not in unwanted}
    return described([*kept.entries, *wanted], {**kept.pictures, **out.pictures}, {**kept.files, **new})


def parts(out: VectorSet, kodak_pictures: Sequence[Path]) -> Iterator[Part]:
    """All parts, in the order of making."""
    yield Part("entropy coder", entropy_coder.REQUIREMENTS, partial(entropy_coder.all_vectors, out))
    yield Part("buffers", buffers.REQUIREMENTS, partial(buffers.all_vectors, out))
    for name in STAGED:
        yield from parts_of_model(out, name, SIZES, GROUPS)
    yield from parts_of_model(out, *LARGER, [OF_LARGER])
    yield Part("pictures of two tiles", ("DECODE-1",), partial(stages.two_tiles, out))
    for make_likelihoods in (rare.small_scales, rare.tied_likelihoods):
        yield Part(make_likelihoods.__name__, rare.LIKELIHOODS, partial(make_likelihoods, out))
    for vector in (*rare.FLOATS, *rare.INTEGERS):
        rarities = rare.FLOAT if vector in rare.FLOATS else rare.INTEGER
        title = f"{edge.NAME} {vector.__name__}"
        yield Part(title, rarities, partial(vector, out, edge.NAME, out.bench.models[edge.NAME]))
    yield Part("large pictures", large.REQUIREMENTS, partial(large.all_vectors, out))
    yield Part(
        "malformed streams", malformed.REQUIREMENTS, lambda: malformed.all_vectors(out, SOUND[0], sound(out))
    )
    yield Part("reproducible streams", reproducible.REQUIREMENTS[:1], partial(reproducible.encoded, out))
    yield Part("near ties", reproducible.REQUIREMENTS[:1], partial(reproducible.undecided, out))
    yield Part("reproducible pictures", reproducible.REQUIREMENTS[1:], partial(reproducible.decoded, out))
    if kodak_pictures:
        yield Part("Kodak", kodak.REQUIREMENTS, partial(kodak.all_vectors, out, kodak_pictures))
    yield Part("reproducible Kodak pictures", reproducible.KODAK, partial(reproducible.kodak, out))


def parts_of_model(out: VectorSet, name: str, sizes: Iterable[str], groups: Iterable[Group]) -> Iterator[Part]:
    """The stages of a model on pictures of these sizes, then groups of other vectors with their requirements."""
    for size in sizes:
        yield Part(f"{name} {size}", stages.PURPOSES, partial(stages.whole_codec, out, name, size))
    for ids, vectors in groups:
        for vector in vectors:
            yield Part(f"{name} {vector.__name__}", ids, partial(vector, out, name, out.bench.models[name]))


def sound(out: VectorSet) -> malformed.Sound:
    """A right stream, from vectors made before."""
    name, size = SOUND
    folder = f"stages/{name}/{size}"
    return malformed.Sound(
        model=out.bench.models[name],
        data=out.file(f"{folder}/closed/stream.mbt"),
        k_z=out.array(f"{folder}/exact/k_z.npy"),
        k=out.array(f"{folder}/exact/k.npy"),
        foreign=out.file(f"stages/{FOREIGN}/{size}/closed/stream.mbt"),
    )


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
    return {
        **files,
        MANIFEST: (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }


def model_hashes() -> dict[str, str]:
    """SHA-256 of the embedded model files, by name."""
    return {name: sha256(model_file(name).read_bytes()) for name in EMBEDDED}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
