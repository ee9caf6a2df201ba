"""The benchmark: mbtref and CompressAI in one run.

    python -m benchmarks                          # about two hours
    python -m benchmarks --quick                  # a minute
    python -m benchmarks --models zoo-q4 --sizes 768x512 --picture kodim01.png

It prints the times of each setting, then the tables of the page docs/benchmarks.md.
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
from benchmarks.measure import Result, Setting, run
from mbtref.files import write_whole
from mbtref.modelfile import EMBEDDED
from mbtref.suite.subjects.data import model_file
from mbtref.workbench import picturefiles, zoo
from mbtref.workbench.arguments import Parser, checked, count, input_file, names
from mbtref.workbench.download import DownloadError
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
            setting = Setting(model, height, width, threads)
            bar.set_description(str(setting))
            try:
                results.append(run(setting, files[model], seeded.sized(picture, height, width), options.rounds))
            except BrokenProcessPool:
                not_run[str(setting)] = "a process was killed; it may have needed more memory than there is"
            else:
                tqdm.write("\n".join(pages.times(results[-1])))
    what = options.picture.name if options.picture else "a made one"
    done = pages.Run(what, options.rounds, results, not_run)
    print("\n".join(pages.sections(done)))
    if options.json:
        write_whole(options.json, (json.dumps(pages.record(done), indent=1, ensure_ascii=False) + "\n").encode())
    if options.markdown:
        write_whole(options.markdown, pages.page(done).encode())
    return 0 if results else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. With --quick, the defaults are those of QUICK."""
    parser = Parser(prog="python -m benchmarks", description="Compares the speed of mbtref and CompressAI.")
    known = ", ".join((*EMBEDDED, *WIDTHS, *ZOO))
    parser.add_argument("--models", type=names, default=["lite-q4", *WIDTHS], help=f"of {known}, or model files")
    parser.add_argument("--sizes", type=checked(sizes), default=sizes("256,768x512,1024,2048,4096"),
                        help="WIDTHxHEIGHT, or the side of a square")  # fmt: skip
    parser.add_argument("--threads", type=checked(counts), default=[1, 2], help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="how often each call is timed, at most")
    parser.add_argument("--picture", type=checked(input_file), help="what to code; default: a made picture")
    parser.add_argument("--json", type=Path, help="a file for all medians")
    parser.add_argument("--markdown", type=Path, help="a file for the page")
    parser.add_argument("--quick", action="store_true", help="one small setting unless other options say more")
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def counts(text: str) -> list[int]:
    """An argument of positive integers."""
    return [count(number) for number in names(text)]


def sizes(text: str) -> list[tuple[int, int]]:
    """An argument of sizes: height and width of each."""
    sides = [[int(side) for side in size.split("x")] for size in names(text)]
    if not all(len(size) <= 2 and min(size) > 0 for size in sides):
        raise ValueError(f"{text}: give sizes such as 256,768x512")
    return [(size[-1], size[0]) for size in sides]


def file_of(name: str, folder: Path) -> Path:
    """A model's file, made in the folder if its weights are seeded. Raises ValueError, or as `zoo.load`."""
    if name in WIDTHS:
        path = folder / f"{name}.safetensors"
        seeded.make(*WIDTHS[name], path)
        return path
    if name in ZOO:
        zoo.load(name)
        return zoo.model_file(name)
    if name in EMBEDDED:
        return model_file(name)
    if not Path(name).is_file():
        raise ValueError("no such model, nor a model file")
    return Path(name)


if __name__ == "__main__":
    sys.exit(main())
