"""DECODE-4: large pictures and extreme sides; DECODE-1: pictures that g_a processes in two tiles."""

from mbtref.suite.check import digest_of
from mbtref.suite.generate import edge
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.stages import keep
from mbtref.suite.generate.textures import Size, picture
from mbtref.suite.pictures import draw

MODEL = "lite-q3"


@vector("DECODE-1", folder="stages/{name}/closed")
def two_tiles(case: Case) -> None:
    """tiles of g_a, of 768 pixels or less, without the border that their neighbours need"""
    model, seed = "lite-q6", 1
    for size in (Size(64, 832), Size(832, 64)):
        one = case.but(name=f"{model}/{size.height}x{size.width}", model_name=model)
        pixels = picture(size, seed)
        keep(one, pixels, seed)
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
def one_row_of_blocks(case: Case) -> None:
    """a wavefront of one position; a picture taken for its transpose"""
    for size in (Size(64, 4032), Size(4032, 64)):
        ask(case, MODEL, "gradient", size, shown=False)


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
def longest_sides(case: Case) -> None:
    """sides of more than 4096 refused, or kept in 12 bits"""
    for size in (Size(1, 4097), Size(4097, 1)):
        ask(case, MODEL, "flat", size)
