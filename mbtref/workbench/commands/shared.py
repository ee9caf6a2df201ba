"""What several commands share: options, and the checks that need more than one argument."""

import argparse
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mbtref.devices import check_kind
from mbtref.modelfile import EMBEDDED, SERIES
from mbtref.workbench.arguments import Wanted, WrongUse, count, file_named, input_file, output_folder
from mbtref.workbench.commands import Option, option
from mbtref.workbench.inputs import overwritten, subfolders
from mbtref.workbench.terminal import warn

if TYPE_CHECKING:
    from mbtref.workbench.modelfiles import ModelFile

A_MODEL = f"{', '.join(EMBEDDED)}, a zoo model (see 'mbtref zoo list'), or a model file"
MODELS = f"{A_MODEL}; {' or '.join(SERIES)} stands for all models of its series"

WEIGHTS = option("--weights", kind=input_file, metavar="FILE",
                 help="the checkpoint of the zoo model, in place of a download")  # fmt: skip
DEVICE = option("--device", kind=check_kind, default="cpu", metavar="NAME",
                help="where the networks run, such as cuda; default: %(default)s")  # fmt: skip
JOBS = option("--jobs", kind=count, default=1, metavar="N",
              help="processes that share the work and the cores; default: this one alone")  # fmt: skip
FORCE = option("--force", action="store_true", help="write over a file that holds measurements")
OUTPUT_FOLDER = option("-o", dest="output", kind=output_folder, metavar="DIR", required=True)
OUTPUTS = ("output", "csv", "markdown")
"""The arguments that name what is written; any other path is read."""


def output(metavar: str) -> Option:
    """The file that a command writes. metavar: a name with the suffix that it must have."""
    return option("-o", dest="output", kind=file_named(Path(metavar).suffix), metavar=metavar, required=True)


def refuse_overwriting(
    args: argparse.Namespace, targets: Iterable[Path] = (), sources: Iterable[Path] = ()
) -> None:
    """Raises WrongUse if a command would write over what it reads.

    targets, sources: the files that it writes and reads beside those that its arguments name.
    """
    named = {name: paths(value) for name, value in vars(args).items()}
    outputs = [path for name in OUTPUTS for path in named.pop(name, [])]
    if lost := overwritten([*outputs, *targets], [*chain(*named.values()), *sources]):
        raise WrongUse(f"{lost} is an input; name another output")


def paths(value: object) -> list[Path]:
    """The paths in the value of an argument."""
    each = [getattr(one, "path", one) for one in (value if isinstance(value, list) else [value])]
    return [path for path in each if isinstance(path, Path)]


def refuse_losing(path: Path, advice: str = "") -> None:
    """Raises WrongUse if there are measurements in a file. advice: another way than --force."""
    if path.is_file() and path.stat().st_size:
        raise WrongUse(f"{path} already holds measurements: {advice}--force overwrites it")


def say_skipped(paths: Iterable[Path]) -> None:
    """Says on stderr, in one line, which subfolders of the input folders are skipped."""
    if skipped := subfolders(paths):
        warn(f"mbtref: skipped subfolders {', '.join(map(str, skipped))}: name them as inputs")


def model_files(args: argparse.Namespace) -> "list[ModelFile]":
    """The files of `args.model`, downloaded if need be: call it after all other checks.

    Raises WrongUse if --weights isn't for one zoo model; other errors as for `Wanted.get`.
    """
    wanted: list[Wanted] = args.model or []
    if args.weights and not (len(wanted) == 1 and wanted[0].in_zoo):
        raise WrongUse("--weights is the checkpoint of one zoo model: name this model with --model")
    files = [each.get(args.weights) for each in wanted]
    if args.weights and files[0].name != wanted[0].name:
        name = wanted[0].name
        warn(f"mbtref: {args.weights} isn't the published checkpoint of {name}: the model is {files[0].name}")
    return files
