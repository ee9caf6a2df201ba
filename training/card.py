"""Writes the model card from an evaluation: `python -m training.card kodak.json -o docs/models.md`.

kodak.json is what `make kodak` writes. Two figures lie beside the card: `models-training.png` and
`models-kodak.png`. `findings.md` is the prose of the card.
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
from training.entries import HERE, Curve, Entry, curve, read_entries, read_published, series
from training.figures import kodak_figure, training_figure
from training.log import SMOOTHING

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
    return (
        table(list(columns), list(zip(*columns.values(), strict=True)))
        + "\nSteps and hours are those of all rounds; the schedule is that of the last one."
        + f"\nAll models: {shared}.\n"
    )


def kodak_table(entries: Sequence[Entry]) -> str:
    """Rate and PSNR on Kodak: of the forward pass (open-loop) and of the bitstreams (closed-loop)."""
    header = ("model", "forward bpp", "PSNR", "bitstream bpp", "PSNR", "PSNR of 8 bits", "real / theoretical rate")
    rows = []
    for name, *_, mean in entries:
        forward, stream = (f"{mean[f'bpp_{rate}']:.3f}" for rate in ("theoretical", "bitstream"))
        psnr, *others = (f"{mean[f'psnr{kind}']:.2f}" for kind in ("", "_bitstream", "_bitstream_8bit"))
        ratio = mean["bpp_bitstream"] / mean["bpp_theoretical"]
        rows.append([name, forward, psnr, stream, *others, f"{ratio:.4f}"])
    return table(header, rows)


def comparison_table(entries: Sequence[Entry], published: Mapping[str, Curve]) -> str:
    """PSNR of published codecs at the rate of each model's bitstreams, by straight lines between their points."""
    rows = []
    for entry in entries:
        rate, psnr = entry.point
        others = [np.interp(rate, *points, left=np.nan, right=np.nan) for points in published.values()]
        cells = ["outside" if np.isnan(other) else f"{other:.2f} ({psnr - other:+.2f})" for other in others]
        rows.append([entry.name, *cells])
    return table(("model", *(f"{name} (gain)" for name in published)), rows)


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
    """The card's Markdown. stem: the beginning of the figures' names."""
    return "\n".join((
        OPENING,
        schedule_table(entries),
        f"PSNR and rate of the noisy pass on the training crops, means over {SMOOTHING} lines of the log:\n",
        f"![PSNR and rate over training]({stem}-training.png)\n",
        "## On Kodak\n",
        "Means over the 24 pictures; PSNR in dB.\n",
        f"![PSNR over rate of the shipped models and of published codecs]({stem}-kodak.png)\n",
        kodak_table(entries),
        "PSNR of published codecs at the rate of the bitstreams, by straight lines between their points:\n",
        comparison_table(entries, published),
        "BD-rate of each series (Bjøntegaard, piecewise cubic, over the PSNR that both curves have):\n",
        gain_table(entries, published),
        (HERE / "findings.md").read_text(encoding="utf-8"),
        "## Files\n",
        table(("file", "SHA-256"), [[f"{e.name}.safetensors", f"`{e.sha256}`"] for e in entries]),
    ))  # fmt: skip


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
            # the same bytes each time
            png = out.with_name(f"{out.stem}-{name}.png")
            figure.savefig(png, dpi=120, facecolor="white", metadata={"Software": None})
        write_whole(out, text.encode())


if __name__ == "__main__":
    main()
