"""DECODE-4: large pictures and extreme sides; DECODE-1: pictures that g_a processes in tiles; long latents."""

import numpy as np

from mbtref.image import Image
from mbtref.suite.check import digest_of
from mbtref.suite.generate import edge
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.exact import spread
from mbtref.suite.generate.registry import EDGE, vector
from mbtref.suite.generate.stages import keep
from mbtref.suite.generate.textures import Size, picture
from mbtref.suite.pictures import draw

MODEL, TILED = "lite-q3", "lite-q6"
"""Of DECODE-4, and of pictures in tiles."""
SEED = 1


@vector("DECODE-1", folder="stages/{name}/closed")
def two_tiles(case: Case) -> None:
    """tiles of g_a, of 768 pixels or less, without the border that their neighbours need"""
    for size in (Size(64, 832), Size(832, 64)):
        in_tiles(case, picture(size, SEED))


@vector("DECODE-1", folder="stages/{name}/closed")
def three_tiles(case: Case) -> None:
    """a third tile of g_a without the border that it needs, or in another's place"""
    # one colour costs little: what a seam costs in the detail counts
    pixels = np.full((1600, 64, 3), 128, np.uint8)
    pixels[-96:] = picture(Size(96, 64), SEED)[::-1]
    in_tiles(case, pixels)
    in_tiles(case, pixels.transpose(1, 0, 2).copy())


def in_tiles(case: Case, pixels: Image) -> None:
    """A picture that is kept, and its golden stream."""
    height, width, _ = pixels.shape
    one = case.but(name=f"{TILED}/{height}x{width}", model_name=TILED)
    keep(one, pixels, SEED)
    one.ask("decode", {"stream": one.encode(pixels)})


def ask(case: Case, model: str, content: str, size: Size, shown: bool = True) -> None:
    """The golden stream of a drawn picture. shown: whether the decoded picture is stored, too."""
    case = case.but(name=f"{model}/{content}-{size.height}x{size.width}", model_name=model)
    stream = case.store("", case.encode(draw(content, *size)), ".mbt")
    answer = case.answer("decode", stream=stream.data)
    judged = {}
    if shown:
        expected = {"image": case.store("image", answer["image"]).path}
        judged = {**case.pictured(answer), "expected": expected}
    case.note("decode", {"stream": stream}, sha256={"y_hat": digest_of("y_hat", answer["y_hat"])}, **judged)


@vector("DECODE-4")
def beyond_buffers(case: Case) -> None:
    """more than 16 positions in a wavefront, more than 512 columns or 300 rows; a seam between tiles of g_s"""
    for content in ("flat", "gradient"):
        ask(case, MODEL, content, Size(321, 833))


@vector("DECODE-4")
def around_blocks(case: Case) -> None:
    """a size that is a multiple of 64, one less or one more, given too many blocks or too few; a crop by blocks"""
    for size in (Size(63, 129), Size(65, 128), Size(127, 191), Size(192, 63)):
        ask(case, edge.NAME, "gradient", size)


@vector("DECODE-4")
def around_tiles(case: Case) -> None:
    """tiles of 256 or 512 pixels without the border that their neighbours need"""
    ask(case, MODEL, "flat", Size(513, 257))


@vector("DECODE-4")
def beyond_narrow_integers(case: Case) -> None:
    """blocks counted in 8 bits; sides in signed 16 bits; columns or places of latents in 10 to 13 bits"""
    for size in (Size(1, 32769), Size(32769, 1)):
        ask(case, edge.NAME, "gradient", size)


@vector("DECODE-4")
def four_tiles(case: Case) -> None:
    """the corner where four tiles of g_s meet, of 768 pixels or less"""
    ask(case, edge.NAME, "checker", Size(832, 832))


@vector("EXACT-1", "EXACT-2", "TRANSFORM-2", models=EDGE)
def long_latents(case: Case) -> None:
    """strips of 128 latents or less without the border that neighbours need; columns or rows in 5 to 7 bits"""
    for h, w in ((1, 33), (33, 1)):
        one = case.but(name=f"{case.model_name}/{4 * h}x{4 * w}-latents")
        y = one.store("y", (spread((edge.M, 4 * h, 4 * w), 16, 80) / 2).astype(np.float32))
        k_z = one.store("k_z", spread((edge.N, h, w), 4, 82))
        y_hat = one.but(requirement="EXACT-2").ask("exact_symbols", {"k_z": k_z, "y": y})["y_hat"]
        one.ask("exact_parameters", {"k_z": k_z, "y_hat": y_hat})
        one.but(requirement="TRANSFORM-2").ask("h_a", {"y": y})
