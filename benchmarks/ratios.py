"""Ratios of the times of one run, and what is wanted of them.

Times belong to a machine and an hour; ratios of calls that took turns say something about the codec.
"""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.calls import (
    COMPRESS,
    DECODE,
    DECODE_BATCH,
    DECODES,
    DECOMPRESS,
    ENCODE,
    ENCODE_BATCH,
    ENCODES,
    G_A,
    G_S,
    RANS_DECODE,
    RANS_ENCODE,
)
from benchmarks.settings import Result

Place = tuple[str, int, int]
"""Model, height and width."""
WIDE, LITE = "192", "lite-q4"
KODAK: Place = (WIDE, 512, 768)
LARGE: Place = (WIDE, 2048, 2048)
SMALL: Place = (LITE, 256, 256)


class Ratio(NamedTuple):
    """One median over another, within a setting. Where there are several calls, the quickest counts."""

    name: str
    over: tuple[str, ...]
    under: tuple[str, ...]
    limit: float
    """What is wanted at a place."""
    at_least: bool
    """Whether the limit is the least that is wanted; otherwise the most."""
    place: Place

    def of(self, result: Result) -> float | None:
        """The ratio in a result; None if a call wasn't timed."""
        over, under = result.best(self.over), result.best(self.under)
        return over / under if over and under else None


DECODE_GAIN = Ratio("CompressAI decompress / decode", (DECOMPRESS,), (DECODE,), 8, True, KODAK)
ENCODE_GAIN = Ratio("CompressAI compress / encode", (COMPRESS,), (ENCODE,), 3, True, KODAK)
DECODE_COST = Ratio("decode / fastest g_s", (DECODE,), G_S, 1.5, False, KODAK)
DECODE_COST_PLAIN = Ratio("decode / fastest g_s of plain layers", (DECODE,), G_S[:2], 1.5, False, KODAK)
ENCODE_COST = Ratio("encode / fastest g_a", (ENCODE,), G_A, 2, False, KODAK)
RANS_IN_ENCODE = Ratio("rANS encode / encode", (RANS_ENCODE,), (ENCODE,), 0.08, False, KODAK)
RANS_IN_DECODE = Ratio("rANS decode / decode", (RANS_DECODE,), (DECODE,), 0.08, False, KODAK)
BATCH_ENCODE = Ratio(f"{ENCODES} / {ENCODE_BATCH}", (ENCODES,), (ENCODE_BATCH,), 1.5, True, SMALL)
BATCH_DECODE = Ratio(f"{DECODES} / {DECODE_BATCH}", (DECODES,), (DECODE_BATCH,), 1.5, True, SMALL)
WITHIN = (
    DECODE_GAIN,
    ENCODE_GAIN,
    DECODE_COST,
    DECODE_COST_PLAIN,
    ENCODE_COST,
    RANS_IN_ENCODE,
    RANS_IN_DECODE,
    BATCH_ENCODE,
    BATCH_DECODE,
)
GROWTH_LIMIT = 1.2
"""The most that a pixel of LARGE may take, as a multiple of its time at KODAK."""


class Target(NamedTuple):
    """A ratio at the place where something is wanted of it."""

    name: str
    place: Place
    threads: int
    ratio: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def targets(results: Sequence[Result]) -> list[Target]:
    """All targets that these results can tell of."""
    found = []
    for threads in sorted({result.setting.threads for result in results}):
        at = {result.setting[:3]: result for result in results if result.setting.threads == threads}
        for wanted in WITHIN:
            ratio = wanted.of(at[wanted.place]) if wanted.place in at else None
            if ratio is not None:
                found.append(Target(wanted.name, wanted.place, threads, ratio, wanted.limit, wanted.at_least))
        if KODAK in at and LARGE in at:
            for name in (DECODE, ENCODE):
                ratio = per_pixel(at[LARGE], name) / per_pixel(at[KODAK], name)
                text = f"{name} of a pixel, 2048×2048 / 768×512"
                found.append(Target(text, LARGE, threads, ratio, GROWTH_LIMIT, False))
    return found


def per_pixel(result: Result, name: str) -> float:
    """The time of a call, in seconds per pixel."""
    return result.timings[name].median / (result.setting.height * result.setting.width)
