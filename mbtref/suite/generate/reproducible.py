"""REPRODUCIBLE: the golden streams and pictures again, for implementations that promise exactly these.

The only new data are the hashes of decoded Kodak pictures.
"""

from collections.abc import Iterator, Mapping

from tqdm import tqdm

from mbtref.suite.check import digest_of
from mbtref.suite.generate.frozen import Entry
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.generate.vectorset import Stored, VectorSet

REQUIREMENTS = ("REPRODUCIBLE-1", "REPRODUCIBLE-2")
KODAK = ("REPRODUCIBLE-4",)
UNDECIDED = {"lite-q3": (3,), "lite-q6": (172, 414, 810, 1837)}
"""Seeds of the pictures of `undecided`, by model."""


def known(frozen: Mapping[str, Entry], made: Mapping[str, Entry]) -> dict[str, Entry]:
    """Both, those made now first: their order then is that of making, whatever was frozen before."""
    return {**made, **{name: entry for name, entry in frozen.items() if name not in made}}


def entries(out: VectorSet, requirement: str) -> Iterator[Entry]:
    """The vectors of another requirement, new or frozen."""
    frozen, made = ({entry["id"]: entry for entry in each.entries} for each in (out.frozen, out))
    yield from (entry for entry in known(frozen, made).values() if entry["requirement"] == requirement)


def stored(out: VectorSet, path: str) -> Stored:
    """A file that was made before."""
    data = out.file(path)
    return Stored(path, data if path.endswith(".mbt") else out.array(path))


def name_of(entry: Entry) -> str:
    """The id without its requirement."""
    return str(entry["id"]).partition("/")[2]


def encoded(out: VectorSet) -> None:
    """a latent that is rounded otherwise on another machine"""
    for name, entry in known(out.frozen.pictures, out.pictures).items():
        image = stored(out, entry["file"])
        out.add("REPRODUCIBLE-1", name, "encode_reproducible", {"image": image}, made=encoded,
                folder=f"stages/{name}/closed", model=entry["model"], suffix=".mbt")  # fmt: skip


def undecided(out: VectorSet) -> None:
    """z rounded to even or with a slope of 1311 / 2^17, or float32 transforms, that move a symbol near a tie"""
    for model, seeds in UNDECIDED.items():
        for seed in seeds:
            name = f"{model}/undecided-{seed}"
            folder = f"reproducible/{name}"
            image = out.store(f"{folder}/picture", picture(SIZES["odd"], seed))
            out.add("REPRODUCIBLE-1", name, "encode_reproducible", {"image": image}, made=undecided,
                    folder=folder, model=model, suffix=".mbt")  # fmt: skip


def decoded(out: VectorSet) -> None:
    """a pixel that is rounded otherwise on another machine"""
    for entry in list(entries(out, "DECODE-1")):
        if "image" in entry["expected"]:
            folder = entry["expected"]["image"].rpartition("/")[0]
            stream = stored(out, entry["inputs"]["stream"])
            out.add("REPRODUCIBLE-2", name_of(entry), "decode_reproducible", {"stream": stream}, made=decoded,
                    folder=folder, model=entry["model"])  # fmt: skip


def kodak(out: VectorSet) -> None:
    """a pixel among a hundred million that is rounded otherwise on another machine"""
    for entry in tqdm(list(entries(out, "DECODE-3")), "Kodak pixels", leave=False, disable=None):
        stream = stored(out, entry["inputs"]["stream"])
        answer = out.bench.golden.call("decode_reproducible", entry["model"], {"stream": stream.data})
        digest = digest_of("image", answer["image"])
        out.note(*KODAK, name_of(entry), "decode_reproducible", {"stream": stream}, made=kodak,
                 model=entry["model"], sha256={"image": digest})  # fmt: skip
