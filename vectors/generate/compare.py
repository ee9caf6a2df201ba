"""What differs between two sets, and whether it may: floats within tolerance, all else not at all."""

import io
import itertools
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

from conformance.vectors import MANIFEST
from vectors.generate.implementations import FACTOR
from vectors.generate.kodak import TABLE
from vectors.generate.vectorset import Files

TABLE_TOLERANCE = 1e-6
"""Of a figure in the Kodak table: dB and bits per pixel in float64."""
BUFFER_HEADER = 32
"""Bytes before the zlib stream of a latent buffer."""
SHOWN = 8
"""Lines of a group in a summary."""
OTHER = "beside the vectors"
"""The group of what belongs to no requirement."""


class Difference(NamedTuple):
    """Something that differs between two sets."""

    group: str
    """A requirement, or OTHER."""
    item: str
    """A file, the id of a vector, or a part of the manifest."""
    text: str
    change: float
    """Largest change of a value, inf where that has no meaning."""
    allowed: float
    """The change up to which two sets count as equal; inf for a part of the manifest that may be another."""

    def __str__(self) -> str:
        return f"{self.group}: {self.item}: {self.text}"


def differences(old: Files, new: Files) -> Iterator[Difference]:
    """Everything that differs."""
    was, now = (json.loads(files[MANIFEST]) for files in (old, new))
    yield from _manifests(was, now)
    owners = {**_owners(was), **_owners(now)}
    tolerances = _tolerances(was)
    for path in sorted((old.keys() | new.keys()) - {MANIFEST}):
        group = owners.get(path, OTHER)
        if path not in old or path not in new:
            yield Difference(group, path, "new" if path in new else "gone", math.inf, 0.0)
            continue
        change, allowed = _change(path, old[path], new[path]), tolerances.get(path, 0.0)
        if change > 0:
            size = f" by up to {change:.3g}, tolerance {allowed:.3g}" if change < math.inf else ""
            yield Difference(group, path, f"changed{size}", change, allowed)


def summary(found: Iterable[Difference]) -> Iterator[str]:
    """Lines that tell what moved, by requirement."""
    for group, members in itertools.groupby(sorted(found), key=lambda d: d.group):
        moved = list(members)
        changes = [d.change for d in moved if d.change < math.inf]
        largest = f", values by up to {max(changes):.3g}" if changes else ""
        kinds = {kind: sum(d.text.startswith(kind) for d in moved) for kind in ("new", "gone", "changed")}
        yield f"{group}: {', '.join(f'{count} {kind}' for kind, count in kinds.items() if count)}{largest}"
        for d in moved[:SHOWN]:
            yield f"  {d.item}: {d.text}"
        if len(moved) > SHOWN:
            yield f"  and {len(moved) - SHOWN} more"


def _manifests(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Differences of entries, and of what stands beside them."""
    for part in ("version", "tolerances", "requirements", "models", "pictures"):
        if was[part] != now[part]:
            yield Difference(OTHER, f"{MANIFEST}, {part}", "changed", math.inf, 0.0)
    before, after = ({entry["id"]: entry for entry in entries["vectors"]} for entries in (was, now))
    for key in sorted(before.keys() | after.keys()):
        group = key.split("/")[0]
        if key not in before or key not in after:
            yield Difference(group, key, "new" if key in after else "gone", math.inf, 0.0)
            continue
        a, b = before[key], after[key]
        for field in sorted(a.keys() | b.keys()):
            if a.get(field) == b.get(field):
                continue
            allowed = math.inf if _may_change(field, a, b) else 0.0
            yield Difference(group, key, f"changed {field}", math.inf, allowed)


def _may_change(field: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a field of an entry may be another on another machine: what is measured, but not by any amount.

    A picture whose margin is too small isn't made, so a margin may.
    """
    if field == "tolerance" and was.get(field, {}).keys() == now.get(field, {}).keys():
        ratios = [limit["absolute"] / was[field][name]["absolute"] for name, limit in now[field].items()]
        return all(1 / FACTOR <= ratio <= FACTOR for ratio in ratios)
    return field == "margin"


def _owners(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The first requirement that uses each file."""
    owners: dict[str, str] = {}
    for entry in manifest["vectors"]:
        for path in (*entry["inputs"].values(), *entry.get("expected", {}).values()):
            owners.setdefault(path, entry["requirement"])
    return owners


def _tolerances(manifest: Mapping[str, Any]) -> dict[str, float]:
    """The smallest tolerance under which each file is expected."""
    tolerances = {TABLE: TABLE_TOLERANCE}
    for entry in manifest["vectors"]:
        for name, limit in entry.get("tolerance", {}).items():
            path = entry["expected"][name]
            tolerances[path] = min(limit["absolute"], tolerances.get(path, math.inf))
    return tolerances


def _change(path: str, old: bytes, new: bytes) -> float:
    """Largest change of a value; 0 if the files say the same, inf if they can't be compared value by value."""
    if old == new:
        return 0.0
    suffix = path.rpartition(".")[2]
    if suffix in ("npy", "png"):
        return _array_change(*(_array(suffix, data) for data in (old, new)))
    if suffix == "zlib":
        return 0.0 if _inflated(old) == _inflated(new) else math.inf
    if suffix == "json":
        return _json_change(json.loads(old), json.loads(new))
    return math.inf


def _array(suffix: str, data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    array: npt.NDArray[Any] = np.load(file) if suffix == "npy" else np.asarray(PIL.Image.open(file))
    return array


def _array_change(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _inflated(buffer: bytes) -> bytes:
    """Builds of zlib deflate differently."""
    return buffer[:BUFFER_HEADER] + zlib.decompress(buffer[BUFFER_HEADER:])


def _json_change(a: object, b: object) -> float:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((_json_change(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(_json_change, a, b), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b)
    return 0.0 if a == b else math.inf
