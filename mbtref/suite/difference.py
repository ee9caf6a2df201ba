"""Comparing: the first difference between an answer and the expected one, in the order of computation."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mbtref.suite.operations import GRID, Array, Values

CHECKSUM = slice(16, 20)
"""Bytes of a stream that follow from all others (specification, §6)."""
SMALL = 0.01
"""Errors of networks in a lower precision, of the largest value: up to 0.006 in bfloat16. In 8 bits: 0.01 to 0.03,
with a slope of 1/128 or 1/80 of LeakyReLU 0.02 to 0.16."""
GRID_UNITS = f"grid units, off by a factor of {GRID}"
PRECISION = "small errors everywhere, as of another precision (float16, bfloat16, TF32), order of sums or constant"
ROUNDING = "small errors everywhere, as of another rounding, or of floats in place of integers (§2)"
ROW_LAG = 3
"""Latents are coded by t = column + ROW_LAG · row, then row, then channel (specification, §3). It isn't the
codec's constant, on purpose: the suite checks the codec."""


class Difference(NamedTuple):
    """A difference between an answer and the expected one."""

    stage: str
    """Name of the output."""
    where: tuple[int, ...]
    """Its coordinate: (c, i, j) for latents, (row, column, channel) for a picture, the byte or item for others."""
    value: object
    expected: object
    error: float
    """|value - expected|."""
    tolerance: float
    wrong: int
    """How many values of this stage differ by more than the tolerance."""
    total: int
    """How many values the stage has."""
    pattern: str = ""
    """What is true of all values: one of the patterns below, or nothing."""
    unit: str = ""
    """What follows the two values in a message."""
    largest: float = 0.0
    """The largest |value - expected| of the stage: the first may pass the tolerance only just."""

    def __str__(self) -> str:
        if not self.where:
            return f"{self.stage} is {self.value}, expected {self.expected}"
        place = f"{self.stage}{list(self.where)}"
        text = f"{place} is {self.value}{self.unit}, expected {self.expected}{self.unit}"
        if self.tolerance:
            text += f": off by {self.error:.3g}, {self.error / self.tolerance:.3g} times the tolerance"
            if self.largest > self.error:
                text += f" (others by up to {self.largest / self.tolerance:.3g} times)"
        if self.pattern:
            text += f": {self.pattern}"
        return f"{text}; {self.wrong} of {self.total} values differ"

    @property
    def place(self) -> str:
        """The place in words."""
        if len(self.where) != 3:
            return self.stage
        row, column, channel = self.where if self.stage == "image" else (*self.where[1:], self.where[0])
        return f"{self.stage} at channel {channel}, row {row}, column {column}"

    @property
    def position(self) -> tuple[int, int]:
        """A latent's place in coding order, without its channel; before all others, if shapes differ."""
        if len(self.where) != 3:
            return (-1, -1)
        _, row, column = self.where
        return (column + ROW_LAG * row, row)


def first_difference(
    answer: Values, expected: Values, tolerance: Mapping[str, float], by_position: bool = False
) -> Difference | None:
    """Compares stage by stage, in the order of `expected`. None if all agree.

    answer: of the form that `operations.fault` accepts. tolerance: largest absolute error by stage, 0 by default.
    by_position: position by position in coding order, and by stage within each. In a closed loop a wrong symbol
    spoils the means of later positions, so the stage alone doesn't tell what was wrong first.
    """
    found = (
        _bytes_difference(key, bytes(answer[key]), right)
        if isinstance(right, bytes)
        else _array_difference(key, np.asarray(answer[key]), right, tolerance.get(key, 0.0))
        for key, right in expected.items()
    )
    differences = (difference for difference in found if difference)
    return min(differences, key=lambda d: d.position, default=None) if by_position else next(differences, None)


def _bytes_difference(stage: str, value: bytes, right: bytes) -> Difference | None:
    if value == right:
        return None
    a, b = np.frombuffer(value, np.uint8), np.frombuffer(right, np.uint8)
    n = min(len(a), len(b))
    wrong = np.flatnonzero(a[:n] != b[:n])
    # a checksum follows from what differs elsewhere
    is_stream = value[:3] == right[:3] == b"MBT"
    causes = wrong[~np.isin(wrong, np.r_[CHECKSUM])] if is_stream else wrong
    where = int([*causes, *(wrong if len(a) == len(b) else ()), n][0])
    shown = [f"0x{data[where]:02x}" if where < len(data) else "the end" for data in (value, right)]
    count = len(wrong) + abs(len(a) - len(b))
    return Difference(stage, (where,), shown[0], shown[1], 0.0, 0.0, count, max(len(a), len(b)))


def _array_difference(stage: str, value: Array, right: Array, tolerance: float) -> Difference | None:
    if value.shape != right.shape:
        return Difference(stage, (), f"of shape {value.shape}", f"{right.shape}", 0.0, 0.0, 1, 1)
    error = np.abs(value.astype(np.float64) - right.astype(np.float64))
    wrong = np.argwhere(~(error <= tolerance))
    if len(wrong) == 0:
        return None
    first = 0 if stage == "image" else np.argmin(coding_order(wrong))
    where = tuple(int(n) for n in wrong[first])
    found, due, off = value[where].item(), right[where].item(), float(error[where])
    true = pattern(value, right, tolerance)
    return Difference(
        stage, where, found, due, off, tolerance, len(wrong), right.size, true, largest=float(error.max())
    )


def pattern(value: Array, right: Array, tolerance: float) -> str:
    """What is true of all values of an answer that is wrong beyond the tolerance, if something is."""
    if in_grid_units(value, right, tolerance) or in_grid_units(right, value, tolerance / GRID):
        return GRID_UNITS
    error = np.abs(value.astype(np.float64) - right.astype(np.float64))
    everywhere = np.mean(error > tolerance / 10) > 1 / 2
    small = error.max() <= SMALL * np.abs(right.astype(np.float64)).max()
    if right.dtype == np.uint8 or not (everywhere and small):
        return ""
    return PRECISION if np.issubdtype(right.dtype, np.floating) else ROUNDING


def in_grid_units(units: Array, values: Array, tolerance: float) -> bool:
    """Whether the first numbers are the others in grid units. tolerance: of the values."""
    error = np.abs(units.astype(np.float64) - values.astype(np.float64) * GRID)
    return bool((error <= tolerance * GRID).all())


def coding_order(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sort keys of places in coding order. places: (K, axes) int64; (c, i, j) in wavefronts, others as given."""
    if places.shape[1] != 3:
        return np.arange(len(places))
    channel, row, column = places.T
    size = int(places.max()) + 1
    order: npt.NDArray[np.int64] = ((column + ROW_LAG * row) * size + row) * size + channel
    return order
