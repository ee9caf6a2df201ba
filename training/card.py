"""Writes the model card, Markdown and two figures, from the results of training and evaluation:

    python -m training.card training/*-q?.toml --runs runs --models FOLDER --evaluation kodak.json \\
        --published mbtref/workbench/data/kodak-published-rd.json --out card.md

The figures go beside the card: `card-training.png`, `card-kodak.png`. `entries` explains the names.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from bjontegaard import bd_rate

from mbtref.files import write_whole
from training.closed_loop import STEPS
from training.entries import PUBLISHED, Curves, Entry, ladders, points, published, read_entry
from training.figures import SMOOTHING, kodak_figure, save, training_figure

FIGURES = ("training", "kodak")
"""What the names of the figures end in."""

OPENING = f"""\
# The shipped models

mbt2018 (Minnen, Ballé and Toderici 2018) with few channels, small enough to be shipped and to be trained without a
GPU. They are models for a reference codec: the published ones have four times the channels.

- **lite**, 6 MB each, is quick. The golden vectors of every stage are made with it.
- **wide** has more channels in y, which pictures of more than 30 dB need. Look at pictures with it.

**Data.** 500 photographs of BSDS500, for research use. Crops in random places, in the eight orientations of
the square. Kodak was never trained on.

**Loss.** bpp + λ · 255² · MSE, with uniform noise in place of rounding; an auxiliary loss for the quantiles
of the hyper-latents; Adam, the gradient clipped; the learning rate rises linearly, times a cosine to zero.
The averaged weights are kept. At the end the entropy networks alone learn on for {STEPS} steps or more on the
closed loop, the latents that a decoder really has. Configs and code are in `training/`.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first column is aligned left, the others right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def schedule_table(entries: Sequence[Entry]) -> str:
    """How each model was trained: cost and origin of all its rounds, and the schedule of the last one."""
    header = (
        "model", "N", "M", "λ", "steps", "hours", "batch", "crop", "peak rate", "clip norm", "EMA", "seed", "from",
    )  # fmt: skip
    rows = []
    for entry in entries:
        c = entry.config
        size, cost = (c.N, c.M, c.lambda_), (f"{entry.log[-1]['step']:g}", f"{entry.hours:.1f}")
        schedule = (c.batch, c.crop, c.learning_rate, c.clip_norm, c.ema_decay, c.seed)
        rows.append([entry.name, *(f"{n:g}" for n in size), *cost, *(f"{n:g}" for n in schedule), entry.start])
    return table(header, rows)


def kodak_table(entries: Sequence[Entry]) -> str:
    """Rate and PSNR on Kodak: of the forward pass (open-loop) and of the bitstreams (closed-loop)."""
    keys = ("bpp_theoretical", "psnr", "bpp_bitstream", "psnr_bitstream", "psnr_bitstream_8bit")
    header = ("model", "forward bpp", "PSNR", "bitstream bpp", "PSNR", "PSNR of 8 bits", "real / theoretical rate")
    digits = [3 if key.startswith("bpp") else 2 for key in keys]
    rows = []
    for entry in entries:
        figures = [f"{entry.means[key]:.{n}f}" for key, n in zip(keys, digits, strict=True)]
        ratio = entry.means["bpp_bitstream"] / entry.means["bpp_theoretical"]
        rows.append([entry.name, *figures, f"{ratio:.4f}"])
    return table(header, rows)


def comparison_table(entries: Sequence[Entry], curves: Curves) -> str:
    """PSNR of published codecs at the rate of each model's bitstreams."""
    rows = []
    for entry in entries:
        rate, psnr = entry.means["bpp_bitstream"], entry.means["psnr_bitstream"]
        others = [psnr_at(rate, curves[key]) for key in PUBLISHED]
        cells = ["outside" if np.isnan(p) else f"{p:.2f} ({psnr - p:+.2f})" for p in others]
        rows.append([entry.name, f"{rate:.3f}", f"{psnr:.2f}", *cells])
    return table(("model", "bpp", "PSNR", *(f"{name} (gain)" for name in PUBLISHED.values())), rows)


def psnr_at(rate: float, curve: Mapping[str, Sequence[float]]) -> float:
    """PSNR of a published curve at a rate in bpp, by straight lines between its points; NaN outside them."""
    return float(np.interp(rate, *published(curve), left=np.nan, right=np.nan))


def gain_table(entries: Sequence[Entry], curves: Curves) -> str:
    """BD-rate of each ladder's bitstreams against each published codec: negative is better."""
    ours = {name: points(ladder) for name, ladder in ladders(entries).items()}
    rows = []
    for key, name in PUBLISHED.items():
        with warnings.catch_warnings(action="ignore"):  # warnings of little overlap
            gains = [
                bd_rate(
                    *published(curves[key]), *own, method="pchip", require_matching_points=False, min_overlap=0
                )
                for own in ours.values()
            ]
        rows.append([name, *(f"{gain:+.1f} %" for gain in gains)])
    return table(("BD-rate against", *ours), rows)


def published_table(curves: Curves) -> str:
    """The published points themselves, up to 1 bpp."""
    rows = []
    for key, name in PUBLISHED.items():
        pairs = zip(*published(curves[key]), strict=True)
        rows.append([name, ", ".join(f"{bpp:.3f}/{psnr:.2f}" for bpp, psnr in pairs if bpp <= 1)])
    return table(("codec", "bpp/PSNR, Kodak means"), rows)


def card(entries: Sequence[Entry], curves: Curves, over_steps: str, on_kodak: str, findings: str) -> str:
    """The card's Markdown. over_steps, on_kodak: addresses of the figures; findings: Markdown to add."""
    files = table(("file", "SHA-256"), [[f"{e.name}.safetensors", f"`{e.sha256}`"] for e in entries])
    return "\n".join((
        OPENING,
        schedule_table(entries),
        "Steps and hours are those of all rounds, the schedule is that of the last one.\n",
        f"PSNR and rate of the noisy pass on the training crops, means over {SMOOTHING} lines of the log:\n",
        f"![PSNR and rate over training]({over_steps})\n",
        "## On Kodak\n",
        "Means over the 24 pictures; PSNR in dB.\n",
        f"![PSNR over rate, of the ladders and of published codecs]({on_kodak})\n",
        kodak_table(entries),
        "Published codecs at the rate of the bitstreams, by straight lines between their points:\n",
        comparison_table(entries, curves),
        "BD-rate of each ladder (Bjøntegaard, piecewise cubic, over the PSNR that both curves have):\n",
        gain_table(entries, curves),
        published_table(curves),
        *([findings] if findings else []),
        "## Files\n",
        files,
    ))  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 with a line on stderr."""
    parser = argparse.ArgumentParser(prog="training.card", description="Writes the model card.")
    parser.add_argument("configs", type=Path, nargs="+", help="the models' configs, in the card's order")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the runs' folders")
    parser.add_argument("--models", type=Path, required=True, help="the folder of the model files")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="the results of `mbtref eval` on Kodak, JSON"
    )
    parser.add_argument("--published", type=Path, required=True, help="published curves on Kodak, JSON")
    parser.add_argument("--findings", type=Path, help="Markdown to add: aims, limits")
    parser.add_argument("--out", type=Path, required=True, help="the card to write, .md")
    options = parser.parse_args(arguments)
    try:
        evaluation = json.loads(options.evaluation.read_text())
        curves = json.loads(options.published.read_text())["curves"]
        entries = [read_entry(c, options.runs, options.models, evaluation) for c in options.configs]
        over_steps, on_kodak = (options.out.with_name(f"{options.out.stem}-{what}.png") for what in FIGURES)
        findings = options.findings.read_text() if options.findings else ""
        text = card(entries, curves, over_steps.name, on_kodak.name, findings)
        save(training_figure(entries), over_steps)
        save(kodak_figure(entries, curves), on_kodak)
        write_whole(options.out, text.encode())
    except (OSError, ValueError) as error:
        print(f"training.card: {error}", file=sys.stderr)
        return 2
    except KeyError as error:
        print(f"training.card: the evaluation or the published curves lack {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
