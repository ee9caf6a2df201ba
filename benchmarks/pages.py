"""The tables of a run, in Markdown: ratios of its times, what is wanted of them, times, memory.

Times belong to a machine and an hour. Ratios of calls that took turns say something about the codec.
"""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from string import Template
from typing import NamedTuple

from benchmarks import calls
from benchmarks.measure import Result
from mbtref.workbench.machine import processor

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
    sign: str  # ≥ or ≤
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


def page(results: Sequence[Result], not_run: Mapping[str, str], picture: str, rounds: int) -> str:
    """`page.template`, filled in. not_run: the reason, by model or setting. picture: what was coded."""
    failed = "".join(f"- {name}: {why}\n" for name, why in not_run.items())
    return Template(Path(__file__).with_name("page.template").read_text(encoding="utf-8")).substitute(
        rounds=rounds,
        threads=" and ".join(map(str, sorted({result.threads for result in results}))),
        megapixels=calls.COMPARED_UP_TO // 2**20,
        picture=picture,
        targets=targets(results),
        speeds=by_setting(results, {name: ratio.figure for name, ratio in SPEEDS.items()}),
        coder=by_setting(results, {name: ratio.figure for name, ratio in CODER.items()}),
        calls=by_setting(results, {name: over(name) for name in calls.WHOLES}),
        parts=parts(results),
        memory=by_setting(results, {name: held(name) for name in calls.WHOLES}),
        coded=coded(results),
        not_run=f"## Not run\n\n{failed}\n" if failed else "",
        machine=machine(),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table of the rows that have figures. left: how many columns are text, aligned left."""
    body = [f"| {' | '.join(row)} |" for row in rows if any(row[left:])]
    rule = f"|{'---|' * left}{'---:|' * (len(head) - left)}"
    return "\n".join([f"| {' | '.join(head)} |", rule, *body]) if body else "Not measured."


def targets(results: Sequence[Result]) -> str:
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
        if any(cells):
            rows.append((name, f"{model}, {width}×{height}", f"{sign} {digits(limit)}", *cells))
    heads = (f"{n} thread{'s' * (n > 1)}" for n in threads)
    return table(("ratio", "at", "wanted", *heads), rows, 2)


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


def by_setting(results: Sequence[Result], columns: Mapping[str, Figure]) -> str:
    """Models and sizes by row, figures by column."""
    rows = [(model, f"{w}×{h}", *row) for (model, h, w), row in cells(results, columns).items()]
    return table(("model", "size", *columns), rows, 2)


def parts(results: Sequence[Result]) -> str:
    """Parts by row, models by column, in milliseconds."""
    figures = {name: over(name, unit=1e-3) for name in (calls.ENCODE, calls.DECODE, *calls.PARTS)}
    figures["entropy networks and traversal"] = lambda result: (
        1000 * (result.seconds[calls.LATENTS] - result.seconds[calls.RANS_DECODE])
    )
    columns = cells([result for result in results if result[1:3] == KODAK[1:]], figures)
    return table(("part", *(place[0] for place in columns)), zip(figures, *columns.values(), strict=True))


def coded(results: Sequence[Result]) -> str:
    """What each model makes of each size; it doesn't depend on the threads."""
    rows = {}
    for result in results:
        size, what = f"{result.width}×{result.height}", result.coded
        shares = (f"{100 * what['zeros']:.1f} %", f"{100 * what['escapes']:.3f} %")
        rows[result.model, size] = (result.model, size, f"{what['bpp']:.2f}", *shares)
    return table(("model", "size", "bpp", "zeros", "escapes"), rows.values(), 2)


def times(result: Result) -> str:
    """All times of one setting."""
    rows = [(name, digits(1000 * median), str(result.rounds[name])) for name, median in result.seconds.items()]
    model, height, width, threads, *_ = result
    return table((f"{model}, {width}×{height}, threads: {threads}", "ms", "rounds"), rows)


def digits(number: float) -> str:
    """A number with three digits, or with all before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def machine() -> str:
    """This machine and the versions of what runs on it, as a sentence."""
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    installed = {found.name: found.version for found in metadata.distributions()}
    packages = ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    return f"{processor()}, {os.cpu_count()} cores, {memory}, {system}, {packages}; {date.today().isoformat()}."
