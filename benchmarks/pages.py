"""What a run is shown as: tables in Markdown, and JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.calls import (
    BATCH,
    COMPARED_UP_TO,
    COMPRESS,
    DECODE,
    DECOMPRESS,
    ENCODE,
    LATENTS,
    PARTS,
    RANS_DECODE,
)
from benchmarks.ratios import (
    BATCH_DECODE,
    BATCH_ENCODE,
    DECODE_COST,
    DECODE_COST_PLAIN,
    DECODE_GAIN,
    ENCODE_COST,
    ENCODE_GAIN,
    KODAK,
    RANS_IN_DECODE,
    RANS_IN_ENCODE,
    WITHIN,
    Ratio,
    Target,
    targets,
)
from benchmarks.settings import Result, Setting

WHOLES = (ENCODE, DECODE, COMPRESS, DECOMPRESS)
NETWORKS = "entropy networks and traversal"
"""A difference: LATENTS without RANS_DECODE."""
FASTEST = (
    "A *fastest* transform is the quickest of three: plain layers of torch with either order in memory, and "
    "mbtref's tiles, which run the same layers."
)
ABOUT_PARTS = (
    "Times in milliseconds. *Latents of a stream* are all of decoding but g_s. What they take beyond rANS is the "
    "entropy networks and their traversal."
)
ABOUT_MEMORY = (
    "The most that a process held which made one such call, in MiB: Python, PyTorch and the model included."
)


class Run(NamedTuple):
    """One run of the benchmark."""

    machine: Mapping[str, str]
    picture: str
    """What was coded."""
    rounds: int
    results: Sequence[Result]
    not_run: Mapping[str, str]
    """The reason, by model or setting."""


def page(run: Run) -> str:
    """The page of documentation."""
    return "\n".join(
        [
            "# Speed and memory",
            "",
            "*Made by `make benchmark`; not to be edited.*",
            "",
            *introduction(run),
            *sections(run),
            "## The machine",
            "",
            *table(("", ""), run.machine.items(), 2),
            *refusals(run.not_run),
        ]
    )


def introduction(run: Run) -> list[str]:
    return [
        "Both codecs code the same picture with the same weights. All calls of a setting take turns in one "
        f"process. A time is the median of up to {run.rounds} rounds. Times belong to this machine; ratios say "
        "something about others too.",
        "",
        f"The picture is {run.picture}. A larger size has more of the same content. The models `192` (N = M = "
        "192) and `192-320` (N = 192, M = 320) have [seeded weights](../benchmarks/seeded.py). Their symbols are "
        "about as sparse as a trained model's. `python -m benchmarks --models zoo-q4` times a zoo model. "
        f"CompressAI and the parts are left out above {COMPARED_UP_TO // 2**20} megapixel, where they would take "
        "minutes.",
        "",
    ]


def sections(run: Run) -> Iterator[str]:
    """The tables of a run."""
    results = run.results
    yield from section("Targets", wanted(targets(results)), FASTEST)
    yield from section("Against CompressAI", ratios(results, (ENCODE_GAIN, DECODE_GAIN)))
    yield from section(
        "Against the transforms", ratios(results, (ENCODE_COST, DECODE_COST, DECODE_COST_PLAIN)), FASTEST
    )
    yield from section("The entropy coder's share", ratios(results, (RANS_IN_ENCODE, RANS_IN_DECODE)))
    yield from section(f"Batches of {BATCH}", ratios(results, (BATCH_ENCODE, BATCH_DECODE)))
    yield from section("Whole calls", wholes(results), "Times in seconds.")
    here = [result for result in results if result.setting[1:3] == KODAK[1:]]
    yield from section(f"Parts, {KODAK[2]}×{KODAK[1]}", parts(here), ABOUT_PARTS)
    yield from section("Memory", memory(results), ABOUT_MEMORY)
    yield from section("What is coded", coded(results), "Zeros and escapes are shares of the symbols of y.")


def section(title: str, rows: Sequence[str], text: str = "") -> list[str]:
    """A section, unless its table is empty."""
    return [f"## {title}", "", *([text, ""] if text else []), *rows] if rows else []


def table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> list[str]:
    """A table and an empty line; nothing if there are no rows. names: how many columns hold text."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    rule = f"|{'---|' * names}{'---:|' * (len(head) - names)}"
    return [f"| {' | '.join(head)} |", rule, *body, ""] if body else []


def wanted(found: Sequence[Target]) -> list[str]:
    """Targets by row, numbers of threads by column."""
    threads = sorted({target.threads for target in found})
    of = {(target.name, target.threads): target for target in found}
    rows = []
    for target in {t.name: t for t in found}.values():
        cells = [verdict(of[target.name, n]) if (target.name, n) in of else "" for n in threads]
        model, height, width = target.place
        limit = f"{'≥' if target.at_least else '≤'} {digits(target.limit)}"
        rows.append((target.name, f"{model}, {width}×{height}", limit, *cells))
    return table(("ratio", "at", "wanted", *map(plural, threads)), rows, 2)


def verdict(target: Target) -> str:
    return f"{digits(target.ratio)} {'✓' if target.met else '✗'}"


def plural(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def ratios(results: Sequence[Result], shown: Sequence[Ratio]) -> list[str]:
    """Settings by row, ratios by column."""
    rows = [(*place(r.setting), *(cell(ratio.of(r)) for ratio in shown)) for r in results]
    return table((*PLACE, *(ratio.name for ratio in shown)), (row for row in rows if any(row[3:])), 2)


PLACE = ("model", "size", "threads")


def place(setting: Setting) -> tuple[str, str, str]:
    """The cells under PLACE."""
    return setting.model, f"{setting.width}×{setting.height}", str(setting.threads)


def wholes(results: Sequence[Result]) -> list[str]:
    rows = [(*place(r.setting), *(cell(r.best((name,))) for name in WHOLES)) for r in results]
    return table((*PLACE, *WHOLES), rows, 2)


def memory(results: Sequence[Result]) -> list[str]:
    rows = [
        (*place(r.setting), *(f"{r.peaks[name] / 2**20:.0f}" if name in r.peaks else "" for name in WHOLES))
        for r in results
        if r.peaks
    ]
    return table((*PLACE, *WHOLES), rows, 2)


def parts(results: Sequence[Result]) -> list[str]:
    """Parts by row, settings of one size by column."""
    head = ("part", *(f"{r.setting.model}, {plural(r.setting.threads)}" for r in results))
    rows = [(name, *(cell(r.best((name,)), 1000) for r in results)) for name in (ENCODE, DECODE, *PARTS)]
    beyond = (r.timings[LATENTS].median - r.timings[RANS_DECODE].median for r in results)
    rows.append((NETWORKS, *(cell(difference, 1000) for difference in beyond)))
    return table(head, rows if results else [])


def coded(results: Sequence[Result]) -> list[str]:
    """What each model makes of each size; it doesn't depend on the threads."""
    rows = {}
    for setting, what, _, _ in results:
        model, size, _ = place(setting)
        shares = (f"{100 * what.zeros:.1f} %", f"{100 * what.escapes:.3f} %")
        rows[model, size] = (model, size, f"{what.N}", f"{what.M}", f"{what.bpp:.2f}", *shares)
    return table(("model", "size", "N", "M", "bpp", "zeros", "escapes"), rows.values(), 2)


def refusals(not_run: Mapping[str, str]) -> list[str]:
    return ["## Not run", "", *(f"- {name}: {why}" for name, why in not_run.items()), ""] if not_run else []


def times(result: Result) -> list[str]:
    """All times of one setting."""
    rows = [(name, cell(timing.median, 1000), str(timing.rounds)) for name, timing in result.timings.items()]
    return [f"### {result.setting}", "", *table(("", "ms", "rounds"), rows)]


def cell(number: float | None, factor: float = 1) -> str:
    """A number times a factor, or nothing."""
    return "" if number is None else digits(number * factor)


def digits(number: float) -> str:
    """A number with three digits, or with all before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def record(run: Run) -> dict[str, object]:
    """A run for a JSON file. Times are in seconds, memory in bytes."""
    return {
        "machine": dict(run.machine),
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
