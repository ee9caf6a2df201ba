"""The small table of a model's training: `python -m training.log RUN [RUN ...] -o training/logs/wide-q5.csv`.

It is made from the `log.jsonl` of all rounds, and it is as fine as the curves of the card need. Steps and seconds
count on from one round to the next. PSNR and rate are moving means, because crops differ more than training gains.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
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


def lines(runs: Sequence[Path]) -> list[Row]:
    """The lines of all rounds. runs: their folders, in order. Raises OSError, or ValueError if a log is empty."""
    found: list[Row] = []
    for number, run in enumerate(runs, 1):
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        if not log:
            raise ValueError(f"{run / 'log.jsonl'} is empty")
        before = found[-1] if found else {"step": 0, "seconds": 0}
        for line in log:
            counted = {key: before[key] + line[key] for key in ("step", "seconds")}
            found.append({"round": number, **counted, "psnr": line["psnr"], "bpp": line["bpp_y"] + line["bpp_z"]})
    return found


def rows(found: Sequence[Row]) -> Iterator[Row]:
    """The rows of the table, from all lines: the first, every EVERY-th, the last."""
    for i in sorted({0, *range(EVERY - 1, len(found), EVERY), len(found) - 1}):
        window = found[max(0, i + 1 - SMOOTHING) : i + 1]
        yield found[i] | {name: fmean(row[name] for row in window) for name in ("psnr", "bpp")}


def table(found: Iterable[Row]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(DIGITS)
    out.writerows([f"{row[name]:.{digits}f}" for name, digits in DIGITS.items()] for row in found)
    return text.getvalue()


def read(file: Path) -> list[Row]:
    """The rows of a table, at least one. Raises OSError, or ValueError if there is none."""
    text = file.read_text(encoding="utf-8")
    found = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]
    if not found:
        raise ValueError(f"{file} has no rows")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="training.log", description="Makes the small table of a training.")
    parser.add_argument("runs", type=Path, nargs="+", help="the --out folders of a model's rounds, in order")
    parser.add_argument("-o", dest="table", type=Path, required=True, help="the table to write, .csv")
    options = parser.parse_args(arguments)
    with refusing(parser):
        write_whole(options.table, table(rows(lines(options.runs))).encode())


if __name__ == "__main__":
    main()
