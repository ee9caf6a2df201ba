"""REPRODUCIBLE: the golden streams and pictures again, for implementations that promise exactly these.

The only new data are a few pictures near ties, and the hashes of decoded Kodak pictures.
"""

from collections.abc import Iterator, Mapping

from tqdm import tqdm

from mbtref.suite.check import digest_of
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.sets import Entry
from mbtref.suite.generate.textures import SIZES, picture

UNDECIDED = {"lite-q3": (3,), "lite-q6": (172, 414, 810, 1837)}
"""Seeds of the pictures of `undecided`, by model."""


def known(frozen: Mapping[str, Entry], made: Mapping[str, Entry]) -> dict[str, Entry]:
    """Both, those made now first: they are in the order of making, whatever was frozen earlier."""
    return {**made, **frozen, **made}


def asked(case: Case, requirement: str) -> Iterator[tuple[Case, Entry]]:
    """The vectors of a requirement, new or frozen, each with a case of its name and model."""
    frozen, made = ({entry["id"]: entry for entry in part.entries} for part in (case.out.frozen, case.out.new))
    for id, entry in known(frozen, made).items():
        if entry["requirement"] == requirement:
            yield case.but(name=id.partition("/")[2], model_name=entry["model"]), entry


@vector("REPRODUCIBLE-1", folder="stages/{name}/closed")
def encoded(case: Case) -> None:
    """a latent that is rounded otherwise on another machine"""
    for name, entry in known(case.out.frozen.pictures, case.out.new.pictures).items():
        image = case.out.stored(entry["file"])
        case.but(name=name, model_name=entry["model"]).ask("encode_reproducible", {"image": image})


@vector("REPRODUCIBLE-1")
def undecided(case: Case) -> None:
    """z rounded to even or with a slope of 1311 / 2^17, or float32 transforms, that move a symbol near a tie"""
    for model, seeds in UNDECIDED.items():
        for seed in seeds:
            one = case.but(name=f"{model}/undecided-{seed}", model_name=model)
            one.ask("encode_reproducible", {"image": one.store("picture", picture(SIZES["odd"], seed))})


@vector("REPRODUCIBLE-2")
def decoded(case: Case) -> None:
    """a pixel that is rounded otherwise on another machine"""
    for one, entry in asked(case, "DECODE-1"):
        if image := entry.get("expected", {}).get("image"):
            stream = case.out.stored(entry["inputs"]["stream"])
            one.but(folder=image.rpartition("/")[0]).ask("decode_reproducible", {"stream": stream})


@vector("REPRODUCIBLE-4")
def kodak(case: Case) -> None:
    """a pixel among a hundred million that is rounded otherwise on another machine"""
    for one, entry in tqdm(list(asked(case, "DECODE-3")), "Kodak pixels", leave=False, disable=None):
        stream = case.out.stored(entry["inputs"]["stream"])
        image = one.answer("decode_reproducible", stream=stream.data)["image"]
        one.note("decode_reproducible", {"stream": stream}, sha256={"image": digest_of("image", image)})
