"""How a long computation shows how far it is: the caller may watch its loops."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Watch(Protocol):
    """Goes through the steps of a loop, and may show each."""

    def __call__(self, steps: Sequence[T], name: str) -> Iterable[T]:
        """The steps, unchanged. name: of the loop, such as `g_a`."""


def unwatched(steps: Sequence[T], name: str) -> Iterable[T]:
    """Shows nothing."""
    return steps
