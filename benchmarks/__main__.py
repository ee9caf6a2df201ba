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
from benchmarks.machine import describe
from benchmarks.pictures import clouds, sized
from benchmarks.settings import Result, Setting, run
from mbtref.files import write_whole
from mbtref.modelfile import EMBEDDED
from mbtref.suite.subjects.data import model_file
from mbtref.workbench import picturefiles, zoo
from mbtref.workbench.arguments import Parser, checked, input_file, names
from mbtref.workbench.download import DownloadError
from mbtref.workbench.names import ZOO

WIDTHS = {"192": (192, 192), "192-320": (192, 320)}
"""N and M of the models with seeded weights."""
QUICK = {"models": ["lite-q4"], "sizes": [(256, 256)], "threads": [1], "rounds": 1}
MADE = (512, 768)
"""Height and width of the picture that is made if none is given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if a setting was measured, otherwise 1."""
    options = parsed(arguments)
    picture = picturefiles.read(options.picture) if options.picture else clouds(*MADE)
    results: list[Result] = []
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = found(options.models, Path(folder), not_run)
        settings = list(itertools.product(files, options.sizes, options.threads))
        for model, (height, width), threads in (bar := tqdm(settings, disable=None)):
            setting = Setting(model, height, width, threads)
            bar.set_description(str(setting))
            try:
                result = run(setting, files[model], sized(picture, height, width), options.rounds)
            except BrokenProcessPool:
                not_run[str(setting)] = "a process was killed; it may have needed more memory than there is"
                continue
            results.append(result)
            tqdm.write("\n".join(pages.times(result)))
    what = options.picture.name if options.picture else "a made one"
    write(pages.Run(describe(), what, options.rounds, results, not_run), options.json, options.markdown)
    return 0 if results else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; those of QUICK are defaults if it is asked for."""
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
    parser.add_argument("--quick", action="store_true", help="one small setting, if nothing else is said")
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def sizes(text: str) -> list[tuple[int, int]]:
    """An argument of sizes: height and width of each."""
    sides = [[int(side) for side in size.split("x")] for size in names(text)]
    if not all(len(size) <= 2 and min(size) > 0 for size in sides):
        raise ValueError(f"{text}: give sizes such as 256,768x512")
    return [(size[-1], size[0]) for size in sides]


def counts(text: str) -> list[int]:
    """An argument of positive integers."""
    numbers = [int(number) for number in names(text)]
    if min(numbers) < 1:
        raise ValueError(f"{text}: give numbers from 1 on")
    return numbers


def found(models: Sequence[str], folder: Path, not_run: dict[str, str]) -> dict[str, Path]:
    """The file of each model that there is. folder: for models that are made. Others get a reason in not_run."""
    files = {}
    for name in models:
        try:
            files[name] = file_of(name, folder)
        except (ValueError, OSError, DownloadError) as error:
            not_run[name] = str(error)
    return files


def file_of(name: str, folder: Path) -> Path:
    """A model's file, made in the folder if its weights are seeded. Raises as `zoo.load` does."""
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


def write(done: pages.Run, to_json: Path | None, to_markdown: Path | None) -> None:
    """Prints the tables of a run, and writes the files that are wanted."""
    print("\n".join([*pages.sections(done), *pages.refusals(done.not_run)]))
    if to_json:
        write_whole(to_json, (json.dumps(pages.record(done), indent=1, ensure_ascii=False) + "\n").encode())
    if to_markdown:
        write_whole(to_markdown, pages.page(done).encode())


if __name__ == "__main__":
    sys.exit(main())
