"""The benchmark: mbtref and CompressAI in one run.

    python -m benchmarks                          # about two hours
    python -m benchmarks --quick                  # a minute
    python -m benchmarks --models zoo-q4 --sizes 768x512 --picture kodim01.png

It prints the times of each setting, then the page docs/benchmarks.md.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from benchmarks import pages, seeded
from benchmarks.measure import Result, run
from mbtref.files import write_whole
from mbtref.modelfile import EMBEDDED
from mbtref.workbench import picturefiles
from mbtref.workbench.arguments import Parser, checked, count, input_file, names, wanted_model
from mbtref.workbench.errors import DownloadError
from mbtref.workbench.zoo import ZOO

WIDTHS = {"192": (192, 192), "192-320": (192, 320)}
"""N and M of the models with seeded weights."""
QUICK = {"models": ["lite-q4"], "sizes": [(256, 256)], "threads": [1], "rounds": 1}
MADE = (512, 768)
"""Height and width of the picture that is made if none is given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if a setting was measured, otherwise 1."""
    options = parsed(arguments)
    picture = picturefiles.read(options.picture) if options.picture else seeded.clouds(*MADE)
    results: list[Result] = []
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Path] = {}
        for name in options.models:
            try:
                files[name] = file_of(name, Path(folder))
            except (ValueError, OSError, DownloadError) as error:
                not_run[name] = str(error)
        settings = list(itertools.product(files, options.sizes, options.threads))
        for model, (height, width), threads in (bar := tqdm(settings, disable=None)):
            setting = f"{model}, {width}×{height}, threads: {threads}"
            bar.set_description(setting)
            sized = seeded.sized(picture, height, width)
            try:
                results.append(run(model, files[model], sized, threads, options.rounds))
            except BrokenProcessPool:
                not_run[setting] = "a process was killed; it may have needed more memory than there is"
            else:
                tqdm.write(f"{pages.times(results[-1])}\n")
    what = options.picture.name if options.picture else "a made one"
    page = pages.page(results, not_run, what, options.rounds)
    print(page, end="")
    if options.json:
        settings_run = [result._asdict() for result in results]
        record = {"machine": pages.machine(), "picture": what, "settings": settings_run, "not_run": not_run}
        write_whole(options.json, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    if options.markdown:
        write_whole(options.markdown, page.encode())
    return 0 if results else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. With --quick, the defaults are those of QUICK."""
    parser = Parser(prog="python -m benchmarks", description="Compares the speed of mbtref and CompressAI.")
    known = ", ".join((*EMBEDDED, *WIDTHS, *ZOO))
    counts = checked(lambda text: [count(number) for number in names(text)])
    parser.add_argument("--models", type=names, default=["lite-q4", *WIDTHS], help=f"of {known}, or model files")
    parser.add_argument("--sizes", type=checked(sizes), default=sizes("256,768x512,1024,2048,4096"),
                        help="WIDTHxHEIGHT, or the side of a square")  # fmt: skip
    parser.add_argument("--threads", type=counts, default=[1, 2], help="of PyTorch")
    parser.add_argument("--rounds", type=checked(count), default=5, help="how often each call is timed, at most")
    parser.add_argument("--picture", type=checked(input_file), help="what to code; default: a made picture")
    parser.add_argument("--json", type=Path, help="a file for all medians")
    parser.add_argument("--markdown", type=Path, help="a file for the page")
    parser.add_argument("--quick", action="store_true", help="one small setting unless other options say more")
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def sizes(text: str) -> list[tuple[int, int]]:
    """An argument of sizes: height and width of each."""
    sides = [[count(side) for side in size.split("x")] for size in names(text)]
    if not all(len(size) <= 2 for size in sides):
        raise ValueError(f"{text}: give sizes such as 256,768x512")
    return [(size[-1], size[0]) for size in sides]


def file_of(name: str, folder: Path) -> Path:
    """Puts a model's file into a folder. Raises ValueError if there is no such model, OSError, DownloadError."""
    path = folder / f"{Path(name).stem}.safetensors"
    if name in WIDTHS:
        seeded.make(*WIDTHS[name], path)
    else:
        path.write_bytes(wanted_model(name).get(None).data())
    return path


if __name__ == "__main__":
    sys.exit(main())
