"""Commands of the conformance suite and its vectors."""

import argparse
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn, cast

from mbtref.files import write_whole
from mbtref.suite.folders import home, project_folder
from mbtref.workbench.arguments import file_named, input_file, names, output_folder
from mbtref.workbench.commands import command, option
from mbtref.workbench.commands.shared import output
from mbtref.workbench.terminal import say

if TYPE_CHECKING:
    import pytest


class ShowSuiteHelp(argparse.Action):
    """Shows the help of a command with the options of the suite, which are looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        from mbtref.suite.plugin import pytest_addoption

        group = SimpleNamespace(addoption=parser.add_argument_group("options of the suite").add_argument)
        pytest_addoption(cast("pytest.Parser", SimpleNamespace(getgroup=lambda name: group)))
        parser.print_help()
        parser.exit()


@command(
    "conformance",
    "check an implementation; options as for 'pytest conformance'",
    option("-h", "--help", action=ShowSuiteHelp, nargs=0, help="show this help message and exit"),
    lambda to: to.set_defaults(options=[]),
    add_help=False,
    epilog="For example --subject mypkg.codec:Subject --capabilities rans,buffers --tier smoke "
    "--report FILE.json. All options of pytest are understood too.",
)
def conformance(args: argparse.Namespace) -> int:
    import pytest

    return int(pytest.main([str(project_folder("conformance")), *args.options]))


@command(
    "matrix",
    "make a table of implementations and requirements from reports",
    option("reports", kind=input_file, nargs="+", metavar="REPORT.json"),
    option("--html", dest="output", kind=file_named(".html"), metavar="OUT.html",
           help="write the table as a page too"),
    option("--markdown", kind=file_named(".md"), metavar="OUT.md", help="write the table as a page of docs too"),
)  # fmt: skip
def matrix(args: argparse.Namespace) -> int:
    from mbtref.suite.reports import matrix

    shown = matrix.matrix(args.reports)
    if args.output:
        write_whole(args.output, matrix.page(shown).encode())
    if args.markdown:
        write_whole(args.markdown, matrix.document(shown).encode())
    print(matrix.markdown(shown), end="")
    return 0


@command(
    "badge",
    "say which levels a report gives, and make a badge of it",
    option("report", kind=input_file, metavar="REPORT.json"),
    output("BADGE.svg"),
)
def badge(args: argparse.Namespace) -> int:
    from mbtref.suite.reports import levels, report

    run = report.read(args.report)
    write_whole(args.output, levels.badge(run).encode())
    print(levels.table(run), end="")
    return 0


@command("requirements", "write the table of all requirements", output("OUT.md"))
def requirements(args: argparse.Namespace) -> int:
    from mbtref.suite.requirements import REQUIREMENTS, page

    write_whole(args.output, page().encode())
    say(f"{args.output}: {len(REQUIREMENTS)} requirements")
    return 0


@command("machines", "compare decoding on this machine with simulated and emulated machines", output("OUT.md"))
def machines(args: argparse.Namespace) -> int:
    from mbtref.suite.reports import machines

    rows = list(machines.rows(home() / "machines"))
    write_whole(args.output, machines.page(rows).encode())
    say(*(" | ".join(row) for row in rows))
    return 0 if machines.agree(rows) else 1


@command(
    "vectors generate",
    "make all vectors again and print what moved",
    option("--to", kind=output_folder, help="folder; default: the project's own vectors"),
    option("--only", type=names, default=(), metavar="ID[,ID...]",
           help="requirements, such as RANS-1; the vectors of all others stay as they are"),
)  # fmt: skip
def vectors_generate(args: argparse.Namespace) -> int:
    from mbtref.suite.generate import command
    from mbtref.suite.vectors import FOLDER

    command.generate(args.to or FOLDER, args.only)
    return 0


@command(
    "vectors check",
    "make the vectors in another folder and compare them with the frozen ones",
    option("--without-kodak", action="store_true", help="leave out the Kodak part, which takes minutes"),
)
def vectors_check(args: argparse.Namespace) -> int:
    from mbtref.suite.generate import command

    return 1 if command.check(with_kodak=not args.without_kodak) else 0


@command(
    "vectors measure", "compare tolerances and margins with correct implementations, on simulated processors too"
)
def vectors_measure(args: argparse.Namespace) -> int:
    from mbtref.suite.generate import command

    return 0 if command.measure() else 1
