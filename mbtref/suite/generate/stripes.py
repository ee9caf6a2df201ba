"""DECODE-1: pictures of stripes, which cost an encoder with certain mistakes much. ENCODE-1 asks for them."""

import numpy as np

from mbtref.suite.generate.case import Case
from mbtref.suite.generate.registry import vector
from mbtref.suite.generate.stages import keep

MODEL = "lite-q6"
SIDE = 64


def stripes(case: Case, slope: int, period: int, first: int, *colours: tuple[int, int, int]) -> None:
    """Oblique stripes of two colours: the first where (row + slope · column) mod period is less than `first`."""
    row, column = np.indices((SIDE, SIDE))
    is_second = ((row + slope * column) % period >= first).astype(np.intp)
    pixels = np.array(colours, np.uint8)[is_second]
    one = case.but(name=f"{MODEL}/{case.name}", model_name=MODEL)
    keep(one, pixels, 0)
    one.ask("decode", {"stream": one.encode(pixels)})


@vector("DECODE-1", folder="stages/{name}/closed")
def magenta_stripes(case: Case) -> None:
    """an encoder that halves the colours' resolution, in rows, in columns, or in both: 48 to 75 % more bytes"""
    stripes(case, 1, 8, 3, (150, 16, 145), (57, 216, 48))


@vector("DECODE-1", folder="stages/{name}/closed")
def green_stripes(case: Case) -> None:
    """an encoder that rounds z towards zero or down, not to the nearest: 24 and 37 % more bytes"""
    stripes(case, 2, 5, 1, (163, 199, 95), (104, 203, 97))
