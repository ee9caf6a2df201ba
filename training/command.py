"""What the commands share: a mistake of the user is one line, and a table of models has a row for each."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mbtref import Model
from mbtref.workbench.arguments import checked, models
from mbtref.workbench.inputs import find_pictures


@contextmanager
def refusing(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Ends the command with status 2 and one line if OSError or ValueError is raised inside."""
    try:
        yield
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def print_table(
    parser: argparse.ArgumentParser,
    header: Sequence[str],
    row: Callable[[Model, Sequence[Path]], Sequence[str]],
    arguments: Sequence[str] | None,
) -> None:
    """Prints a Markdown table with a row for each model. row: its cells from the model and the pictures."""
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--model", type=checked(models), required=True, help="models or series, with commas")
    options = parser.parse_args(arguments)
    with refusing(parser):
        pictures = find_pictures([options.pictures])
        print(f"| model | {' | '.join(header)} |\n|---|{'---:|' * len(header)}")
        for wanted in options.model:
            model = wanted.get(None).load()
            print(f"| {model.name} | {' | '.join(row(model, pictures))} |", flush=True)
