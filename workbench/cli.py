"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line.
"""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from mbtref.conformance.kodak import FOLDER_VARIABLE
from mbtref.embedded import EMBEDDED
from mbtref.errors import BitstreamError
from mbtref.workbench import commands
from mbtref.workbench.arguments import (
    Parser,
    checked,
    curves,
    file_named,
    input_file,
    input_folder,
    input_path,
    models,
    names,
    output_file,
    output_folder,
    size,
    wanted_model,
    zoo_names,
)
from mbtref.workbench.download import DownloadError
from mbtref.workbench.names import KODAK_URL, MEASURES

EXTRAS = {
    **dict.fromkeys(("safetensors", "torch"), "codec"),
    **dict.fromkeys(("hypothesis", "jsonschema", "pytest"), "suite"),
    **dict.fromkeys(("bjontegaard", "jinja2", "matplotlib"), "report"),
    "flint": "import",
}
"""The extra that installs each package that only some commands need."""
NAMES = f"{', '.join(EMBEDDED)}, a zoo model (see 'mbtref zoo list'), or a model file"
FOUND = "a model as for encode; default: the stream's, if it is embedded or a zoo model that was used before"
Group: TypeAlias = "argparse._SubParsersAction[Parser]"


def parser() -> Parser:
    """The parser of all commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    to = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for add_commands in (coding, measuring, getting, checking, making):
        add_commands(to)
    return top


def command(to: Group, name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
    """Adds a command. text: its purpose, in half a line."""
    added: Parser = to.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
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


def weights_option(to: Parser) -> None:
    to.add_argument("--weights", type=checked(input_file), metavar="FILE",
                    help="the checkpoint of the zoo model, in place of a download")  # fmt: skip


def reproducible_option(to: Parser, what: str) -> None:
    to.add_argument("--reproducible", action="store_true", help=f"the same {what} on every machine; takes longer")


def coding(to: Group) -> None:
    """Commands on one picture or stream."""
    add = command(to, "encode", commands.encode, "encode a picture")
    add.add_argument(
        "image", type=checked(input_file), metavar="IMAGE", help="an opaque picture that Pillow can read"
    )
    output(add, "OUT.mbt")
    add.add_argument("--model", type=checked(wanted_model), default="lite-q4", help=f"{NAMES}; default: lite-q4")
    weights_option(add)
    reproducible_option(add, "bytes")

    add = command(to, "decode", commands.decode, "decode a stream to a PNG picture")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    output(add, "OUT.png", file_named(".png"))
    add.add_argument("--model", type=checked(wanted_model), help=FOUND)
    weights_option(add)
    reproducible_option(add, "pixels")

    add = command(to, "inspect", commands.inspect, "show the header of a stream and the sizes of its parts")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    add.add_argument("--model", type=checked(wanted_model), help=FOUND)
    weights_option(add)


def measuring(to: Group) -> None:
    """Commands that measure, compare and show."""
    add = command(
        to, "eval", commands.run_evaluation, "measure rate and distortion: forward pass, latent buffers, bitstream"
    )
    add.add_argument("pictures", type=checked(input_path), nargs="*", metavar="IMAGE_OR_FOLDER",
                     help="default: the Kodak pictures")  # fmt: skip
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=NAMES)
    weights_option(add)
    add.add_argument(
        "--json",
        dest="output",
        type=checked(file_named(".json")),
        metavar="OUT.json",
        help="write all figures here",
    )
    add.add_argument("--resume", action="store_true", help="measure only the records that OUT.json lacks")

    add = command(
        to, "compare", commands.run_comparison, "compare two evaluations: BD-rate and BD-PSNR of B against A"
    )
    for name in ("first", "second"):
        add.add_argument(name, metavar=f"{'A' if name == 'first' else 'B'}.json",
                         help="file of 'mbtref eval --json', or a published curve, such as vtm")  # fmt: skip
    add.add_argument("--rate", choices=MEASURES, default="bitstream", help="default: %(default)s")

    add = command(to, "report", commands.make_report, "make one page of all figures and results")
    add.add_argument("pictures", type=checked(input_path), nargs="+", metavar="IMAGE_OR_FOLDER")
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=NAMES)
    weights_option(add)
    output(add, "DIR", output_folder)
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
        to, "conformance", commands.run_conformance, "check an implementation; options as for 'pytest conformance'"
    )
    add.set_defaults(options=[])
    add.epilog = (
        "For example --subject mypkg.codec:Subject --capabilities rans,buffers --tier smoke --report FILE.json; "
        "docs/subjects.md lists all options."
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
    """Commands that make model files and tables."""
    add = command(
        to, "import", commands.import_checkpoint, "make a model file from CompressAI's weights, with its tables"
    )
    add.add_argument("checkpoint", type=checked(input_file), metavar="CHECKPOINT",
                     help=".safetensors; anything else is read as a .pth or .pth.tar")  # fmt: skip
    output(add, "MODEL.safetensors", file_named(".safetensors"))

    add = command(
        to, "tables", commands.make_tables, "make the Gaussian tables again; the tables of the package are frozen"
    )
    output(add, "OUT.safetensors", file_named(".safetensors"))


def refuse_overwriting(parser: Parser, args: argparse.Namespace, words: Sequence[str]) -> None:
    """Refuses, as wrong use, an output that is also an input. words: the command line."""
    written: Path | None = vars(args).get("output")
    if not written or not written.is_file():
        return
    named = [Path(part.rpartition("=")[2]) for word in words for part in word.split(",")]
    if sum(path.is_file() and written.samefile(path) for path in named) > 1:
        parser.error(f"{written} is an input; name another output")


def get_zoo_models(parser: Parser, args: argparse.Namespace) -> None:
    """Replaces the names of zoo models in `args.model` by the models. Call it after all arguments are checked."""
    wanted = args.model if isinstance(args.model, list) else [args.model]
    if args.weights and not (len(wanted) == 1 and isinstance(wanted[0], str)):
        parser.error("--weights is the checkpoint of one zoo model: name this model with --model")
    if not any(isinstance(one, str) for one in wanted):
        return
    from mbtref.workbench import zoo

    models = [zoo.load(one, args.weights) if isinstance(one, str) else one for one in wanted]
    args.model = models if isinstance(args.model, list) else models[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. argv: without the program's name; default: the process's."""
    words = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console that lacks ✓ still shows the rest
    try:
        top = parser()
        args, options = top.parse_known_args(words)
        if "options" in args:
            args.options = options  # pytest parses them
        elif options:
            top.error(f"unrecognized arguments: {' '.join(options)}")
        args.command = shlex.join(("mbtref", *words))
        refuse_overwriting(top, args, words)
        if vars(args).get("resume") and not args.output:
            top.error("--resume needs --json, the file to continue")
        if "model" in args:
            get_zoo_models(top, args)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has closed it; Python must not flush it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BitstreamError, DownloadError, ValueError, OSError) as error:
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
