"""The whole codec on pictures: TRANSFORM, FLOAT, EXACT, BUFFER and DECODE-1, stage after stage.

Every stage gets the golden output of the one before, so a fault in one doesn't show in the next.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from mbtref import Model, codec, image, planes
from mbtref.grid import ONE
from mbtref.openloop.likelihoods import LIKELIHOOD_MIN
from mbtref.suite.generate.implementations import TIE_DISTANCE
from mbtref.suite.generate.textures import SIZES, Size, picture
from mbtref.suite.generate.vectorset import Stored, VectorSet
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
"""The bug that vectors made from pictures catch, by requirement."""

FLOOR = ("FLOAT-2",)
"""The requirement of `VECTORS`."""
SEEDS = range(1000)
"""Seeds of pictures, in the order of trying."""
TILED = "lite-q6", 1
"""Model and seed of the pictures of `two_tiles`."""


class Chosen(NamedTuple):
    """A picture for one model."""

    model: str
    size: str
    """One of `textures.SIZES`."""
    seed: int
    picture: image.Image
    """(H, W, 3) uint8."""
    x: npt.NDArray[np.float32]
    """(3, 64h, 64w): padded."""
    margins: Mapping[str, float]
    """See `Bench.margins`."""

    @property
    def name(self) -> str:
        return f"{self.model}/{self.size}"


def choose(out: VectorSet, model: str, size: str) -> Chosen:
    """The frozen picture of this name, or that of the first seed whose values keep away from ties."""
    frozen = out.frozen.pictures.get(f"{model}/{size}")
    for seed in [frozen["seed"]] if frozen else SEEDS:
        pixels = picture(SIZES[size], seed)
        x = planes.pad(planes.to_tensor(pixels))[0].numpy()
        margins = out.bench.margins(model, x)
        if min(margins.values()) >= TIE_DISTANCE:
            margins = out.frozen.entry(f"FLOAT-2/{model}/{size}").get("margin", margins)
            return Chosen(model, size, seed, pixels, x, margins)
    raise ValueError(f"no {size} picture for {model} keeps its values {TIE_DISTANCE:g} away from ties")


def whole_codec(out: VectorSet, model: str, size: str) -> None:
    """All stages on one picture: open-loop, then as exact integers, then the stream and its floats."""
    case = choose(out, model, size)
    folder = f"stages/{case.name}"

    def add(
        requirement: str, operation: str, inputs: Mapping[str, Stored], part: str, **more: Any
    ) -> dict[str, Stored]:
        return out.add(
            requirement, case.name, operation, inputs, made=whole_codec, purpose=PURPOSES[requirement],
            folder=f"{folder}/{part}", model=case.model, **more,
        )  # fmt: skip

    height, width, _ = case.picture.shape
    file = out.store(f"{folder}/picture", case.picture).path
    entry = {"model": model, "height": height, "width": width, "seed": case.seed, "file": file}
    out.pictures[case.name] = entry
    x = out.store(f"{folder}/x", case.x)
    y = add("TRANSFORM-1", "g_a", {"x": x}, "open")["y"]
    z = add("TRANSFORM-2", "h_a", {"y": y}, "open")["z"]
    forward = add("FLOAT-2", "forward", {"x": x}, "open", equal=("y_hat",), margin=case.margins)
    add("TRANSFORM-3", "g_s", {"y_hat": forward["y_hat"]}, "open")

    k_z = out.store(f"{folder}/exact/k_z", symbols_of_z(out.bench.models[case.model], z.array))
    symbols = add("EXACT-2", "exact_symbols", {"k_z": k_z, "y": y}, "exact")
    k = symbols["k"].array
    assert k.min() < 0 < k.max(), f"symbols of {case.name} have one sign"
    add("EXACT-1", "exact_parameters", {"k_z": k_z, "y_hat": symbols["y_hat"]}, "exact")

    stream = out.store(f"{folder}/closed/stream", out.encode(case.model, case.picture), ".mbt")
    decoded = add("DECODE-1", "decode", {"stream": stream}, "closed")
    units = decoded["y_hat"].array * ONE
    assert np.array_equal(units, symbols["y_hat"].array), f"{case.name} is encoded to other latents"
    add("FLOAT-1", "parameters", {"z_hat": forward["z_hat"], "y_hat": decoded["y_hat"]}, "closed")

    latents = {name: forward[name] for name in ("y_hat", "z_hat")}
    raw = add("BUFFER-1", "pack_raw", latents, "buffer")
    add("BUFFER-3", "unpack_raw", raw, "buffer")
    add("BUFFER-4", "unpack_zlib", add("BUFFER-2", "pack_zlib", latents, "buffer", suffix=".zlib"), "buffer")


def floor(out: VectorSet, name: str, model: Model) -> None:
    """a likelihood of y without its floor of 1e-9, or with another: bits that grow without bound"""
    frozen = out.frozen.entry(f"FLOAT-2/{name}/floor")
    for content in [frozen["content"]] if frozen else sorted(CONTENTS):
        x = tensor(draw(content, 64, 64))
        margins = out.bench.margins(name, x)
        least = np.asarray(out.bench.golden.call("forward", name, {"x": x})["y_likelihoods"]).min()
        if min(margins.values()) >= TIE_DISTANCE and least == np.float32(LIKELIHOOD_MIN):
            folder, margin = f"floor/{name}", frozen.get("margin", margins)
            inputs = {"x": out.store(f"{folder}/x", x)}
            out.add("FLOAT-2", f"{name}/floor", "forward", inputs, made=floor, folder=folder, model=name,
                    equal=("y_hat",), margin=margin, content=content)  # fmt: skip
            return
    raise ValueError(f"no picture takes a likelihood of {name} to its floor; try others")


def two_tiles(out: VectorSet) -> None:
    """tiles of g_a, of 768 pixels or less, without the border that their neighbours need"""
    model, seed = TILED
    for size in (Size(64, 832), Size(832, 64)):
        name = f"{model}/{size.height}x{size.width}"
        pixels = picture(size, seed)
        file = out.store(f"stages/{name}/picture", pixels).path
        out.pictures[name] = {
            "model": model, "height": size.height, "width": size.width, "seed": seed, "file": file,
        }  # fmt: skip
        stream = out.store(f"stages/{name}/closed/stream", out.encode(model, pixels), ".mbt")
        out.add("DECODE-1", name, "decode", {"stream": stream}, made=two_tiles, folder=f"stages/{name}/closed",
                model=model)  # fmt: skip


VECTORS = (floor,)
"""Each makes a vector for one model."""


def symbols_of_z(model: Model, z: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """k_z = round(z - median). (N, h, w) -> the same."""
    units = codec.grid_units(torch.from_numpy(z)[None]) - model.entropy.medians
    k_z: npt.NDArray[np.int32] = codec.nearest_symbol(units)[0].permute(2, 0, 1).int().numpy()
    return np.ascontiguousarray(k_z)
