"""The tables of a run, in Markdown: ratios of its times, what is wanted of them, times, memory.

Times belong to a machine and an hour. Ratios of calls that took turns say something about the codec.
"""

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks import calls
from benchmarks.measure import Result

Place = tuple[str, int, int]
"""Model, height and width."""
KODAK: Place = ("192", 512, 768)
LARGE: Place = ("192", 2048, 2048)
SMALL: Place = ("lite-q4", 256, 256)
GROWTH_LIMIT = 1.2
"""The most that a pixel of LARGE may take, as a multiple of its time at KODAK."""
PACKAGES = ("mbtref", "torch", "numpy", "numba", "compressai")
"""Those whose versions the page names."""
Figure = Callable[[Result], float | None]
"""A figure of a result; None if it wasn't measured."""


def over(call: str, *others: str, unit: float = 1) -> Figure:
    """The median of a call as a multiple of the quickest of others; without others, in units of seconds."""

    def figure(result: Result) -> float | None:
        if not result.seconds.keys() >= {call, *others}:
            return None
        return result.seconds[call] / min((result.seconds[other] for other in others), default=unit)

    return figure


def held(call: str) -> Figure:
    """The most memory of a process that makes this call, in MiB."""
    return lambda result: result.peak_bytes[call] / 2**20 if call in result.peak_bytes else None


class Ratio(NamedTuple):
    """A ratio, and what is wanted of it at a place."""

    figure: Figure
    sign: str
    """≥ or ≤."""
    limit: float
    place: Place = KODAK


SPEEDS = {
    f"{calls.COMPRESS} / encode": Ratio(over(calls.COMPRESS, calls.ENCODE), "≥", 3),
    f"{calls.DECOMPRESS} / decode": Ratio(over(calls.DECOMPRESS, calls.DECODE), "≥", 8),
    "encode / fastest g_a": Ratio(over(calls.ENCODE, *calls.G_A), "≤", 2),
    "decode / fastest g_s": Ratio(over(calls.DECODE, *calls.G_S), "≤", 1.5),
    "decode / fastest g_s of plain layers": Ratio(over(calls.DECODE, *calls.G_S[:2]), "≤", 1.5),
}
CODER = {
    "rANS encode / encode": Ratio(over(calls.RANS_ENCODE, calls.ENCODE), "≤", 0.08),
    "rANS decode / decode": Ratio(over(calls.RANS_DECODE, calls.DECODE), "≤", 0.08),
    f"{calls.ENCODES} / {calls.ENCODE_BATCH}": Ratio(over(calls.ENCODES, calls.ENCODE_BATCH), "≥", 1.5, SMALL),
    f"{calls.DECODES} / {calls.DECODE_BATCH}": Ratio(over(calls.DECODES, calls.DECODE_BATCH), "≥", 1.5, SMALL),
}

HEAD = """\
# Speed and memory

*Made by `make benchmark`; do not edit.*

Both codecs code the same picture with the same weights. All calls of a setting take turns in one process; a time
is the median of up to {rounds} rounds. Times belong to this machine, but ratios say something about others too.
The figures in a cell are for {threads} threads, in this order.

The picture is {picture}; a larger size has more of the same content. The models `192` (N = M = 192) and `192-320`
(N = 192, M = 320) have [seeded weights](../benchmarks/seeded.py), with symbols about as sparse as a trained
model's. `python -m benchmarks --models zoo-q4` times a zoo model. Above {megapixels} megapixel, CompressAI and the
parts are left out: they would take minutes.

A *fastest* transform is the quickest of three: plain layers of torch with either order in memory, and mbtref's
tiles, which run the same layers.

"""
PARTS = """\
Times in milliseconds. *Latents of a stream* are all of decoding except g_s: rANS, and the entropy networks with \
their traversal."""
MEMORY = "The most that a process held that made one such call, in MiB: Python, PyTorch and the model included."


def page(results: Sequence[Result], not_run: Mapping[str, str], picture: str, rounds: int) -> str:
    """The page of documentation. picture: what was coded."""
    threads = " and ".join(map(str, sorted({result.threads for result in results})))
    megapixels = calls.COMPARED_UP_TO // 2**20
    head = HEAD.format(rounds=rounds, threads=threads, picture=picture, megapixels=megapixels)
    return head + "\n".join([*sections(results, not_run), *section("The machine", [machine()])])


def sections(results: Sequence[Result], not_run: Mapping[str, str]) -> Iterator[str]:
    """The tables of a run. not_run: the reason, by model or setting."""
    yield from section("Targets", targets(results))
    for title, ratios in (("Against CompressAI and the transforms", SPEEDS), ("Entropy coder and batches", CODER)):
        yield from section(title, by_setting(results, {name: ratio.figure for name, ratio in ratios.items()}))
    seconds = {name: over(name) for name in calls.WHOLES}
    yield from section("Whole calls", by_setting(results, seconds), "Times in seconds.")
    yield from section(f"Parts, {KODAK[2]}×{KODAK[1]}", parts(results), PARTS)
    yield from section("Memory", by_setting(results, {name: held(name) for name in calls.WHOLES}), MEMORY)
    yield from section("What is coded", coded(results), "Zeros and escapes are shares of the symbols of y.")
    yield from section("Not run", [f"- {name}: {why}" for name, why in not_run.items()])


def section(title: str, rows: Sequence[str], text: str = "") -> list[str]:
    """A section, unless its table is empty."""
    return [f"## {title}", "", *([text, ""] if text else []), *rows, ""] if rows else []


def table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1, texts: int = 0) -> list[str]:
    """A table of the rows that have figures; nothing if none has.

    names: how many columns come before the figures; texts: how many of them are aligned left, if not all.
    """
    body = [f"| {' | '.join(row)} |" for row in rows if any(row[names:])]
    left = texts or names
    rule = f"|{'---|' * left}{'---:|' * (len(head) - left)}"
    return [f"| {' | '.join(head)} |", rule, *body] if body else []


def targets(results: Sequence[Result]) -> list[str]:
    """Targets by row, numbers of threads by column."""
    threads = sorted({result.threads for result in results})
    at = {result[:4]: result for result in results}

    def growth(name: str) -> Figure:
        def per_pixel(result: Result) -> float:
            return result.seconds[name] / (result.height * result.width)

        def figure(large: Result) -> float | None:
            kodak = at.get((*KODAK, large.threads))
            return per_pixel(large) / per_pixel(kodak) if kodak else None

        return figure

    ratios = SPEEDS | CODER
    for name in (calls.ENCODE, calls.DECODE):
        ratios[f"{name} of a pixel, 2048×2048 / 768×512"] = Ratio(growth(name), "≤", GROWTH_LIMIT, LARGE)
    rows = []
    for name, (figure, sign, limit, (model, height, width)) in ratios.items():
        cells = []
        for n in threads:
            result = at.get((model, height, width, n))
            ratio = figure(result) if result else None
            met = ratio is not None and (ratio >= limit if sign == "≥" else ratio <= limit)
            cells.append("" if ratio is None else f"{digits(ratio)} {'✓' if met else '✗'}")
        rows.append((name, f"{model}, {width}×{height}", f"{sign} {digits(limit)}", *cells))
    heads = (f"{n} thread{'s' * (n > 1)}" for n in threads)
    return table(("ratio", "at", "wanted", *heads), rows, 3, texts=2)


def cells(results: Sequence[Result], columns: Mapping[str, Figure]) -> dict[Place, list[str]]:
    """The figures of each model and size: in each cell one for each number of threads, or nothing."""
    at = {result[:4]: result for result in results}
    threads = sorted({result.threads for result in results})
    found: dict[Place, list[str]] = {}
    for place in dict.fromkeys(result[:3] for result in results):
        group = [at.get((*place, n)) for n in threads]
        rows = [[figure(result) if result else None for result in group] for figure in columns.values()]
        shown = [["–" if number is None else digits(number) for number in row] for row in rows]
        found[place] = [", ".join(row) if set(row) != {"–"} else "" for row in shown]
    return found


def by_setting(results: Sequence[Result], columns: Mapping[str, Figure]) -> list[str]:
    """Models and sizes by row, figures by column."""
    rows = [(model, f"{w}×{h}", *row) for (model, h, w), row in cells(results, columns).items()]
    return table(("model", "size", *columns), rows, 2)


def parts(results: Sequence[Result]) -> list[str]:
    """Parts by row, models by column, in milliseconds."""
    figures = {name: over(name, unit=1e-3) for name in (calls.ENCODE, calls.DECODE, *calls.PARTS)}
    figures["entropy networks and traversal"] = lambda result: (
        1000 * (result.seconds[calls.LATENTS] - result.seconds[calls.RANS_DECODE])
    )
    columns = cells([result for result in results if result[1:3] == KODAK[1:]], figures)
    return table(("part", *(place[0] for place in columns)), zip(figures, *columns.values(), strict=True))


def coded(results: Sequence[Result]) -> list[str]:
    """What each model makes of each size; it doesn't depend on the threads."""
    rows = {}
    for result in results:
        size, what = f"{result.width}×{result.height}", result.coded
        shares = (f"{100 * what['zeros']:.1f} %", f"{100 * what['escapes']:.3f} %")
        rows[result.model, size] = (result.model, size, f"{what['bpp']:.2f}", *shares)
    return table(("model", "size", "bpp", "zeros", "escapes"), rows.values(), 2)


def times(result: Result) -> list[str]:
    """All times of one setting."""
    rows = [(name, digits(1000 * median), str(result.rounds[name])) for name, median in result.seconds.items()]
    return table(
        (f"{result.model}, {result.width}×{result.height}, threads: {result.threads}", "ms", "rounds"), rows
    )


def digits(number: float) -> str:
    """A number with three digits, or with all before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def machine() -> str:
    """This machine and the versions of what runs on it, as a sentence."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    processor = named[1].strip() if named else platform.processor()
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    installed = {found.name: found.version for found in metadata.distributions()}
    packages = ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    return f"{processor}, {os.cpu_count()} cores, {memory}, {system}, {packages}; {date.today().isoformat()}."
