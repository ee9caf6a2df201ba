"""PORTABLE: a process reads what another one wrote, even if their machines sum in different orders.

The oldest complaint about float codecs is that a file written on one machine decodes to noise on another. One
machine is enough to show it: processes with other threads, on simulated processors (`processors`), read each
stream again. A float codec breaks on some pictures only, so there are many.
"""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.suite.cases import ask, attempt, failed
from mbtref.suite.difference import first_difference
from mbtref.suite.kodak import PIXELS, picture
from mbtref.suite.localise import place
from mbtref.suite.operations import Values
from mbtref.suite.pictures import CONTENTS, draw, psnr_8bit
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.requirements import limit
from mbtref.suite.subjects.protocol import Rejected, Subject
from mbtref.suite.vectors import frozen

SIZE = (256, 384)
"""Height and width: 24,576 latents at M = 64. A float codec goes astray on them once in a hundred times."""
LIMITS = {"y_hat": limit("PORTABLE-1", "latent"), "image": limit("PORTABLE-1", "level")}
CATCHES = "entropy parameters that depend on the order of sums: an ulp moves an index, and the decoder goes astray"
Elsewhere = Callable[[str], Subject]


def cases(requirement: str, names: Iterable[str]) -> list[object]:
    """Every picture at every model, as parameters of pytest."""

    def case(model: str, name: str) -> object:
        title = f"{model}/{name.partition('.')[0]}"
        return pytest.param(model, name, id=title, marks=pytest.mark.case(requirement, title))

    return [case(model, name) for model, name in itertools.product(frozen().models, sorted(names))]


@pytest.mark.parametrize(("model", "content"), cases("PORTABLE-1", CONTENTS))
def test_made(subject: Subject, elsewhere: Elsewhere, model: str, content: str) -> None:
    """A drawn picture, compressed in one process, is the same when processes on other processors decompress it."""
    check(subject, elsewhere, model, draw(content, *SIZE))


@pytest.mark.parametrize(("model", "name"), cases("PORTABLE-2", PIXELS))
def test_kodak(subject: Subject, elsewhere: Elsewhere, model: str, name: str) -> None:
    """The top left of a Kodak picture, compressed in one process, is the same when others decompress it."""
    height, width = SIZE
    check(subject, elsewhere, model, picture(name)[:height, :width])


def check(subject: Subject, elsewhere: Elsewhere, model: str, image: npt.NDArray[np.uint8]) -> None:
    """Compresses here, decompresses here and under every simulated processor, and compares."""
    compressed = ask(subject, "compress", model, {"image": image})
    here = ask(subject, "decompress", model, compressed)
    for processor in PROCESSORS:
        try:
            there = attempt(elsewhere(processor), "decompress", model, compressed)
        except Rejected as rejected:
            failed(f"in another process, {processor}: refused as {rejected.kind}, but taken here")
        if wrong := changed(image, here, there):
            failed(f"in another process, {processor}: {wrong}\ncatches: {CATCHES}")


def changed(image: npt.NDArray[np.uint8], here: Values, there: Values) -> str | None:
    """What differs there, or None."""
    difference = first_difference(there, here, LIMITS)
    if difference is None:
        return None
    quality = [psnr_8bit(image, values["image"]) for values in (there, here)]
    return f"{place(difference)}: {difference}; the picture has {quality[0]:.1f} dB in place of {quality[1]:.1f}"
