"""Labels beside what they name, in place of a legend: at the end of a line if there is room, else along it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Points = npt.NDArray[np.float64]
"""(n, 2) pixels of a figure."""

SIDES = ((1, 0), (1, -1), (-1, 1), (0, 1), (0, -1), (-1, 0), (1, 1), (-1, -1))
"""Where a label may be, seen from its point: right, below on the right, above on the left, and so on."""
GAP = 8
"""Pixels between a point and its label."""
STEP = 3
"""Pixels between the points of a line at which a label may be."""
WORSE = 100
"""To cover a pixel of another label costs so many times as much as one of a line."""


class Label(NamedTuple):
    """A label that has no place yet."""

    text: str
    points: Points
    """The places that it may name, the best first."""
    look: dict[str, Any]
    """Arguments of `Axes.text`."""


def of_line(axes: Axes, line: Line2D) -> Label:
    """The label of a line of these axes, in its colour. They have their limits and their place, see `laid_out`."""
    points = along(line)[::-1]
    seen = ((points > axes.bbox.p0 - 1) & (points < axes.bbox.p1 + 1)).all(1)
    return Label(str(line.get_label()), points[seen], {"color": line.get_color()})


def laid_out(figure: Figure) -> None:
    """Gives every axes its place, so that points are known in pixels."""
    figure.draw_without_rendering()


def along(line: Line2D) -> Points:
    """Points of a line, STEP apart at most."""
    corners: Points = line.get_transform().transform(line.get_xydata())
    corners = corners[np.isfinite(corners).all(1)]
    if len(corners) < 2:
        return corners
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    at = np.concatenate([[0], lengths.cumsum()])
    steps = np.append(np.arange(0, at[-1], STEP), at[-1])
    return np.stack([np.interp(steps, at, side) for side in corners.T], 1)


def place(axes: Axes, labels: Sequence[Label]) -> None:
    """Writes labels inside the axes, where they cover no other label and no line, or as little as possible.

    A line that isn't seen has no label.
    """
    cost = np.zeros(np.ceil(axes.bbox.size).astype(int))  # of covering each pixel
    for line in axes.lines:
        points = (along(line) - axes.bbox.p0).astype(int)
        cost[tuple(points[((points >= 0) & (points < cost.shape)).all(1)].T)] = 1
    for label in filter(lambda label: len(label.points), labels):
        text = axes.text(0, 0, label.text, in_layout=False, va="bottom", **label.look)
        size = np.ceil(text.get_window_extent().size).astype(int)
        corners = label.points[:, None] - axes.bbox.p0 + np.array(SIDES) * (size / 2 + GAP) - size / 2
        corners = np.clip(corners.reshape(-1, 2).astype(int), 0, np.maximum(cost.shape - size, 0))
        sums = np.pad(cost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        (left, low), (right, high) = corners.T, np.minimum(corners + size, cost.shape).T
        covered = sums[right, high] - sums[left, high] - sums[right, low] + sums[left, low]
        (x, y), (width, height) = corners[np.argmin(covered)], size
        cost[max(0, x - GAP // 2) : x + width + GAP // 2, y : y + height] = WORSE
        text.set_position(tuple(axes.transData.inverted().transform(axes.bbox.p0 + np.array([x, y]))))
