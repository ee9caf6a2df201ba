"""Types of command-line arguments: files, folders, models.

Each is a function from the text to the value. It raises ValueError or OSError, which `checked` makes one line and
status 2.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from mbtref.files import destination
from mbtref.modelfile import EMBEDDED, SERIES, description
from mbtref.suite.reports.markup import plain
from mbtref.workbench.bounded import check_ends

if TYPE_CHECKING:
    from mbtref.workbench.modelfiles import ModelFile

T = TypeVar("T")


class WrongUse(Exception):
    """Arguments that are right one by one, but not together. The command line ends with status 2."""


class Wanted(NamedTuple):
    """A model that an argument names. Its file is read after all arguments are checked: it may need a download."""

    name: str
    get: "Callable[[Path | None], ModelFile]"
    """Gives its file. The argument is another checkpoint of a zoo model, or None. Errors as for `zoo.get`."""
    path: Path | None = None
    """Where that file is, unless it is the package's. It may not exist."""
    in_zoo: bool = False


class Parser(argparse.ArgumentParser):
    """A parser that answers wrong use with one line and status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {plain(message)} (see '{self.prog} --help')\n")


def checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """An argument type that shows the text of a ValueError or OSError of `convert`."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def place(text: str) -> Path:
    """A path that has a name: an empty one would be the working folder."""
    if not text:
        raise ValueError("an empty name; . is the working folder")
    return Path(text)


def input_path(text: str) -> Path:
    """A file that has an end, or a folder."""
    path = place(text)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    check_ends(path)
    return path


def input_file(text: str) -> Path:
    if (path := input_path(text)).is_dir():
        raise ValueError(f"{path}: is a folder")
    return path


def input_folder(text: str) -> Path:
    return output_folder(str(input_path(text)))


def evaluation(text: str) -> str:
    """A file of `mbtref eval --json`, or a published curve; whether there is one is seen when it is read."""
    if os.path.exists(text):
        check_ends(Path(text))
    return text


def or_standard(standard: Path, kind: Callable[[str], Path]) -> Callable[[str], Path]:
    """The type of a path that may be `-`. standard: what this stands for. kind: the type of any other path."""
    return lambda text: standard if text == "-" else kind(text)


def stream_file(text: str) -> Path:
    """A stream to write. It isn't named as a picture."""
    import mimetypes

    if (mimetypes.guess_type(text)[0] or "").startswith("image/"):
        raise ValueError(f"{text}: a stream isn't a picture; let the name end in .mbt")
    return output_file(text)


def output_file(text: str) -> Path:
    """A file to write, in a folder that exists."""
    path = place(text)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder")
    if not (path.parent.is_dir() and destination(path).parent.is_dir()):
        raise ValueError(f"{path}: its folder does not exist")
    return path


def output_folder(text: str) -> Path:
    """A folder to write to. It need not exist."""
    path = place(text)
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise ValueError(f"{there}: is not a folder")
    return path


def file_named(suffix: str) -> Callable[[str], Path]:
    """The type of an output file whose name must end in `suffix`, so that a slip overwrites no other file."""

    def named(text: str) -> Path:
        if not text.lower().endswith(suffix):
            raise ValueError(f"{text}: the name must end in {suffix}, the format of the file")
        return output_file(text)

    return named


def size(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise ValueError(f"{text}: give 0 or more")
    return number


def count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ValueError(f"{text}: give a whole number, 1 or more")
    return number


def port(text: str) -> int:
    number = count(text)
    if number >= 1 << 16:
        raise ValueError(f"{text}: ports go up to 65535")
    return number


def names(text: str) -> list[str]:
    """Names, separated by commas."""
    return [name.strip() for name in text.split(",")]


def wanted_model(text: str) -> Wanted:
    """An embedded model, a zoo model, or a model file."""
    from mbtref.workbench import modelfiles, zoo

    if text in zoo.ZOO:
        return Wanted(text, lambda weights: zoo.get(text, weights), zoo.model_file(text), in_zoo=True)
    if text in EMBEDDED:
        return Wanted(text, lambda weights: modelfiles.of_package(text))
    path = Path(text)
    if not path.is_file():
        raise ValueError(
            f"no model {text!r}: give the path of a model file, or one of {', '.join((*EMBEDDED, *zoo.ZOO))}"
        )
    try:
        description(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not a model file of mbtref; make one with 'mbtref import'") from error
    return Wanted(plain(path.stem), lambda weights: modelfiles.of_path(path), path)


def one_model(text: str) -> list[Wanted]:
    return [wanted_model(text)]


def models(text: str) -> list[Wanted]:
    """Models and series, separated by commas. A series stands for all its models."""
    asked = chain.from_iterable(SERIES.get(name, (name,)) for name in parted(text))
    choices = [wanted_model(name) for name in asked]
    names = [wanted.name for wanted in choices]
    if len(set(names)) < len(names):
        raise ValueError(f"two models have the same name in {', '.join(names)}: rename a file")
    return choices


def parted(text: str) -> Iterator[str]:
    """Names, separated by commas. A comma in the name of a file that exists is part of it."""
    parts = text.split(",")
    while parts:
        starts = (",".join(parts[:end]) for end in range(len(parts), 1, -1))
        name = next(filter(os.path.isfile, starts), parts[0])
        yield name
        del parts[: name.count(",") + 1]


def curves(text: str) -> list[str]:
    """Names of published curves."""
    from mbtref.workbench.facts import published_curves

    names = text.split(",")
    if unknown := [name for name in names if name not in published_curves()]:
        raise ValueError(f"no published curve {unknown[0]!r}: there are {', '.join(published_curves())}")
    return names
