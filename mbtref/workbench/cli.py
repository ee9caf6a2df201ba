"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line; an
empty command line shows the help.

Arguments are checked without PyTorch, which takes seconds to start. It is imported where a network runs.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import mbtref
from mbtref.errors import BitstreamError
from mbtref.workbench import terminal
from mbtref.workbench.arguments import Parser, WrongUse
from mbtref.workbench.commands import Command, add_to, checking, coding, getting, making, measuring
from mbtref.workbench.commands.shared import refuse_overwriting
from mbtref.workbench.errors import DownloadError, EngineError, enough_memory
from mbtref.workbench.terminal import warn

EXTRAS = {
    **dict.fromkeys(("safetensors", "torch"), "codec"),
    **dict.fromkeys(("bjontegaard", "jinja2", "matplotlib"), "report"),
    **dict.fromkeys(("dask", "distributed"), "cluster"),
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
    "flint": "import",
    "jsonschema": "vectors",
}
"""The extra that installs each package that only some commands need."""
PARTS = (coding, measuring, getting, checking, making)
"""The modules of the commands, in the order of the help."""


class ShowVersion(argparse.Action):
    """Shows the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        print(f"mbtref {mbtref.__version__}")
        parser.exit()


def parser() -> Parser:
    """The parser of all commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="show the version")
    add_to(top, [each for part in PARTS for each in vars(part).values() if isinstance(each, Command)])
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. argv: without the program's name; default: the process's."""
    terminal.begin()
    return terminal.end(answer(sys.argv[1:] if argv is None else argv))


def answer(words: Sequence[str]) -> int:
    """Runs the command of a command line, and says in a line what it raises. Returns the exit status."""
    try:
        top = parser()
        if words:
            return run(top, words)
        top.print_help(sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader of our output has enough
        return 1
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        warn(f"mbtref: needs {error.name}: pip install 'mbtref[{EXTRAS[error.name]}]'")
        return 1
    except (BitstreamError, DownloadError, EngineError, ImportError, MemoryError, ValueError, OSError) as error:
        warn(f"mbtref: {error}")
        return 1
    except KeyboardInterrupt:
        warn("mbtref: stopped")
        return 130


def run(top: Parser, words: Sequence[str]) -> int:
    """Runs the command of a command line. Raises SystemExit for wrong use, and what the command raises."""
    with enough_memory():
        args, options = top.parse_known_args(words)
        if "options" in args:
            args.options = options  # pytest parses them
        elif options:
            top.error(f"unrecognized arguments: {' '.join(options)}")
        args.words = words
        try:
            refuse_overwriting(args)
            status: int = args.run(args)
        except WrongUse as error:
            top.error(str(error))
    return status


if __name__ == "__main__":
    sys.exit(main())
