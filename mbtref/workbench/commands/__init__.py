"""The commands of `mbtref`. A command is a function, with its name, its purpose and its options above it.

A command imports what it needs when it runs: PyTorch takes seconds to start, and many commands don't need it.
"""

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

from mbtref.workbench.arguments import Parser, checked

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments and returns the exit status. `cli.main` shows its errors."""
Option: TypeAlias = "Callable[[argparse._ActionsContainer], object]"
"""Adds options to a parser."""
Group: TypeAlias = "argparse._SubParsersAction[Parser]"


def option(*names: str, kind: Callable[[str], object] | None = None, **settings: Any) -> Option:
    """An option. kind: converts its text, and refuses it with ValueError or OSError. settings: as in argparse."""
    if kind:
        settings["type"] = checked(kind)
    return lambda to: to.add_argument(*names, **settings)


def one_of(*options: Option) -> Option:
    """Options that exclude each other."""

    def add(to: "argparse._ActionsContainer") -> None:
        group = to.add_mutually_exclusive_group()
        for each in options:
            each(group)

    return add


def subparsers(parser: argparse.ArgumentParser) -> Group:
    """The place of a parser where commands are added."""
    return parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)


class Commands:
    """Commands in the order in which the help lists them."""

    def __init__(self) -> None:
        self._adds: list[Callable[[Group], None]] = []

    def command(self, name: str, purpose: str, *options: Option, **settings: Any) -> Callable[[Run], Run]:
        """Makes a function a command. purpose: half a line for the help. settings: as for add_parser."""

        def register(run: Run) -> Run:
            def add(to: Group) -> None:
                description = f"{purpose[0].upper()}{purpose[1:]}."
                parser = to.add_parser(name, help=purpose, description=description, **settings)
                parser.set_defaults(run=run)
                for each in options:
                    each(parser)

            self._adds.append(add)
            return run

        return register

    def group(self, name: str, purpose: str) -> "Commands":
        """Adds a command that has commands of its own."""
        inner = Commands()
        self._adds.append(lambda to: inner.add_to(subparsers(to.add_parser(name, help=purpose))))
        return inner

    def add_to(self, to: Group) -> None:
        """Adds all of them to a parser."""
        for add in self._adds:
            add(to)
