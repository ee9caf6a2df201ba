"""Writes the model card, Markdown and a figure of the training, from the results of training and evaluation:

    python -m training.card training/lite-q*.toml --runs runs --models FOLDER --evaluation kodak.json \\
        --published vectors/facts/kodak-published-rd.json --out card.md

A config's stem is the name of its model everywhere: `RUNS/lite-q4/log.jsonl`, `MODELS/lite-q4.safetensors`,
"lite-q4" in the evaluation. The figure goes beside the card, with the suffix .png.
"""

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bjontegaard import bd_rate
from matplotlib.figure import Figure

from mbtref.files import write_whole
from training.closed_loop import STEPS
from training.train import Config, read_config

PUBLISHED = {"jpeg": "JPEG", "webp": "WebP", "mbt2018-compressai-cpu": "mbt2018"}
"""The published curves in the card's comparisons, and their names there."""

OPENING = f"""\
# The lite models

mbt2018 (Minnen, Ballé and Toderici 2018) with few channels, small enough to be shipped and to be trained
without a GPU. They are test objects of a reference codec, not models to compress pictures with.

**Data.** 500 photographs of BSDS500, for research use. Crops in random places, in the eight orientations of
the square. Kodak was never trained on.

**Loss.** bpp + λ · 255² · MSE, with uniform noise in place of rounding; an auxiliary loss for the quantiles
of the hyper-latents; Adam, the gradient clipped; the learning rate rises linearly, times a cosine to zero.
The averaged weights are kept. At the end the entropy networks alone learn on for {STEPS} steps on the closed
loop, the latents that a decoder really has. Configs and code are in `training/`.
"""


@dataclass(frozen=True)
class Entry:
    """The data of one model on the card."""

    name: str
    config: Config
    log: list[dict[str, float]]
    """The lines of the training's log, at least one."""
    sha256: str
    """Of the model file, in hexadecimal."""
    means: Mapping[str, float]
    """Means over the Kodak pictures, keys as `mbtref eval` names them."""


def read_entry(config_file: Path, runs: Path, models: Path, evaluation: Mapping[str, Any]) -> Entry:
    """Gathers the data of one config. Raises OSError, or ValueError if something is missing."""
    name = config_file.stem
    log_file = runs / name / "log.jsonl"
    log = [json.loads(line) for line in log_file.read_text().splitlines()]
    if not log:
        raise ValueError(f"{log_file} is empty")
    for means in evaluation["means"]:
        if means["model"] == name:
            model_file = models / f"{name}.safetensors"
            sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
            return Entry(name, read_config(config_file), log, sha256, means)
    raise ValueError(f"the evaluation has no means of {name}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first column is aligned left, the others right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def schedule_table(entries: Sequence[Entry]) -> str:
    """How each model was trained."""
    header = (
        "model",
        "N",
        "M",
        "λ",
        "steps",
        "batch",
        "crop",
        "learning rate",
        "clip norm",
        "EMA",
        "seed",
        "from",
    )
    rows = []
    for entry in entries:
        c = entry.config
        size, schedule = (c.N, c.M, c.lambda_), (entry.log[-1]["step"], c.batch, c.crop, c.learning_rate)
        numbers = (*size, *schedule, c.clip_norm, c.ema_decay, c.seed)
        start = f"an earlier {Path(c.start).stem}" if c.start else "scratch"
        rows.append([entry.name, *(f"{number:g}" for number in numbers), start])
    return table(header, rows)


def kodak_table(entries: Sequence[Entry]) -> str:
    """Rate and PSNR on Kodak: of the forward pass (open-loop) and of the bitstreams (closed-loop)."""
    keys = ("bpp_theoretical", "psnr", "bpp_bitstream", "psnr_bitstream", "psnr_bitstream_8bit")
    header = ("model", "forward bpp", "PSNR", "bitstream bpp", "PSNR", "PSNR of 8 bits")
    digits = [3 if key.startswith("bpp") else 2 for key in keys]
    rows = [
        [entry.name, *(f"{entry.means[key]:.{n}f}" for key, n in zip(keys, digits, strict=True))]
        for entry in entries
    ]
    return table(header, rows)


def comparison_table(entries: Sequence[Entry], curves: Mapping[str, Any]) -> str:
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
    order = np.argsort(curve["bpp"])
    bpp, psnr = np.asarray(curve["bpp"])[order], np.asarray(curve["psnr-rgb"])[order]
    return float(np.interp(rate, bpp, psnr, left=np.nan, right=np.nan))


def gain_table(entries: Sequence[Entry], curves: Mapping[str, Any]) -> str:
    """BD-rate of the ladder's bitstreams against each published codec: negative is better."""
    ours = sorted((e.means["bpp_bitstream"], e.means["psnr_bitstream"]) for e in entries)
    rows = []
    for key, name in PUBLISHED.items():
        rate, psnr = (np.asarray(curves[key][k]) for k in ("bpp", "psnr-rgb"))
        order = np.argsort(rate)
        with warnings.catch_warnings(action="ignore"):  # warnings of little overlap
            published, own = (rate[order], psnr[order]), np.transpose(ours)
            gain = bd_rate(*published, *own, method="pchip", require_matching_points=False, min_overlap=0)
        rows.append([name, f"{gain:+.1f} %"])
    return table(("against", "BD-rate"), rows)


def published_table(curves: Mapping[str, Any]) -> str:
    """The published points themselves, up to 1 bpp."""
    rows = []
    for key, name in PUBLISHED.items():
        points = sorted(zip(curves[key]["bpp"], curves[key]["psnr-rgb"], strict=True))
        rows.append([name, ", ".join(f"{bpp:.3f}/{psnr:.2f}" for bpp, psnr in points if bpp <= 1)])
    return table(("codec", "bpp/PSNR, Kodak means"), rows)


def draw_training(entries: Sequence[Entry], path: Path) -> None:
    """Draws PSNR and rate of the noisy pass over the steps of training, one line for each model."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for entry in entries:
        steps = [line["step"] for line in entry.log]
        left.plot(steps, smooth([line["psnr"] for line in entry.log]), label=entry.name)
        right.plot(steps, smooth([line["bpp_y"] + line["bpp_z"] for line in entry.log]), label=entry.name)
    left.set(xlabel="step", ylabel="PSNR of the training crops, dB")
    right.set(xlabel="step", ylabel="rate of the training crops, bpp")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})


SMOOTHING = 10
"""A point of the figure is the mean of this many lines of the log: crops differ more than training gains."""


def smooth(values: Sequence[float]) -> list[float]:
    """Mean of each value and up to SMOOTHING - 1 before it."""
    return [float(np.mean(values[max(0, i + 1 - SMOOTHING) : i + 1])) for i in range(len(values))]


def card(entries: Sequence[Entry], curves: Mapping[str, Any], figure: str, findings: str) -> str:
    """The card's Markdown. curves: published curves by name; figure: its address; findings: Markdown to add."""
    files = table(("file", "SHA-256"), [[f"{e.name}.safetensors", f"`{e.sha256}`"] for e in entries])
    return "\n".join((
        OPENING,
        schedule_table(entries),
        f"PSNR and rate of the noisy pass on the training crops, means over {SMOOTHING} lines of the log:\n",
        f"![PSNR and rate over training]({figure})\n",
        "## On Kodak\n",
        "Means over the 24 pictures; PSNR in dB.\n",
        kodak_table(entries),
        "Published codecs at the rate of the bitstreams, by straight lines between their points:\n",
        comparison_table(entries, curves),
        "BD-rate of the ladder (Bjøntegaard, piecewise cubic, over the PSNR that both curves have):\n",
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
        figure = options.out.with_suffix(".png")
        findings = options.findings.read_text() if options.findings else ""
        text = card(entries, curves, figure.name, findings)
        draw_training(entries, figure)
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
