"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line; an
empty command line shows the help.

Arguments are checked without PyTorch, which takes seconds to start. It is imported where a network runs.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import mbtref
from mbtref.errors import BitstreamError
from mbtref.workbench import tasks
from mbtref.workbench.arguments import Parser, WrongUse
from mbtref.workbench.commands import Command, add_to, checking, coding, getting, making, measuring
from mbtref.workbench.commands.shared import refuse_overwriting
from mbtref.workbench.download import DownloadError
from mbtref.workbench.engine import EngineError

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


def parser() -> Parser:
    """The parser of all commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    version = f"mbtref {mbtref.__version__}"
    top.add_argument("--version", action="version", version=version, help="show the version")
    add_to(top, [each for part in PARTS for each in vars(part).values() if isinstance(each, Command)])
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. argv: without the program's name; default: the process's."""
    words = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console that lacks ✓ still shows the rest
    try:
        top = parser()
        if not words:
            top.print_help(sys.stderr)
            return 2
        status = run(top, words)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has closed it; Python must not flush it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WrongUse as error:
        top.error(str(error))
    except (BitstreamError, DownloadError, EngineError, MemoryError, ValueError, OSError) as error:
        print(f"mbtref: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"mbtref: needs {error.name}: pip install 'mbtref[{EXTRAS[error.name]}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mbtref: stopped", file=sys.stderr)
        return 130
    return status


def run(top: Parser, words: Sequence[str]) -> int:
    """Runs the command of a command line. Raises WrongUse, and what the command raises."""
    args, options = top.parse_known_args(words)
    if "options" in args:
        args.options = options  # pytest parses them
    elif options:
        raise WrongUse(f"unrecognized arguments: {' '.join(options)}")
    args.words = words
    if isinstance(output := vars(args).get("output"), Path):
        refuse_overwriting(words, [output], [], 1)
    with tasks.enough_memory():
        status: int = args.run(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
