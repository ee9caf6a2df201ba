"""DECODE-4: large pictures and extreme sides.

The docstring of each function that makes vectors is the bug that they catch.
"""

from collections.abc import Callable

from mbtref.suite.check import digest_of
from mbtref.suite.generate import edge
from mbtref.suite.generate.textures import Size
from mbtref.suite.generate.vectorset import VectorSet
from mbtref.suite.pictures import draw

REQUIREMENTS = ("DECODE-4",)
MODEL = "lite-q3"


def add(out: VectorSet, make: Callable[..., None], model: str, content: str, size: Size, shown: bool) -> None:
    """Adds the golden stream of a drawn picture. shown: whether the decoded picture is stored, too."""
    name = f"{model}/{content}-{size.height}x{size.width}"
    stream = out.store(f"large/{name}", out.encode(model, draw(content, *size)), ".mbt")
    answer = out.bench.golden.call("decode", model, {"stream": stream.data})
    digest = digest_of("y_hat", answer["y_hat"])
    judged = {}
    if shown:
        judged = out.pictured(f"{REQUIREMENTS[0]}/{name}", f"large/{name}", model, answer)
        judged["expected"] = {"image": out.store(f"large/{name}/image", answer["image"]).path}
    out.note(*REQUIREMENTS, name, "decode", {"stream": stream}, made=make, model=model,
             sha256={"y_hat": digest}, **judged)  # fmt: skip


def beyond_buffers(out: VectorSet) -> None:
    """more than 16 positions in a wavefront, more than 512 columns or 300 rows; a seam between tiles of g_s"""
    for content in ("flat", "gradient"):
        add(out, beyond_buffers, MODEL, content, Size(321, 833), shown=True)


def one_row_of_blocks(out: VectorSet) -> None:
    """a wavefront of one position; a picture taken for its transpose"""
    for size in (Size(64, 4032), Size(4032, 64)):
        add(out, one_row_of_blocks, MODEL, "gradient", size, shown=False)


def around_blocks(out: VectorSet) -> None:
    """a size that is a multiple of 64, one less or one more, given too many blocks or too few; a crop by blocks"""
    for size in (Size(63, 129), Size(65, 128), Size(127, 191), Size(192, 63)):
        add(out, around_blocks, edge.NAME, "gradient", size, shown=True)


def around_tiles(out: VectorSet) -> None:
    """tiles of 256 or 512 pixels without the border that their neighbours need"""
    add(out, around_tiles, MODEL, "flat", Size(513, 257), shown=True)


def longest_sides(out: VectorSet) -> None:
    """sides of more than 4096 refused, or kept in 12 bits"""
    for size in (Size(1, 4097), Size(4097, 1)):
        add(out, longest_sides, MODEL, "flat", size, shown=True)


VECTORS = (beyond_buffers, one_row_of_blocks, around_blocks, around_tiles, longest_sides)


def all_vectors(out: VectorSet) -> None:
    """Makes the vectors of REQUIREMENTS."""
    for make in VECTORS:
        make(out)
