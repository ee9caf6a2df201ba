"""A set of vectors in the making: entries of the manifest, and the files that they name."""

import io
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref.image import Image
from mbtref.suite.generate.change import array
from mbtref.suite.generate.frozen import Frozen
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.operations import OPERATIONS, Value, Values
from mbtref.suite.requirements import REQUIREMENTS, limit
from mbtref.suite.subjects.protocol import Rejected

MEASURED = ("transforms", "entropy-float")
"""Capabilities whose floats have a measured tolerance. All other outputs are equal or wrong."""


class Stored(NamedTuple):
    """A value and the file that holds it."""

    path: str
    value: Value

    @property
    def array(self) -> npt.NDArray[Any]:
        assert not isinstance(self.value, bytes), f"{self.path} holds bytes"
        return self.value

    @property
    def data(self) -> bytes:
        assert isinstance(self.value, bytes), f"{self.path} holds an array"
        return self.value


class VectorSet:
    """The new files by path, entries and pictures in order. frozen: the set whose files may stay."""

    def __init__(self, bench: Bench, frozen: Frozen) -> None:
        self.bench = bench
        self.frozen = frozen
        self.files: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []
        self.pictures: dict[str, dict[str, Any]] = {}

    def put(self, path: str, data: bytes, allowed: float = 0.0) -> bytes:
        """Keeps a file, or the frozen one if they differ by the allowed change at most, and returns its bytes.

        A file may be put twice if its bytes are the same.
        """
        kept = self.frozen.kept(path, data, allowed)
        assert self.files.setdefault(path, kept) == kept, f"{path} is made twice, and differs"
        return kept

    def file(self, path: str) -> bytes:
        """A file that was made before, in this set or in the frozen one."""
        return self.files[path] if path in self.files else self.frozen.files[path]

    def array(self, path: str) -> npt.NDArray[Any]:
        """The array of such a .npy file."""
        return array(path, self.file(path))

    def encode(self, model: str, picture: Image) -> bytes:
        """The golden stream of a picture (H, W, 3) uint8."""
        stream = self.bench.golden.call("encode", model, {"image": picture})["stream"]
        assert isinstance(stream, bytes), "an encoder gives bytes"
        return stream

    def store(self, path: str, value: Value, suffix: str = ".bin", allowed: float = 0.0) -> Stored:
        """Keeps a value, see `put`. path: without suffix; suffix: of bytes, arrays get their own."""
        if isinstance(value, bytes):
            return Stored(path + suffix, self.put(path + suffix, value, allowed))
        suffix, written = (".png", as_png) if value.dtype == np.uint8 else (".npy", as_npy)
        return Stored(path + suffix, array(path + suffix, self.put(path + suffix, written(value), allowed)))

    def store_all(self, folder: str, values: Values) -> dict[str, Stored]:
        """Keeps values under their names."""
        return {name: self.store(f"{folder}/{name}", value) for name, value in values.items()}

    def add(
        self,
        requirement: str,
        name: str,
        operation: str,
        inputs: Mapping[str, Stored],
        *,
        made: Callable[..., object],
        folder: str = "",
        model: str | None = None,
        purpose: str | None = None,
        outputs: Collection[str] | None = None,
        equal: Collection[str] = (),
        suffix: str = ".bin",
        rejected: str | None = None,
        **more: Any,
    ) -> dict[str, Stored]:
        """Asks the golden subject and notes its answer. Returns the outputs, stored in folder.

        made: the function that makes the vector. purpose: default: its docstring. outputs: those that are
        expected, default: all. equal: floats without a tolerance. suffix: of bytes among the outputs.
        rejected: the kind with which the inputs must be refused. more: further fields of the entry.
        """
        values = {key: value.value for key, value in inputs.items()}
        answer = self._answer(operation, model, values, rejected)
        judged: dict[str, Any] = {"rejected": rejected}
        stored: dict[str, Stored] = {}
        if rejected is None:
            names = [key for key in OPERATIONS[operation].outputs if outputs is None or key in outputs]
            if operation == "decode" and "image" in names:
                judged = self.pictured(f"{requirement}/{name}", folder, str(model), answer)
            else:
                kept = self.frozen.entry(f"{requirement}/{name}").get("tolerance")
                limits = kept or self._measured(operation, model, values, answer, equal)
                judged = {"tolerance": {key: limits[key] for key in names if key in limits}} if limits else {}
            for key in names:
                # a golden picture is made in float64 and doesn't move; a subject's may differ by a level
                allowed = judged.get("tolerance", {}).get(key, {}).get("absolute", 0.0) if key != "image" else 0.0
                stored[key] = self.store(f"{folder}/{key}", answer[key], suffix, allowed)
            judged = {"expected": {key: output.path for key, output in stored.items()}, **judged}
        self.note(requirement, name, operation, inputs, made=made, model=model, purpose=purpose, **judged, **more)
        return stored

    def pictured(self, vector: str, folder: str, model: str, answer: Values) -> dict[str, Any]:
        """How the picture of an answer of `decode` is judged: fields of the entry.

        A sample may differ by a level where its value lies nearer to a rounding tie than g_s in float32 is sure.
        The bound is measured once and then frozen, like a tolerance.
        """
        y_hat, picture = {"y_hat": answer["y_hat"]}, np.asarray(answer["image"])
        limit_in_levels = self.frozen.entry(vector).get("tolerance", {}).get("image", {}).get("before_rounding")
        if limit_in_levels is None:
            golden = self.bench.golden.call("g_s", model, y_hat)
            limits = self.bench.tolerances("g_s", model, y_hat, golden)
            limit_in_levels = float(f"{255 * limits['x_hat']['absolute']:.2g}")
        x_hat = self.bench.x_hat(model, np.asarray(answer["y_hat"]))[:, : picture.shape[0], : picture.shape[1]]
        levels = 255 * x_hat.clip(0, 1).transpose(1, 2, 0)
        near = np.argwhere(np.abs(levels - np.floor(levels) - 0.5) < limit_in_levels).astype(np.int32)
        return {
            "tolerance": {"image": {"absolute": limit("DECODE-1", "level"), "before_rounding": limit_in_levels}},
            "may_differ": {"image": self.store(f"{folder}/image_ties", near).path},
        }

    def note(
        self,
        requirement: str,
        name: str,
        operation: str,
        inputs: Mapping[str, Stored],
        *,
        made: Callable[..., object],
        model: str | None,
        purpose: str | None = None,
        **judged: Any,
    ) -> None:
        """Adds an entry whose answer is known. Arguments as for `add`; judged: what the answer is held against."""
        capabilities = (OPERATIONS[operation].capability, "rejection")
        assert REQUIREMENTS[requirement].capability in capabilities, f"{requirement} doesn't ask {operation}"
        self.entries.append(
            {
                "id": f"{requirement}/{name}",
                "requirement": requirement,
                "operation": operation,
                "model": model if OPERATIONS[operation].needs_model else None,
                "purpose": " ".join((purpose or made.__doc__ or "").split()),
                "inputs": {key: stored.path for key, stored in inputs.items()},
                **judged,
                "made": f"{made.__module__}:{made.__qualname__}",
            }
        )

    def _answer(self, operation: str, model: str | None, inputs: Values, rejected: str | None) -> Values:
        """The golden answer; empty if the inputs are refused as they must be."""
        answer: Values = {}
        kind = None
        try:
            answer = self.bench.golden.call(operation, model, inputs)
        except Rejected as refusal:
            kind = refusal.kind
        assert kind == rejected, f"{operation} refuses with {kind}, not with {rejected}"
        return answer

    def _measured(
        self, operation: str, model: str | None, inputs: Values, answer: Values, equal: Collection[str]
    ) -> dict[str, dict[str, float]]:
        """Tolerances by output, if there are any: the largest error, for likelihoods also that of their bits."""
        if OPERATIONS[operation].capability not in MEASURED:
            return {}
        limits = self.bench.tolerances(operation, model, inputs, answer)
        return {name: limit for name, limit in limits.items() if name not in equal}


def as_npy(array: npt.NDArray[Any]) -> bytes:
    """A .npy file: C order, little-endian."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), allow_pickle=False)
    return buffer.getvalue()


def as_png(picture: npt.NDArray[Any]) -> bytes:
    """A .png file of (H, W, 3) uint8."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
