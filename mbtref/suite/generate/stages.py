"""The whole codec on pictures: TRANSFORM, FLOAT, EXACT, BUFFER and DECODE-1, stage after stage.

Every stage gets the golden output of the one before, so a fault in one doesn't show in the next.
"""

import numpy as np
import torch

from mbtref import codec
from mbtref.grid import ONE
from mbtref.image import Image
from mbtref.openloop.likelihoods import LIKELIHOOD_MIN
from mbtref.suite.generate.case import Case, Making, Stored
from mbtref.suite.generate.implementations import TIE_DISTANCE, Bench
from mbtref.suite.generate.registry import LITE, NARROWER, WIDE, vector
from mbtref.suite.generate.textures import SIZES, picture
from mbtref.suite.operations import Value
from mbtref.suite.pictures import CONTENTS, draw, tensor

PURPOSES = {
    "TRANSFORM-1": "a GDN that multiplies or lacks its square root, or whose gamma is transposed or lacks its "
    "lower bound; a wrong stride or padding; colours in another order; pixels not scaled to [0, 1]",
    "TRANSFORM-2": "h_a fed with |y|, as in models before this one; a wrong activation or stride",
    "TRANSFORM-3": "a GDN that divides; a transposed convolution with its kernel the wrong way round or its "
    "output padding on the wrong side; clamped output",
    "FLOAT-1": "a context model whose kernel is turned or shifted; a wrong activation or slope in h_s or "
    "entropy_parameters; psi and phi, or sigma and mu, exchanged",
    "FLOAT-2": "likelihoods of round(y) in place of round(y - mu) + mu; sigma without its bound; z not rounded "
    "around its medians",
    "EXACT-1": "a rounding that isn't floor(v + 1/2); activation before requantisation; a slope that isn't "
    "1311 / 2^17; a wrong tap at a border; psi and phi, or sigma and mu, exchanged",
    "EXACT-2": "open-loop latents in the context; a traversal in which a context isn't complete; y rounded in "
    "place of y - mu",
    "BUFFER-1": "a header or latents in another order or byte order; z rounded in place of truncated",
    "BUFFER-2": "the header deflated too; raw deflate in place of a zlib stream",
    "BUFFER-3": "latents in another order or byte order; the sign of int16 lost",
    "BUFFER-4": "the header inflated too; raw deflate expected in place of a zlib stream",
    "DECODE-1": "any stage that isn't exact; symbols in another order; a crop that isn't the top left",
}
"""The bug that each stage of a picture catches, by requirement."""
ALL, SMALL, LONG = ("square", "tall", "odd"), ("square", "odd"), ("long", "high")
"""The pictures of LITE, of WIDE, and of one model of LITE."""
SEEDS = range(1000)
"""Seeds of pictures, in the order of trying."""


@vector(*PURPOSES, models=(*LITE, *WIDE))
def whole_codec(case: Case) -> None:
    """All stages on each picture: open-loop, then as exact integers, then the stream and its floats."""
    for size in SMALL if case.model_name in WIDE else ALL:
        one_picture(case.but(purpose=""), size)


@vector(*PURPOSES, models=LITE[1:2])
def long_sides(case: Case) -> None:
    """tiles or strips of 256 pixels or less, without the border that their neighbours need"""
    for size in LONG:
        one_picture(case, size)


@vector("TRANSFORM-1", "TRANSFORM-2", "TRANSFORM-3", "FLOAT-1", "DECODE-1", models=NARROWER, name="square")
def other_models(case: Case) -> None:
    """the file of another model; channels lost, or taken in another order, where M is 128"""
    pixels = picture(SIZES["square"], 1)
    y = ask(case, "open", "TRANSFORM-1", "g_a", x=tensor(pixels))["y"]
    z = ask(case, "open", "TRANSFORM-2", "h_a", y=y)["z"]
    y_hat = ask(case, "closed", "DECODE-1", "decode", stream=case.encode(pixels))["y_hat"]
    ask(case, "closed", "FLOAT-1", "parameters", z_hat=np.round(z.array), y_hat=y_hat)
    ask(case, "closed", "TRANSFORM-3", "g_s", y_hat=y_hat)


def ask(case: Case, part: str, requirement: str, operation: str, **inputs: Value | Stored) -> dict[str, Stored]:
    """One stage. It has the purpose of the case, or that of its requirement if the case has none."""
    purpose = case.purpose or PURPOSES[requirement]
    stage = case.but(requirement=requirement, purpose=purpose, folder=f"stages/{{name}}/{part}")
    return stage.ask(operation, inputs)


def one_picture(case: Case, size: str) -> None:
    """All stages of one picture, which is kept."""
    case = case.but(name=f"{case.model_name}/{size}", folder="stages/{name}")
    seed, pixels = choose(case.out, case.model_name, size)
    keep(case, pixels, seed)
    x = case.store("x", tensor(pixels))
    y = ask(case, "open", "TRANSFORM-1", "g_a", x=x)["y"]
    z = ask(case, "open", "TRANSFORM-2", "h_a", y=y)["z"]
    forward = ask(case, "open", "FLOAT-2", "forward", x=x)
    ask(case, "open", "TRANSFORM-3", "g_s", y_hat=forward["y_hat"])

    units = codec.grid_units(torch.from_numpy(z.array)[None]) - case.model.entropy.medians
    k_z = case.store("exact/k_z", codec.nearest_symbol(units)[0].permute(2, 0, 1).int().numpy())
    symbols = ask(case, "exact", "EXACT-2", "exact_symbols", k_z=k_z, y=y)
    k = symbols["k"].array
    assert k.min() < 0 < k.max(), f"symbols of {case.name} have one sign"
    ask(case, "exact", "EXACT-1", "exact_parameters", k_z=k_z, y_hat=symbols["y_hat"])

    y_hat = ask(case, "closed", "DECODE-1", "decode", stream=case.encode(pixels))["y_hat"]
    assert np.array_equal(y_hat.array * ONE, symbols["y_hat"].array), f"{case.name} is encoded to other latents"
    ask(case, "closed", "FLOAT-1", "parameters", z_hat=forward["z_hat"], y_hat=y_hat)

    if case.model_name == LITE[0]:  # a buffer holds latents of any model
        latents = {name: forward[name] for name in ("y_hat", "z_hat")}
        ask(case, "buffer", "BUFFER-3", "unpack_raw", **ask(case, "buffer", "BUFFER-1", "pack_raw", **latents))
        ask(case, "buffer", "BUFFER-4", "unpack_zlib", **ask(case, "buffer", "BUFFER-2", "pack_zlib", **latents))


def keep(case: Case, pixels: Image, seed: int) -> None:
    """Keeps the picture of a case. Encoders are asked for it too (`reproducible`, ENCODE-1)."""
    height, width, _ = pixels.shape
    file = case.but(folder="stages/{name}").store("picture", pixels).path
    entry = {"model": case.model_name, "height": height, "width": width, "seed": seed, "file": file}
    case.out.new.pictures[case.name] = entry


def choose(out: Making, model: str, size: str) -> tuple[int, Image]:
    """The seed and the picture of this name that are frozen, or the first whose values keep away from ties."""
    frozen = out.frozen.pictures.get(f"{model}/{size}")
    for seed in [frozen["seed"]] if frozen else SEEDS:
        pixels = picture(SIZES[size], seed)
        if sure(out.bench, model, tensor(pixels)):
            return seed, pixels
    raise AssertionError(f"no {size} picture for {model} keeps its values {TIE_DISTANCE:g} away from ties")


def sure(bench: Bench, model: str, x: Value) -> bool:
    """Whether all values that the forward pass rounds keep away from ties. x: (3, H, W) float32."""
    return min(bench.margins(model, x).values()) >= TIE_DISTANCE


@vector("FLOAT-2", models=LITE, folder="floor/{model}")
def floor(case: Case) -> None:
    """a likelihood of y without its floor of 1e-9, or with another: bits that grow without bound"""
    for content in [case.frozen["content"]] if case.frozen else sorted(CONTENTS):
        x = tensor(draw(content, 64, 64))
        least = np.asarray(case.answer("forward", x=x)["y_likelihoods"]).min()
        if least == np.float32(LIKELIHOOD_MIN) and sure(case.out.bench, case.model_name, x):
            case.ask("forward", {"x": x}, content=content)
            return
    raise AssertionError(f"no picture takes a likelihood of {case.model_name} to its floor; try others")
