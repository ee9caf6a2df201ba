"""What the commands share: a mistake of the user is one line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Ends the command with status 2 and one line if OSError or ValueError is raised inside."""
    try:
        yield
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
