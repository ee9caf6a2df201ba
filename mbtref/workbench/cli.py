"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line, but a
command line without words is answered by the help.

Arguments are checked without PyTorch, which takes seconds to start. It is imported where a network runs.
"""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn, TypeAlias, cast

from mbtref.errors import BitstreamError
from mbtref.modelfile import EMBEDDED, SERIES
from mbtref.suite.kodak import FOLDER_VARIABLE
from mbtref.workbench import commands
from mbtref.workbench.arguments import (
    Parser,
    Wanted,
    checked,
    count,
    curves,
    device,
    file_named,
    input_file,
    input_folder,
    input_path,
    models,
    names,
    or_standard,
    output_file,
    output_folder,
    size,
    stream_file,
    wanted_model,
    zoo_names,
)
from mbtref.workbench.download import DownloadError
from mbtref.workbench.errors import EngineError
from mbtref.workbench.inputs import (
    STDIN,
    STDOUT,
    Pair,
    find_pictures,
    find_streams,
    overwritten,
    pairs,
    subfolders,
)
from mbtref.workbench.names import KODAK_URL, MEASURES, PAGE, version

if TYPE_CHECKING:
    import pytest

EXTRAS = {
    **dict.fromkeys(("safetensors", "torch"), "codec"),
    **dict.fromkeys(("bjontegaard", "jinja2", "matplotlib"), "report"),
    **dict.fromkeys(("dask", "distributed"), "cluster"),
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
    "flint": "import",
    "jsonschema": "vectors",
}
"""The extra that installs each package that only some commands need."""
NAMES = f"{', '.join(EMBEDDED)}, a zoo model (see 'mbtref zoo list'), or a model file"
SEVERAL = f"{NAMES}; {' or '.join(SERIES)} stands for the models of its ladder"
FOUND = "a model as for encode; default: the stream's, if it is embedded or a zoo model that was used before"
SEPARATORS = tuple(sign for sign in (os.sep, os.altsep) if sign)
"""A path that ends in one of these names a folder."""
Group: TypeAlias = "argparse._SubParsersAction[Parser]"


def parser() -> Parser:
    """The parser of all commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="show the version")
    to = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for add_commands in (coding, measuring, getting, checking, making):
        add_commands(to)
    return top


class ShowVersion(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        print(f"mbtref {version()}")
        parser.exit()


class ShowSuiteHelp(argparse.Action):
    """Shows the help of a command with the options of the suite, which are looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        from mbtref.suite.plugin import pytest_addoption

        group = SimpleNamespace(addoption=parser.add_argument_group("options of the suite").add_argument)
        pytest_addoption(cast("pytest.Parser", SimpleNamespace(getgroup=lambda name: group)))
        parser.print_help()
        parser.exit()


def command(
    to: Group, name: str, run: Callable[[argparse.Namespace], int], text: str, add_help: bool = True
) -> Parser:
    """Adds a command. text: its purpose, in half a line. add_help: whether it has argparse's own --help."""
    description = f"{text[0].upper()}{text[1:]}."
    added: Parser = to.add_parser(name, help=text, description=description, add_help=add_help)
    added.set_defaults(run=run)
    return added


def subcommands(to: Group, name: str, text: str) -> Group:
    """Adds a command that has commands of its own."""
    group: Group = to.add_parser(name, help=text).add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser
    )
    return group


def output(to: Parser, name: str, kind: Callable[[str], Path] = output_file) -> None:
    to.add_argument("-o", dest="output", type=checked(kind), metavar=name, required=True)


def many_options(
    to: Parser, inputs: str, name: str, find: Callable[[Sequence[Path]], list[Path]], suffix: str,
    kind: Callable[[str], Path],
) -> None:  # fmt: skip
    """Inputs and output of encode and decode. suffix: of outputs in a folder. kind: the type of one output."""
    to.add_argument("inputs", type=checked(or_standard(STDIN, input_path)), nargs="+",
                    metavar=f"{inputs}_OR_FOLDER", help=f"{name}; - is standard input")  # fmt: skip
    to.add_argument("-o", dest="output", metavar=f"OUT{suffix}_OR_FOLDER", required=True,
                    help=f"one file, or the folder of many, each NAME{suffix}; - is standard output")  # fmt: skip
    jobs_option(to)
    to.set_defaults(find=find, suffix=suffix, kind=or_standard(STDOUT, kind))


def jobs_option(to: "argparse._ActionsContainer") -> None:
    to.add_argument("--jobs", type=checked(count), default=1, metavar="N",
                    help="processes that share the work and the cores; default: this one alone")  # fmt: skip


def force_option(to: "argparse._ActionsContainer") -> None:
    to.add_argument("--force", action="store_true", help="write over a file that holds measurements")


def weights_option(to: Parser) -> None:
    to.add_argument("--weights", type=checked(input_file), metavar="FILE",
                    help="the checkpoint of the zoo model, in place of a download")  # fmt: skip


def reproducible_option(to: Parser, what: str) -> None:
    to.add_argument("--reproducible", action="store_true", help=f"the same {what} on every machine; takes longer")


def device_option(to: Parser) -> None:
    to.add_argument("--device", type=checked(device), default="cpu", metavar="NAME",
                    help="where the networks run, such as cuda; default: %(default)s")  # fmt: skip


def coding(to: Group) -> None:
    """Commands on pictures and streams."""
    add = command(to, "encode", commands.encode, "encode pictures")
    many_options(add, "IMAGE", "opaque pictures that Pillow can read", find_pictures, ".mbt", stream_file)
    add.add_argument("--model", type=checked(wanted_model), default="lite-q4", help=f"{NAMES}; default: lite-q4")
    weights_option(add)
    reproducible_option(add, "bytes")
    device_option(add)

    add = command(to, "decode", commands.decode, "decode streams to PNG pictures")
    many_options(add, "IN.mbt", "streams of 'mbtref encode'", find_streams, ".png", file_named(".png"))
    add.add_argument("--model", type=checked(wanted_model), help=FOUND)
    weights_option(add)
    reproducible_option(add, "pixels")
    device_option(add)

    add = command(to, "inspect", commands.inspect, "show the headers of streams and the sizes of their parts")
    add.add_argument("streams", type=checked(or_standard(STDIN, input_file)), nargs="+", metavar="IN.mbt",
                     help="- is standard input")  # fmt: skip
    add.add_argument("--model", type=checked(wanted_model), help=FOUND)
    weights_option(add)


def measuring(to: Group) -> None:
    """Commands that measure, compare and show."""
    add = command(
        to, "eval", commands.run_evaluation, "measure rate and distortion: forward pass, latent buffers, bitstream"
    )
    add.add_argument("pictures", type=checked(input_path), nargs="*", metavar="IMAGE_OR_FOLDER",
                     help="default: the Kodak pictures")  # fmt: skip
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=SEVERAL)
    weights_option(add)
    add.add_argument(
        "--json",
        dest="output",
        type=checked(file_named(".json")),
        metavar="OUT.json",
        help="write all figures here",
    )
    goes_on = add.add_mutually_exclusive_group()
    goes_on.add_argument(
        "--resume", action="store_true", help="measure only what OUT.json lacks, and keep all that it has"
    )
    force_option(goes_on)
    device_option(add)
    where = add.add_mutually_exclusive_group()
    jobs_option(where)
    where.add_argument("--cluster", metavar="ADDRESS",
                       help="measure on a running Dask cluster: the address of its scheduler")  # fmt: skip

    add = command(
        to, "compare", commands.run_comparison, "compare two evaluations: BD-rate and BD-PSNR of B against A"
    )
    for name in ("first", "second"):
        add.add_argument(name, metavar=f"{'A' if name == 'first' else 'B'}.json",
                         help="file of 'mbtref eval --json', or a published curve, such as vtm")  # fmt: skip
    add.add_argument("--rate", choices=MEASURES, default="bitstream", help="default: %(default)s")

    add = command(to, "report", commands.make_report, "make one page of all figures and results")
    add.add_argument("pictures", type=checked(input_path), nargs="+", metavar="IMAGE_OR_FOLDER")
    add.add_argument("--model", type=checked(models), default="wide", metavar="MODEL[,MODEL...]",
                     help=f"{SEVERAL}; default: %(default)s")  # fmt: skip
    weights_option(add)
    output(add, "DIR", output_folder)
    force_option(add)
    add.add_argument("--curves", type=checked(curves), metavar="NAME[,NAME...]",
                     help="published curves to draw, such as jpeg, webp and vtm")  # fmt: skip
    add.add_argument("--limit", type=checked(size), default=25, metavar="MB",
                     help="a page larger than this gets no more figures; default: %(default)s")  # fmt: skip

    add = command(
        to,
        "notebook-check",
        commands.notebook_check,
        "compare the zoo models with their known figures",
    )
    add.add_argument("--weights-from", type=checked(input_folder), metavar="FOLDER",
                     help="folder of the published checkpoints; default: the cache")  # fmt: skip
    add.add_argument(
        "--kodak", action="store_true", help="check the means over Kodak too, which takes about half an hour"
    )


def getting(to: Group) -> None:
    """Commands that download pictures and models."""
    group = subcommands(to, "kodak", "get or check the 24 Kodak pictures")
    add = command(group, "fetch", commands.kodak_fetch, "download the missing pictures")
    add.add_argument("--to", type=Path, help=f"folder; default: {FOLDER_VARIABLE}, or the cache")
    add.add_argument(
        "--url",
        default=KODAK_URL,
        help="address of the folder of kodim01.png to kodim24.png; default: %(default)s",
    )
    command(group, "check", commands.kodak_check, "compare the pixels with their SHA-256")

    group = subcommands(to, "zoo", "get or list CompressAI's published models")
    command(group, "list", commands.zoo_list, "show the names, and which of their files are in the cache")
    add = command(group, "fetch", commands.zoo_fetch, "download missing checkpoints and make their model files")
    add.add_argument("names", type=checked(zoo_names), metavar="NAME[,NAME...]")
    add.add_argument("--url", help="address of the published files; default: CompressAI's")


def checking(to: Group) -> None:
    """Commands of the conformance suite and its vectors."""
    add = command(
        to, "conformance", commands.run_conformance,
        "check an implementation; options as for 'pytest conformance'", add_help=False,
    )  # fmt: skip
    add.set_defaults(options=[])
    add.add_argument("-h", "--help", action=ShowSuiteHelp, nargs=0, help="show this help message and exit")
    add.epilog = (
        "For example --subject mypkg.codec:Subject --capabilities rans,buffers --tier smoke --report FILE.json. "
        "All options of pytest are understood too; docs/subjects.md explains them."
    )

    add = command(
        to, "matrix", commands.make_matrix, "make a table of implementations and requirements from reports"
    )
    add.add_argument("reports", type=checked(input_file), nargs="+", metavar="REPORT.json")
    add.add_argument(
        "--html",
        dest="output",
        type=checked(file_named(".html")),
        metavar="OUT.html",
        help="write the table as a page too",
    )
    add.add_argument(
        "--markdown",
        type=checked(file_named(".md")),
        metavar="OUT.md",
        help="write the table as a page of docs too",
    )

    add = command(to, "badge", commands.make_badge, "say which levels a report gives, and make a badge of it")
    add.add_argument("report", type=checked(input_file), metavar="REPORT.json")
    add.add_argument("-o", dest="output", type=checked(file_named(".svg")), required=True, metavar="BADGE.svg")

    add = command(to, "requirements", commands.list_requirements, "write the table of all requirements")
    output(add, "OUT.md", file_named(".md"))

    add = command(
        to,
        "machines",
        commands.try_machines,
        "compare decoding on this machine with simulated and emulated machines",
    )
    output(add, "OUT.md", file_named(".md"))

    group = subcommands(to, "vectors", "make or check the golden vectors")
    add = command(group, "generate", commands.vectors_generate, "make all vectors again and print what moved")
    add.add_argument("--to", type=Path, help="folder; default: the project's own vectors")
    add.add_argument("--only", type=names, default=(), metavar="ID[,ID...]",
                     help="requirements, such as RANS-1; the vectors of all others stay as they are")  # fmt: skip
    add = command(
        group,
        "check",
        commands.vectors_check,
        "make the vectors in another folder and compare them with the frozen ones",
    )
    add.add_argument("--without-kodak", action="store_true", help="leave out the Kodak part, which takes minutes")
    command(
        group, "measure", commands.vectors_measure,
        "compare tolerances and margins with correct implementations, on simulated processors too",
    )  # fmt: skip


def making(to: Group) -> None:
    """Commands that make model files, exports and tables."""
    add = command(
        to, "import", commands.import_checkpoint, "make a model file from CompressAI's weights, with its tables"
    )
    add.add_argument("checkpoint", type=checked(input_file), metavar="CHECKPOINT",
                     help=".safetensors; anything else is read as a .pth or .pth.tar")  # fmt: skip
    output(add, "MODEL.safetensors", file_named(".safetensors"))

    add = command(to, "export", commands.export_models, "write models as ONNX files, for other runtimes")
    add.add_argument("model", type=checked(models), metavar="MODEL[,MODEL...]", help=SEVERAL)
    weights_option(add)
    output(add, "DIR", output_folder)

    add = command(
        to, "tables", commands.make_tables, "make the Gaussian tables again; the tables of the package are frozen"
    )
    output(add, "OUT.safetensors", file_named(".safetensors"))


def pair_files(parser: Parser, args: argparse.Namespace) -> None:
    """Sets `args.pairs`, the files that are read and written, and `args.many`, whether -o is a folder."""
    alone = len(args.inputs) == 1 and not args.inputs[0].is_dir()
    args.many = not alone or Path(args.output).is_dir() or args.output.endswith(SEPARATORS)
    if args.many and (STDIN in args.inputs or args.output == "-"):
        parser.error("- stands for one file: name one input and one output, no folder")
    try:
        if args.many:
            args.pairs = pairs(args.find(args.inputs), output_folder(args.output), args.suffix)
        else:
            args.pairs = [Pair(args.inputs[0], args.kind(args.output))]
    except (ValueError, OSError) as error:
        parser.error(str(error))


def say_skipped(args: argparse.Namespace) -> None:
    """Says on stderr, in one line, which subfolders of the input folders are skipped."""
    if skipped := subfolders([*vars(args).get("inputs", ()), *vars(args).get("pictures", ())]):
        print(f"mbtref: skipped subfolders {', '.join(map(str, skipped))}: name them as inputs", file=sys.stderr)


def refuse_losing(parser: Parser, args: argparse.Namespace) -> None:
    """Refuses, as wrong use, to write over a file of measurements without being told to."""
    if "force" not in args or args.force or not args.output:
        return
    resumable = "resume" in args
    path: Path = args.output if resumable else args.output / PAGE
    if not (resumable and args.resume) and path.is_file() and path.stat().st_size:
        goes_on = "--resume goes on with it, " if resumable else ""
        parser.error(f"{path} is there and holds measurements: {goes_on}--force writes it anew")


def refuse_overwriting(parser: Parser, args: argparse.Namespace, words: Sequence[str]) -> None:
    """Refuses, as wrong use, an output that is also an input. words: the command line."""
    named = [Path(part.rpartition("=")[2]) for word in words for part in word.split(",")]
    if "pairs" in args:
        sources, targets = zip(*args.pairs, strict=True)
        lost = overwritten(targets, [*named, *sources], 0 if args.many else 1)
    else:
        output = vars(args).get("output")
        lost = overwritten([output] if output else [], named, 1)
    if lost:
        parser.error(f"{lost} is an input; name another output")


def get_models(parser: Parser, args: argparse.Namespace) -> None:
    """Replaces what `args.model` names by model files. Call it after all arguments are checked."""
    several = isinstance(args.model, list)
    wanted: list[Wanted] = args.model if several else [args.model] if args.model else []
    if args.weights and not (len(wanted) == 1 and wanted[0].in_zoo):
        parser.error("--weights is the checkpoint of one zoo model: name this model with --model")
    files = [one.get(args.weights) for one in wanted]
    if args.weights and files[0].name != wanted[0].name:
        line = f"{args.weights} isn't the published checkpoint of {wanted[0].name}: the model is {files[0].name}"
        print(f"mbtref: {line}", file=sys.stderr)
    args.model = files if several else files[0] if files else None


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
        args, options = top.parse_known_args(words)
        if "options" in args:
            args.options = options  # pytest parses them
        elif options:
            top.error(f"unrecognized arguments: {' '.join(options)}")
        args.command = shlex.join(("mbtref", *words))
        if "inputs" in args:
            pair_files(top, args)
        refuse_overwriting(top, args, words)
        if vars(args).get("resume") and not args.output:
            top.error("--resume needs --json, the file to continue")
        refuse_losing(top, args)
        say_skipped(args)
        if "model" in args:
            get_models(top, args)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has closed it; Python must not flush it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BitstreamError, DownloadError, EngineError, MemoryError, ValueError, OSError) as error:
        print(f"mbtref: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"mbtref: needs {error.name}: pip install 'mbtref[{EXTRAS[error.name]}]'", file=sys.stderr)
        return 1
    except RuntimeError as error:  # PyTorch has no special type for lack of memory
        if "allocate memory" not in str(error):
            raise
        print("mbtref: not enough memory for this picture and model", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mbtref: stopped", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
