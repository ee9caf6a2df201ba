"""What a run is shown as: ratios of its times, what is wanted of them, tables in Markdown, and JSON.

Times belong to a machine and an hour. Ratios of calls that took turns say something about the codec.
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks import calls
from benchmarks.measure import Result, Setting, plural

Place = tuple[str, int, int]
"""Model, height and width."""
KODAK: Place = ("192", 512, 768)
LARGE: Place = ("192", 2048, 2048)
SMALL: Place = ("lite-q4", 256, 256)
GROWTH_LIMIT = 1.2
"""The most that a pixel of LARGE may take, as a multiple of its time at KODAK."""


class Ratio(NamedTuple):
    """One median over another, within a setting. Where there are several calls, the quickest counts."""

    name: str
    over: tuple[str, ...]
    under: tuple[str, ...]
    at_least: bool
    """Whether the limit is the least that is wanted; otherwise the most."""
    limit: float
    """What is wanted at a place."""
    place: Place = KODAK

    def of(self, result: Result) -> float | None:
        """The ratio in a result; None if a call wasn't timed."""
        over, under = result.best(*self.over), result.best(*self.under)
        return over / under if over and under else None


RATIOS = {
    "Against CompressAI": (
        Ratio(f"{calls.COMPRESS} / encode", (calls.COMPRESS,), (calls.ENCODE,), True, 3),
        Ratio(f"{calls.DECOMPRESS} / decode", (calls.DECOMPRESS,), (calls.DECODE,), True, 8),
    ),
    "Against the transforms": (
        Ratio("encode / fastest g_a", (calls.ENCODE,), calls.G_A, False, 2),
        Ratio("decode / fastest g_s", (calls.DECODE,), calls.G_S, False, 1.5),
        Ratio("decode / fastest g_s of plain layers", (calls.DECODE,), calls.G_S[:2], False, 1.5),
    ),
    "The entropy coder's share": (
        Ratio("rANS encode / encode", (calls.RANS_ENCODE,), (calls.ENCODE,), False, 0.08),
        Ratio("rANS decode / decode", (calls.RANS_DECODE,), (calls.DECODE,), False, 0.08),
    ),
    f"Batches of {calls.BATCH}": (
        Ratio(
            f"{calls.ENCODES} / {calls.ENCODE_BATCH}", (calls.ENCODES,), (calls.ENCODE_BATCH,), True, 1.5, SMALL
        ),
        Ratio(
            f"{calls.DECODES} / {calls.DECODE_BATCH}", (calls.DECODES,), (calls.DECODE_BATCH,), True, 1.5, SMALL
        ),
    ),
}
"""The ratios of each section of the page."""
WITHIN = tuple(chain.from_iterable(RATIOS.values()))


class Target(NamedTuple):
    """A ratio at the place where something is wanted of it."""

    name: str
    place: Place
    threads: int
    ratio: float
    at_least: bool
    limit: float

    @property
    def met(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def targets(results: Sequence[Result]) -> list[Target]:
    """All targets that these results can decide."""
    found = []
    for threads in sorted({result.setting.threads for result in results}):
        at = {result.setting[:3]: result for result in results if result.setting.threads == threads}
        for wanted in WITHIN:
            ratio = wanted.of(at[wanted.place]) if wanted.place in at else None
            if ratio is not None:
                found.append(Target(wanted.name, wanted.place, threads, ratio, wanted.at_least, wanted.limit))
        if KODAK in at and LARGE in at:
            for name in (calls.ENCODE, calls.DECODE):
                large, kodak = (at[place].timings[name].median / (place[1] * place[2]) for place in (LARGE, KODAK))
                text = f"{name} of a pixel, 2048×2048 / 768×512"
                found.append(Target(text, LARGE, threads, large / kodak, False, GROWTH_LIMIT))
    return found


class Run(NamedTuple):
    """One run of the benchmark."""

    picture: str
    """What was coded."""
    rounds: int
    results: Sequence[Result]
    not_run: Mapping[str, str]
    """The reason, by model or setting."""


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


def page(run: Run) -> str:
    """The page of documentation."""
    threads = " and ".join(map(str, sorted({result.setting.threads for result in run.results})))
    megapixels = calls.COMPARED_UP_TO // 2**20
    head = HEAD.format(rounds=run.rounds, threads=threads, picture=run.picture, megapixels=megapixels)
    machine = section("The machine", table(("", ""), machine_of_run().items(), 2))
    return head + "\n".join([*sections(run), *machine])


def sections(run: Run) -> Iterator[str]:
    """The tables of a run."""
    results = run.results
    yield from section("Targets", wanted(targets(results)))
    for title, ratios in RATIOS.items():
        yield from section(title, by_setting(results, {ratio.name: ratio.of for ratio in ratios}))
    times = {name: (lambda result, name=name: result.best(name)) for name in calls.WHOLES}
    yield from section("Whole calls", by_setting(results, times), "Times in seconds.")
    yield from section(
        f"Parts, {KODAK[2]}×{KODAK[1]}",
        parts(results),
        "Times in milliseconds. *Latents of a stream* are all of decoding except g_s: rANS, and the entropy "
        "networks with their traversal.",
    )
    peaks = {name: (lambda result, name=name: mebibytes(result.peaks.get(name))) for name in calls.WHOLES}
    yield from section(
        "Memory",
        by_setting(results, peaks),
        "The most that a process held that made one such call, in MiB: Python, PyTorch and the model included.",
    )
    yield from section("What is coded", coded(results), "Zeros and escapes are shares of the symbols of y.")
    yield from section("Not run", [f"- {name}: {why}" for name, why in run.not_run.items()])


def section(title: str, rows: Sequence[str], text: str = "") -> list[str]:
    """A section, unless its table is empty."""
    return [f"## {title}", "", *([text, ""] if text else []), *rows, ""] if rows else []


def table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> list[str]:
    """A table; nothing if there are no rows. names: how many columns hold text."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    rule = f"|{'---|' * names}{'---:|' * (len(head) - names)}"
    return [f"| {' | '.join(head)} |", rule, *body] if body else []


def wanted(found: Sequence[Target]) -> list[str]:
    """Targets by row, numbers of threads by column."""
    threads = sorted({target.threads for target in found})
    of = {(target.name, target.threads): target for target in found}
    rows = []
    for target in {t.name: t for t in found}.values():
        here = [of.get((target.name, n)) for n in threads]
        cells = [f"{digits(t.ratio)} {'✓' if t.met else '✗'}" if t else "" for t in here]
        model, height, width = target.place
        limit = f"{'≥' if target.at_least else '≤'} {digits(target.limit)}"
        rows.append((target.name, f"{model}, {width}×{height}", limit, *cells))
    return table(("ratio", "at", "wanted", *map(plural, threads)), rows, 2)


Group = Sequence[Result | None]
"""The results of one model and size by threads; None where a setting wasn't measured."""
Figure = Callable[[Result], float | None]


def groups(results: Sequence[Result]) -> dict[Place, Group]:
    """The results of each model and size, in the order of their numbers of threads."""
    of = {result.setting: result for result in results}
    threads = sorted({setting.threads for setting in of})
    return {place: [of.get(Setting(*place, n)) for n in threads] for place in dict.fromkeys(s[:3] for s in of)}


def by_setting(results: Sequence[Result], columns: Mapping[str, Figure]) -> list[str]:
    """Models and sizes by row, figures by column; no row without a figure."""
    rows = [
        (model, f"{width}×{height}", *(cell(group, figure) for figure in columns.values()))
        for (model, height, width), group in groups(results).items()
    ]
    return table(("model", "size", *columns), (row for row in rows if any(row[2:])), 2)


def cell(group: Group, figure: Figure) -> str:
    """A figure for each number of threads, or nothing."""
    found = [figure(result) if result else None for result in group]
    return "" if set(found) == {None} else ", ".join("–" if n is None else digits(n) for n in found)


def parts(results: Sequence[Result]) -> list[str]:
    """Parts by row, models by column, in milliseconds."""

    def milliseconds(name: str, less: str = "") -> Figure:
        return lambda r: 1000 * (r.timings[name].median - (r.timings[less].median if less else 0))

    here = {place[0]: group for place, group in groups(results).items() if place[1:] == KODAK[1:]}
    figures = {name: milliseconds(name) for name in (calls.ENCODE, calls.DECODE, *calls.PARTS)}
    figures["entropy networks and traversal"] = milliseconds(calls.LATENTS, less=calls.RANS_DECODE)
    rows = [(name, *(cell(group, figure) for group in here.values())) for name, figure in figures.items()]
    return table(("part", *here), rows) if here else []


def coded(results: Sequence[Result]) -> list[str]:
    """What each model makes of each size; it doesn't depend on the threads."""
    rows = {}
    for (model, height, width, _), what, _, _ in results:
        shares = (f"{100 * what.zeros:.1f} %", f"{100 * what.escapes:.3f} %")
        size = f"{width}×{height}"
        rows[model, size] = (model, size, f"{what.bpp:.2f}", *shares)
    return table(("model", "size", "bpp", "zeros", "escapes"), rows.values(), 2)


def times(result: Result) -> list[str]:
    """All times of one setting."""
    rows = [(name, digits(1000 * t.median), str(t.rounds)) for name, t in result.timings.items()]
    return section(str(result.setting), table(("", "ms", "rounds"), rows))


def mebibytes(size: int | None) -> float | None:
    return size and size / 2**20


def digits(number: float) -> str:
    """A number with three digits, or with all before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def record(run: Run) -> dict[str, object]:
    """A run for a JSON file. Times are in seconds, memory in bytes."""
    return {
        "machine": machine_of_run(),
        "picture": run.picture,
        "settings": [
            {
                **result.setting._asdict(),
                **result.coded._asdict(),
                "seconds": {name: timing.median for name, timing in result.timings.items()},
                "rounds": {name: timing.rounds for name, timing in result.timings.items()},
                "ratios": {ratio.name: ratio.of(result) for ratio in WITHIN},
                "peak_bytes": result.peaks,
            }
            for result in run.results
        ],
        "targets": [{**target._asdict(), "met": target.met} for target in targets(run.results)],
        "not_run": dict(run.not_run),
    }


def machine_of_run() -> dict[str, str]:
    """This machine and the versions of what runs on it, in the order to show them."""
    cpuinfo, processor = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": named[0] if named else processor,
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("mbtref", "PyTorch", "NumPy", "numba", "CompressAI")},
        "date": date.today().isoformat(),
    }


def version(package: str) -> str:
    try:
        return metadata.version("torch" if package == "PyTorch" else package)
    except metadata.PackageNotFoundError:
        return "not installed"
