"""PORTABLE: a process reads what another one wrote, even if their machines sum in different orders.

The oldest complaint about float codecs is that a file written on one machine decodes to noise on another. One
machine is enough to show it: processes with other threads, on simulated processors (`processors`), read each
stream again. A float codec breaks on some pictures only, so there are many.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.suite.cases import Case, Verdict, WrongAnswer, ask, kodak_picture, round_trip
from mbtref.suite.difference import first_difference
from mbtref.suite.figures import ELSEWHERE, psnr_8bit
from mbtref.suite.kodak import PIXELS
from mbtref.suite.pictures import CONTENTS, draw
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.vectors import frozen

HEIGHT, WIDTH = 256, 384
"""24,576 latents at M = 64: a float codec goes astray on them once in a hundred times. PORTABLE-2 names them."""
CATCHES = "entropy parameters that depend on the order of sums: an ulp moves an index, and the decoder goes astray"


def cases(requirement: str, names: Iterable[str]) -> list[object]:
    """Every picture at every model, as parameters of pytest."""
    return [
        Case(requirement, f"{model}/{name.partition('.')[0]}", CATCHES).of(model, name)
        for model in frozen().models
        for name in sorted(names)
    ]


@pytest.mark.parametrize(("model", "content"), cases("PORTABLE-1", CONTENTS))
def test_made(subject: Subject, elsewhere: Callable[[str], Subject], model: str, content: str) -> None:
    """A drawn picture, compressed in one process, is the same when processes on other processors decompress it."""
    check(subject, elsewhere, model, draw(content, HEIGHT, WIDTH))


@pytest.mark.parametrize(("model", "name"), cases("PORTABLE-2", PIXELS))
def test_kodak(subject: Subject, elsewhere: Callable[[str], Subject], model: str, name: str) -> None:
    """The top left of a Kodak picture, compressed in one process, is the same when others decompress it."""
    check(subject, elsewhere, model, kodak_picture(name)[:HEIGHT, :WIDTH])


def check(subject: Subject, elsewhere: Callable[[str], Subject], model: str, image: npt.NDArray[np.uint8]) -> None:
    """Compresses here, decompresses here and on every simulated processor, and compares."""
    _, blob, here = round_trip(subject, model, image)
    for processor in PROCESSORS:
        where = f"in another process, {processor}"
        try:
            there = ask(elsewhere(processor), "decompress", model, blob)
        except Verdict as verdict:
            verdict.add_note(f"{where}, of what was decompressed here")
            raise
        if difference := first_difference(there, here, ELSEWHERE):
            now, before = (psnr_8bit(image, values["image"]) for values in (there, here))
            psnr = f"the picture has {now:.1f} dB in place of {before:.1f}"
            raise WrongAnswer(f"{where}, {difference.stage} differs\n{difference.place}: {difference}; {psnr}")
