"""The small table of a model's training: `python -m training.log RUN [RUN ...] -o training/logs/wide-q5.csv`.

It is made from the `log.jsonl` of all rounds, and it is as fine as the curves of the card need. Steps and seconds
count on from one round to the next. PSNR and rate are moving means, because crops differ more than training gains.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from mbtref.files import write_whole
from training.command import refusing

SMOOTHING = 40
"""Lines of the log in a mean: a line and those before it."""
EVERY = 5
"""Lines of the log from row to row, after the first line: 250 steps, 1.3 pixels of the card's figure."""
DIGITS = {"round": 0, "step": 0, "seconds": 1, "psnr": 3, "bpp": 4}
"""The columns, and their digits after the point. psnr: dB, of the noisy pass; bpp: of y and z together."""

Row = dict[str, float]


def rows(runs: Sequence[Path]) -> Iterator[Row]:
    """The rows of the table: the first line of all rounds' logs, every EVERY-th, and the last.

    runs: the folders of the rounds, in order. Raises OSError, or ValueError if a log is empty.
    """
    lines: list[Row] = []
    for number, run in enumerate(runs, 1):
        step, seconds = (lines[-1]["step"], lines[-1]["seconds"]) if lines else (0, 0)
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        if not log:
            raise ValueError(f"{run / 'log.jsonl'} is empty")
        for line in log:
            counted = {"round": number, "step": step + line["step"], "seconds": seconds + line["seconds"]}
            lines.append(counted | {"psnr": line["psnr"], "bpp": line["bpp_y"] + line["bpp_z"]})
    for i in sorted({0, *range(EVERY - 1, len(lines), EVERY), len(lines) - 1}):
        window = lines[max(0, i + 1 - SMOOTHING) : i + 1]
        yield lines[i] | {name: fmean(line[name] for line in window) for name in ("psnr", "bpp")}


def read(table: Path) -> list[Row]:
    """The rows of a table, at least one. Raises OSError."""
    with table.open(encoding="utf-8") as text:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(text)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("training.log", description="Makes the small table of a training.")
    parser.add_argument("runs", type=Path, nargs="+", help="the --out folders of a model's rounds, in order")
    parser.add_argument("-o", dest="table", type=Path, required=True, help="the table to write, .csv")
    options = parser.parse_args(arguments)
    with refusing(parser):
        text = ",".join(DIGITS) + "\n"
        for row in rows(options.runs):
            text += ",".join(f"{row[name]:.{digits}f}" for name, digits in DIGITS.items()) + "\n"
        write_whole(options.table, text.encode())


if __name__ == "__main__":
    main()
