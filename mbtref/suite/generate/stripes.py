"""DECODE-1: pictures of stripes, which cost an encoder with certain mistakes much. ENCODE-1 asks for them."""

import numpy as np
import numpy.typing as npt

from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.stages import keep

MODEL = "lite-q6"
SIDE = 64


def stripes(case: Case, slope: int, period: int, first: int, darker: int, *colours: tuple[int, int, int]) -> None:
    """Oblique stripes of two colours: the first where (row + slope · column) mod period is less than `first`.

    darker: by how many 256ths the top is darker than the bottom, so that no picture is its own mirror image.
    """
    row, column = np.indices((SIDE, SIDE))
    is_second = ((row + slope * column) % period >= first).astype(np.intp)
    keep_shaded(case, np.array(colours)[is_second], darker)


def keep_shaded(case: Case, colours: npt.NDArray[np.int64], darker: int) -> None:
    """The vectors of a picture. colours: (SIDE, SIDE, 3). darker: as for `stripes`."""
    light = 256 - darker + darker * np.arange(SIDE)[:, None, None] // SIDE
    pixels = (colours * light // 256).astype(np.uint8)
    one = case.but(name=f"{MODEL}/{case.name}", model_name=MODEL)
    keep(one, pixels, 0)
    one.ask("decode", {"stream": one.encode(pixels)})


@vector("DECODE-1", folder="stages/{name}/closed")
def magenta_stripes(case: Case) -> None:
    """an encoder that halves the colours' resolution, in rows, in columns, or in both: 37 to 66 % more bytes"""
    stripes(case, 1, 8, 3, 192, (150, 16, 145), (57, 216, 48))


@vector("DECODE-1", folder="stages/{name}/closed")
def green_stripes(case: Case) -> None:
    """an encoder that rounds z towards zero or down, not to the nearest: 16 % more bytes or more"""
    stripes(case, 1, 5, 2, 48, (166, 215, 56), (106, 222, 31))


@vector("DECODE-1", folder="stages/{name}/closed")
def thin_lines(case: Case) -> None:
    """an encoder that blurs samples, or takes medians: 1.1 dB or more, of rows, columns, thin rows and dots"""
    row, column = np.indices((SIDE, SIDE))
    dots = (row % 8 == 0) & (column % 8 == 0)
    left, right = (
        np.where(row < SIDE // 2, *parts) for parts in ((row % 4 > 1, row % 3 == 0), (dots, column % 4 > 1))
    )
    is_light = np.where(column < SIDE // 2, left, right)
    keep_shaded(case, np.where(is_light, 208, 48)[..., None].repeat(3, 2), 60)
