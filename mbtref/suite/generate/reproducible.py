"""REPRODUCIBLE: the golden streams and pictures again, for implementations that promise exactly these.

The only new data are pictures and streams near ties, and the hashes of decoded Kodak pictures.

One operation in float32 moves a latent by 10^-8 to 10^-6, and a sample by 10^-7 to 10^-5 levels, up or down. So a
value that lies much nearer to its tie shows every second mistake, whatever it is. A few such values show all.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mbtref import codec
from mbtref.grid import ONE
from mbtref.image import Image
from mbtref.suite.check import digest_of
from mbtref.suite.generate import implementations
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.sets import Entry
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.pictures import tensor
from mbtref.transforms import apply


class Edit(NamedTuple):
    """A square picture of this seed, one sample of which is one level higher or lower."""

    seed: int
    row: int
    column: int
    channel: int
    change: int

    def picture(self) -> Image:
        """(64, 64, 3) uint8."""
        pixels, place = picture(SIZES["square"], self.seed), self[1:4]
        pixels[place] = int(pixels[place]) + self.change
        return pixels


UNDECIDED = {"lite-q3": (3,), "lite-q6": (172, 414, 810, 1837)}
"""Seeds of the pictures of `undecided`, by model."""
NEAR_Z = {
    "lite-q4": (Edit(1495, 21, 22, 2, 1), Edit(1495, 50, 11, 2, 1)),
    "lite-q5": (Edit(1242, 15, 46, 2, 1), Edit(2375, 30, 38, 0, -1), Edit(2375, 45, 39, 0, 1)),
    "lite-q6": (Edit(132, 22, 56, 0, -1), Edit(205, 61, 13, 1, 1), Edit(1139, 53, 0, 2, 1)),
    "wide-q6": (Edit(97, 32, 6, 1, 1), Edit(439, 33, 50, 1, -1), Edit(952, 42, 11, 1, -1)),
}
"""Pictures one z of which is as near to a tie as LATENTS. `ties` finds them."""
NEAR_Y = {
    "lite-q6": (
        Edit(3, 4, 1, 0, -1), Edit(12, 14, 3, 1, 1), Edit(16, 38, 17, 1, 1), Edit(40, 20, 10, 0, -1),
        Edit(62, 4, 29, 1, 1), Edit(81, 45, 44, 0, 1),
    ),
}  # fmt: skip
"""The same for y."""
NEAR_SAMPLES = {"lite-q3": (3625, 5557, 6069, 6878, 7633), "lite-q6": (1592, 3009, 4355, 6532)}
"""Seeds of square pictures in whose stream a sample of the picture is as near to a tie as LEVELS."""
LATENTS = (4e-10, 1.3e-8)
"""The nearest latent of a picture lies that far from its tie. The reference is exact to about 3·10^-11 in y and to
10^-11 in z, float64 to 10^-13."""
LEVELS = (1e-8, 5e-8)
"""The same for samples, of 255 levels. The reference is exact to about 3·10^-10."""


def from_tie(latent: Tensor, centre: Tensor) -> Tensor:
    """How far each latent lies above the number from which on its float32 value has the larger symbol.

    latent: float64, (C, H, W). centre: median or mean, grid units, a float64 that broadcasts.
    """
    tie = torch.floor(latent - centre / ONE) + 0.5 + centre / ONE
    below = torch.nextafter(tie.float(), torch.tensor(-torch.inf)).double()
    return latent - (tie + below) / 2


def latents_from_ties(bench: Bench, model: str, x: Tensor) -> dict[str, Tensor]:
    """`from_tie` of y and z, (M, 4h, 4w) and (N, h, w), before they are rounded. x: (3, 64h, 64w) float64."""
    networks, entropy = bench.golden.model(model).networks, bench.models[model].entropy
    y = apply(networks.g_a, x[None])
    z = apply(networks.h_a, y.float().double())
    medians = entropy.medians.reshape(-1, 1, 1)
    k_z = codec.nearest_symbol(codec.grid_units(z.float()) - entropy.medians)[0].permute(2, 0, 1).int().numpy()
    inputs = {"k_z": k_z, "y": y[0].detach().float().numpy()}
    mu = torch.from_numpy(np.asarray(bench.golden.call("exact_symbols", model, inputs)["mu"])).double()
    return {"y": from_tie(y[0], mu), "z": from_tie(z[0], medians)}


def nearest_latents(bench: Bench, model: str, pixels: Image) -> dict[str, float]:
    """How far the nearest y and the nearest z of a picture lie from their ties."""
    found = latents_from_ties(bench, model, torch.from_numpy(tensor(pixels)).double())
    return {latent: float(distances.abs().min()) for latent, distances in found.items()}


def nearest_sample(bench: Bench, model: str, stream: bytes) -> float:
    """How far the nearest sample of a stream's picture lies from its tie, levels."""
    y_hat = np.asarray(bench.golden.call("decode", model, {"stream": stream})["y_hat"])
    return float(implementations.from_tie(bench.x_hat(model, y_hat).clip(0, 1) * 255.0).min())


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


def near_ties(case: Case, latent: str, pictures: Mapping[str, tuple[Edit, ...]]) -> None:
    """Asks for the streams of pictures one latent of which, y or z, is near a tie, and no other is nearer."""
    for model, edits in pictures.items():
        for edit in edits:
            one = case.but(name=f"{model}/near-{latent}-{edit.seed}-{edit.row}", model_name=model)
            pixels = one.store("picture", edit.picture())
            nearest = nearest_latents(one.out.bench, model, pixels.array)
            assert LATENTS[0] < min(nearest.values()), f"{one.name} isn't sure: {nearest}"
            assert nearest[latent] < LATENTS[1], f"{latent} of {one.name} isn't near a tie: {nearest}"
            stream = one.ask("encode_reproducible", {"image": pixels})["stream"]
            assert stream.data == one.encode(pixels.array), f"plain float64 gives another stream of {one.name}"


@vector("REPRODUCIBLE-1")
def near_z(case: Case) -> None:
    """an operation of g_a or h_a in float32, be it one root, slope or sum; z rounded otherwise at the end"""
    near_ties(case, "z", NEAR_Z)


@vector("REPRODUCIBLE-1")
def near_y(case: Case) -> None:
    """y whose symbols are found before it is rounded to float32, or after it is rounded otherwise"""
    near_ties(case, "y", NEAR_Y)


@vector("REPRODUCIBLE-2")
def near_samples(case: Case) -> None:
    """an operation of g_s in float32, be it one root, parameter or sum, or the product with 255"""
    for model, seeds in NEAR_SAMPLES.items():
        for seed in seeds:
            one = case.but(name=f"{model}/near-sample-{seed}", model_name=model)
            stream = one.store("stream", one.encode(picture(SIZES["square"], seed)), ".mbt")
            nearest = nearest_sample(one.out.bench, model, stream.data)
            assert LEVELS[0] < nearest < LEVELS[1], f"the nearest sample of {one.name} is {nearest} from a tie"
            image = one.ask("decode_reproducible", {"stream": stream})["image"].array
            plain = one.answer("decode", stream=stream.value)["image"]
            assert np.array_equal(image, plain), f"plain float64 gives another picture of {one.name}"


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
