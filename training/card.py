"""Writes the model card from an evaluation: `python -m training.card kodak.json -o docs/models.md`.

kodak.json is what `make kodak` writes. Two figures lie beside the card: `models-training.png` and
`models-kodak.png`. `card.template` has the words of the card, and places for its tables.
"""

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import numpy as np
from bjontegaard import bd_rate

from mbtref.files import write_whole
from mbtref.workbench import tables
from training.closed_loop import STEPS
from training.command import refusing
from training.entries import HERE, Curve, Entry, curve, read_entries, read_published, series
from training.figures import kodak_figure, training_figure
from training.log import SMOOTHING

MEASURES = [column for column in tables.COLUMNS if not column.group.startswith(("buffer", "time"))]
"""The columns of an evaluation that the card shows."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first column is aligned left, the others right."""
    return "".join(f"{line}\n" for line in tables.lines([header, *rows]))


def schedule_table(entries: Sequence[Entry]) -> tuple[str, str]:
    """How each model was trained: cost and origin of all its rounds, and the schedule of the last one.

    Returns the table, and what is the same for all models.
    """
    rows = {}
    for name, rounds, log, *_ in entries:
        c, start = rounds[-1], Path(rounds[0].start).stem
        numbers = {"N": c.N, "M": c.M, "λ": c.lambda_, "steps": log[-1]["step"], "batch": c.batch, "crop": c.crop}
        numbers |= {"peak rate": c.learning_rate, "clip norm": c.clip_norm, "EMA": c.ema_decay, "seed": c.seed}
        rows[name] = {key: f"{number:g}" for key, number in numbers.items()}
        rows[name]["hours"] = f"{log[-1]['seconds'] / 3600:.1f}"
        rows[name]["from"] = f"an earlier {start}" if start == name else start or "scratch"
    columns = {key: [row[key] for row in rows.values()] for key in rows[entries[0].name]}
    shared = ", ".join(f"{key} {cells[0]}" for key, cells in columns.items() if len(set(cells)) == 1)
    columns = {"model": list(rows)} | {key: cells for key, cells in columns.items() if len(set(cells)) > 1}
    return table(list(columns), list(zip(*columns.values(), strict=True))), shared


def kodak_table(entries: Sequence[Entry], published: Mapping[str, Curve]) -> str:
    """The bitstreams and the forward pass on Kodak, and the PSNR of published codecs at the bitstreams' rate."""
    groups, names = tables.heads(MEASURES, "model")
    rows = [[*names, *(f"{name} (gain)" for name in published)]]
    for entry in entries:
        row = [entry.name, *(text for text, _ in tables.cells(entry.means, MEASURES))]
        rate, psnr = entry.point
        for points in published.values():
            other = np.interp(rate, *points, left=np.nan, right=np.nan)
            row.append("outside" if np.isnan(other) else f"{other:.2f} ({psnr - other:+.2f})")
        rows.append(row)
    return table([*groups, "PSNR / dB at the bitstream's rate", *[""] * (len(published) - 1)], rows)


def gain_table(entries: Sequence[Entry], published: Mapping[str, Curve]) -> str:
    """BD-rate of each series' bitstreams against each published codec: negative is better."""
    ours = {name: curve(entry.point for entry in models) for name, models in series(entries).items()}
    how = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    rows = []
    for name, points in published.items():
        with warnings.catch_warnings(action="ignore"):  # warnings of little overlap
            rows.append([name, *(f"{bd_rate(*points, *own, **how):+.1f} %" for own in ours.values())])
    return table(("BD-rate against", *ours), rows)


def card(entries: Sequence[Entry], published: Mapping[str, Curve], stem: str) -> str:
    """The card's Markdown: `card.template`, filled in. stem: the beginning of the figures' names."""
    schedules, shared = schedule_table(entries)
    return Template((HERE / "card.template").read_text(encoding="utf-8")).substitute(
        steps=STEPS,
        smoothing=SMOOTHING,
        stem=stem,
        schedules=schedules,
        shared=shared,
        kodak=kodak_table(entries, published),
        gain=gain_table(entries, published),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("training.card", description="Writes the model card.")
    parser.add_argument("evaluation", type=Path, help="the results of `mbtref eval` on Kodak, JSON")
    parser.add_argument("-o", dest="out", type=Path, required=True, help="the card to write, .md")
    options = parser.parse_args(arguments)
    out: Path = options.out
    with refusing(parser):
        try:
            entries, published = read_entries(json.loads(options.evaluation.read_text())), read_published()
            text = card(entries, published, out.stem)
        except KeyError as error:
            raise ValueError(f"the evaluation lacks {error}: make it again with `make kodak`") from error
        figures = {"training": training_figure(entries), "kodak": kodak_figure(entries, published)}
        for name, figure in figures.items():
            write_whole(out.with_name(f"{out.stem}-{name}.png"), figure.png())
        write_whole(out, text.encode())


if __name__ == "__main__":
    main()
