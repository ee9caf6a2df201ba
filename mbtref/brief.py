"""Short reprs of large results: an array is shown by its dtype and shape, bytes by their number."""

from typing import Any

LONGEST = 80
"""Characters of a value. A longer one is shown by its type."""


def brief(self: Any) -> str:
    """The `__repr__` of a NamedTuple or a dataclass."""
    names = getattr(self, "_fields", None) or self.__dataclass_fields__
    return f"{type(self).__name__}({', '.join(f'{name}={of_value(getattr(self, name))}' for name in names)})"


def of_value(value: Any) -> str:
    """A value in a repr."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= LONGEST else type(value).__name__
