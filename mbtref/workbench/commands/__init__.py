"""The commands of `mbtref`. A command is a function, with its name, its purpose and its options above it.

A command imports what it needs when it runs: PyTorch takes seconds to start, and many commands don't need it.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from mbtref.workbench.arguments import Parser, checked

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments and returns the exit status. `cli.main` shows its errors."""
Option: TypeAlias = "Callable[[argparse._ActionsContainer], object]"
"""Adds options to a parser."""

GROUPS = {
    "kodak": "get or check the 24 Kodak pictures",
    "zoo": "get or list CompressAI's published models",
    "vectors": "make or check the golden vectors",
}
"""The purposes of commands that have commands of their own."""


class Command(NamedTuple):
    """A command of the command line."""

    name: str
    """With that of its group in front, if it is in one, such as "kodak fetch"."""
    purpose: str
    """Half a line for the help."""
    options: tuple[Option, ...]
    settings: Mapping[str, Any]
    """Other arguments of `add_parser`."""
    run: Run


def command(name: str, purpose: str, *options: Option, **settings: Any) -> Callable[[Run], Command]:
    """Makes a function a command, see `Command`."""
    return lambda run: Command(name, purpose, options, settings, run)


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


def add_to(parser: argparse.ArgumentParser, commands: Iterable[Command]) -> None:
    """Adds commands to a parser."""

    def place(of: argparse.ArgumentParser) -> "argparse._SubParsersAction[Parser]":
        return of.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    places = {"": place(parser)}
    for each in commands:
        group, _, name = each.name.rpartition(" ")
        if group not in places:
            places[group] = place(places[""].add_parser(group, help=GROUPS[group]))
        description = f"{each.purpose[0].upper()}{each.purpose[1:]}."
        made = places[group].add_parser(name, help=each.purpose, description=description, **each.settings)
        made.set_defaults(run=each.run)
        for add in each.options:
            add(made)
