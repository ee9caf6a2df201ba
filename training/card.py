"""Writes the model card, Markdown and two figures, from the results of training and evaluation:

    python -m training.card training/*-q?.toml --logs training/logs --models FOLDER --evaluation kodak.json \\
        --published mbtref/workbench/data/kodak-published-rd.json --out card.md

The figures lie beside the card: `card-training.png`, `card-kodak.png`. `entries` explains the names of the files.
"""

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from bjontegaard import bd_rate

from mbtref.files import write_whole
from training.closed_loop import STEPS
from training.command import refusing
from training.entries import PUBLISHED, Curve, Entry, curve, read_entry, read_published, series
from training.figures import kodak_figure, save, training_figure
from training.log import SMOOTHING

Curves = Mapping[str, Curve]

OPENING = f"""\
# The shipped models

mbt2018 models (Minnen, Ballé and Toderici 2018), small enough to be shipped and to be trained without a GPU. The
published models have four times the channels.

- **lite**, 6 MB each, is quick. The golden vectors of every stage are made with it.
- **wide** has more channels in y, which pictures of more than 30 dB need. Use it to look at pictures.

**Data.** 500 photographs of BSDS500, for research use; random crops in all eight orientations. Kodak was never
trained on.

**Loss.** bpp + λ · 255² · MSE, with uniform noise in place of rounding, and an auxiliary loss for the
quantiles of z. Adam with clipped gradients; the learning rate rises linearly and falls to zero as a cosine. The
averaged weights are kept. At the end the entropy networks alone learn for {STEPS} steps or more on the closed
loop, from the latents that a decoder really has.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first column is aligned left, the others right."""
    head, *lines = (f"| {' | '.join(cells)} |\n" for cells in (header, *rows))
    return f"{head}|---|{'---:|' * (len(header) - 1)}\n{''.join(lines)}"


def schedule_table(entries: Sequence[Entry]) -> str:
    """How each model was trained: cost and origin of all its rounds, and the schedule of the last one.

    What is the same for all models stands below the table.
    """
    rows = []
    for entry in entries:
        c, end = entry.rounds[-1], entry.log[-1]
        numbers = {"N": c.N, "M": c.M, "λ": c.lambda_, "steps": end["step"], "batch": c.batch, "crop": c.crop}
        numbers |= {"peak rate": c.learning_rate, "clip norm": c.clip_norm, "EMA": c.ema_decay, "seed": c.seed}
        cells = {name: f"{number:g}" for name, number in numbers.items()}
        rows.append(cells | {"hours": f"{end['seconds'] / 3600:.1f}", "from": entry.start})
    shared = [name for name in rows[0] if len({row[name] for row in rows}) == 1]
    columns = [name for name in rows[0] if name not in shared]
    body = [[entry.name, *(row[name] for name in columns)] for entry, row in zip(entries, rows, strict=True)]
    note = ", ".join(f"{name} {rows[0][name]}" for name in shared)
    return (
        table(("model", *columns), body)
        + "\nSteps and hours are those of all rounds; the schedule is that of the last one."
        + (f"\nAll models: {note}.\n" if shared else "\n")
    )


def kodak_table(entries: Sequence[Entry]) -> str:
    """Rate and PSNR on Kodak: of the forward pass (open-loop) and of the bitstreams (closed-loop)."""
    keys = ("bpp_theoretical", "psnr", "bpp_bitstream", "psnr_bitstream", "psnr_bitstream_8bit")
    header = ("model", "forward bpp", "PSNR", "bitstream bpp", "PSNR", "PSNR of 8 bits", "real / theoretical rate")
    rows = []
    for entry in entries:
        figures = [f"{entry.means[key]:.{3 if key.startswith('bpp') else 2}f}" for key in keys]
        ratio = entry.means["bpp_bitstream"] / entry.means["bpp_theoretical"]
        rows.append([entry.name, *figures, f"{ratio:.4f}"])
    return table(header, rows)


def comparison_table(entries: Sequence[Entry], curves: Curves) -> str:
    """PSNR of published codecs at the rate of each model's bitstreams, by straight lines between their points."""
    rows = []
    for entry in entries:
        rate, psnr = entry.point
        others = [np.interp(rate, *curves[key], left=np.nan, right=np.nan) for key in PUBLISHED]
        cells = ["outside" if np.isnan(other) else f"{other:.2f} ({psnr - other:+.2f})" for other in others]
        rows.append([entry.name, *cells])
    return table(("model", *(f"{name} (gain)" for name in PUBLISHED.values())), rows)


def gain_table(entries: Sequence[Entry], curves: Curves) -> str:
    """BD-rate of each series' bitstreams against each published codec: negative is better."""
    ours = {name: curve(entry.point for entry in models) for name, models in series(entries).items()}
    how = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    rows = []
    for key, name in PUBLISHED.items():
        with warnings.catch_warnings(action="ignore"):  # warnings of little overlap
            gains = [bd_rate(*curves[key], *own, **how) for own in ours.values()]
        rows.append([name, *(f"{gain:+.1f} %" for gain in gains)])
    return table(("BD-rate against", *ours), rows)


def card(entries: Sequence[Entry], curves: Curves, over_steps: str, on_kodak: str, findings: str) -> str:
    """The card's Markdown. over_steps, on_kodak: addresses of the figures; findings: Markdown to add."""
    files = table(("file", "SHA-256"), [[f"{e.name}.safetensors", f"`{e.sha256}`"] for e in entries])
    return "\n".join((
        OPENING,
        schedule_table(entries),
        f"PSNR and rate of the noisy pass on the training crops, means over {SMOOTHING} lines of the log:\n",
        f"![PSNR and rate over training]({over_steps})\n",
        "## On Kodak\n",
        "Means over the 24 pictures; PSNR in dB.\n",
        f"![PSNR over rate of the shipped models and of published codecs]({on_kodak})\n",
        kodak_table(entries),
        "PSNR of published codecs at the rate of the bitstreams, by straight lines between their points:\n",
        comparison_table(entries, curves),
        "BD-rate of each series (Bjøntegaard, piecewise cubic, over the PSNR that both curves have):\n",
        gain_table(entries, curves),
        *([findings] if findings else []),
        "## Files\n",
        files,
    ))  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="training.card", description="Writes the model card.")
    parser.add_argument("configs", type=Path, nargs="+", help="the models' configs, in the card's order")
    for option, what in (
        ("logs", "the folder of the tables that training.log makes"),
        ("models", "the folder of the model files"),
        ("evaluation", "the results of `mbtref eval` on Kodak, JSON"),
        ("published", "published curves on Kodak, JSON"),
        ("out", "the card to write, .md"),
    ):
        parser.add_argument(f"--{option}", type=Path, required=True, help=what)
    parser.add_argument("--findings", type=Path, help="Markdown to add: aims, limits")
    options = parser.parse_args(arguments)
    over_steps, on_kodak = (
        options.out.with_name(f"{options.out.stem}-{what}.png") for what in ("training", "kodak")
    )
    with refusing(parser):
        try:
            curves = read_published(options.published)
            evaluation = json.loads(options.evaluation.read_text())
            entries = [read_entry(c, options.logs, options.models, evaluation) for c in options.configs]
            findings = options.findings.read_text() if options.findings else ""
            text = card(entries, curves, over_steps.name, on_kodak.name, findings)
        except KeyError as error:
            raise ValueError(f"the evaluation or the published curves lack {error}") from error
        save(training_figure(entries), over_steps)
        save(kodak_figure(entries, curves), on_kodak)
        write_whole(options.out, text.encode())


if __name__ == "__main__":
    main()
