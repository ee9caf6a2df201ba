"""What a function that makes vectors works with: it asks, and files, tolerances and manifest entries follow.

What is made doesn't depend on the machine:
- Choices (the seed of a picture, its content), tolerances and margins are found once and then kept.
- A frozen file stays if the new values equal its own within their tolerance. So every stage starts from the same
  bits on every machine, and a machine that rounds differently writes the same files.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

from mbtref import Model
from mbtref.errors import Kind
from mbtref.image import Image
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.generate.sets import Entry, VectorSet, array, change
from mbtref.suite.operations import OPERATIONS, Value, Values
from mbtref.suite.requirements import REQUIREMENTS, limit
from mbtref.suite.subjects.protocol import Rejected

MEASURED = ("transforms", "entropy-float")
"""Capabilities whose floats have a measured tolerance. All other outputs must be equal, and so must y_hat."""
Faults = Mapping[str, bytes]
"""Bytes that must be refused, each by "name: purpose". The purpose is the bug of a decoder that takes them."""


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


@dataclass
class Making:
    """A set being made. kodak: the files of the 24 pictures, or none."""

    bench: Bench
    frozen: VectorSet
    kodak: Sequence[Path] = ()
    new: VectorSet = field(default_factory=VectorSet)

    def put(self, path: str, data: bytes, allowed: float = 0.0) -> bytes:
        """Keeps a file, or the frozen one if both differ by the allowed change at most, and returns its bytes."""
        old = self.frozen.files.get(path)
        kept = data if old is None or change(path, old, data) > allowed else old
        first = self.new.files.setdefault(path, kept)
        assert first == kept, f"{path} is made twice, and differs"
        return kept

    def stored(self, path: str) -> Stored:
        """A file that was made earlier, in this set or in the frozen one."""
        data = self.new.files.get(path) or self.frozen.files[path]
        return Stored(path, data if path.endswith(".mbt") else array(path, data))


@dataclass(frozen=True)
class Case:
    """A vector being made. Functions that make several derive one from another with `but`."""

    out: Making
    made: str
    """The function that makes it, module:function."""
    purpose: str
    """The bug that it catches."""
    requirement: str
    name: str
    """Its id without the requirement."""
    model_name: str
    """Empty if there is no model."""
    folder: str
    """The folder of its files, in that of all vectors; {name} and {model} stand for those of the case."""

    @property
    def model(self) -> Model:
        return self.out.bench.models[self.model_name]

    @property
    def frozen(self) -> Entry:
        """The frozen entry of this vector; empty if it is new."""
        id = f"{self.requirement}/{self.name}"
        return next((entry for entry in self.out.frozen.entries if entry["id"] == id), {})

    def but(self, **changes: str) -> "Case":
        """The same case with other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def answer(self, operation: str, **inputs: Value) -> Values:
        """The golden answer."""
        return self.out.bench.golden.call(operation, self.model_name or None, inputs)

    def encode(self, picture: Image) -> bytes:
        """The golden stream of a picture, (H, W, 3) uint8."""
        return bytes(self.answer("encode", image=picture)["stream"])

    def store(self, key: str, value: Value, suffix: str = ".bin", allowed: float = 0.0) -> Stored:
        """Keeps a value, see `Making.put`, in the folder of the case, or beside it if key is empty.

        suffix: of bytes; arrays get their own.
        """
        path = f"{self.folder.format(name=self.name, model=self.model_name)}/{key}".rstrip("/")
        if isinstance(value, bytes):
            return Stored(path + suffix, self.out.put(path + suffix, value, allowed))
        suffix, written = (".png", as_png) if value.dtype == np.uint8 else (".npy", as_npy)
        return Stored(path + suffix, array(path + suffix, self.out.put(path + suffix, written(value), allowed)))

    def ask(
        self, operation: str, inputs: Mapping[str, Value | Stored], outputs: Collection[str] = (), **fields: Any
    ) -> dict[str, Stored]:
        """Asks the golden subject, notes its answer as the expected one, and returns the outputs, stored.

        inputs: values to be stored, or stored ones. outputs: the expected ones, all by default. fields: further
        fields of the entry.
        """
        suffix = ".zlib" if operation == "pack_zlib" else ".mbt" if OPERATIONS[operation].needs_model else ".bin"
        given = {
            name: value if isinstance(value, Stored) else self.store(name, value, suffix)
            for name, value in inputs.items()
        }
        values = {name: stored.value for name, stored in given.items()}
        answer = self.answer(operation, **values)
        names = [name for name in OPERATIONS[operation].outputs if not outputs or name in outputs]
        judged = self.judged(operation, values, answer, names)
        limits = {name: bounds["absolute"] for name, bounds in judged.get("tolerance", {}).items()}
        # a golden picture is made in float64 and doesn't move; a subject's may differ by a level
        limits.pop("image", None)
        stored = {name: self.store(name, answer[name], suffix, limits.get(name, 0.0)) for name in names}
        expected = {name: output.path for name, output in stored.items()}
        self.note(operation, given, expected=expected, **judged, **fields)
        return stored

    def refuse(self, kind: Kind, operation: str, faults: Faults, **others: Value | Stored) -> None:
        """Makes a vector of each fault, which must be refused with this kind.

        others: inputs beside the bytes: values, stored beside each fault, or stored ones.
        """
        values = {name: other.value if isinstance(other, Stored) else other for name, other in others.items()}
        first = next(iter(OPERATIONS[operation].inputs))
        suffix = ".mbt" if operation == "decode" else ".bin"
        for text, data in faults.items():
            name, _, purpose = text.partition(": ")
            case = self.but(name=name, purpose=purpose)
            came = None
            try:
                case.answer(operation, **{first: data}, **values)
            except Rejected as refusal:
                came = refusal.kind
            assert came == kind, f"{operation} refuses {name} with {came}, not with {kind}"
            # bytes alone need no folder
            given = {first: case.store(first if others else "", data, suffix)}
            given |= {
                name: other if isinstance(other, Stored) else case.store(name, other)
                for name, other in others.items()
            }
            case.note(operation, given, rejected=kind)

    def judged(self, operation: str, inputs: Values, answer: Values, outputs: Collection[str]) -> Entry:
        """How these outputs are judged, as fields of the entry. What was measured once stays frozen."""
        if operation == "decode":
            return self.pictured(answer) if "image" in outputs else {}
        if OPERATIONS[operation].capability not in MEASURED:
            return {}
        bench, model = self.out.bench, self.model_name or None
        limits = self.frozen.get("tolerance") or bench.tolerances(operation, model, inputs, answer)
        named = [name for name in outputs if name in limits and name != "y_hat"]
        judged: dict[str, Any] = {"tolerance": {name: limits[name] for name in named}}
        if operation == "forward":
            judged["margin"] = self.frozen.get("margin") or bench.margins(self.model_name, inputs["x"])
        return judged

    def pictured(self, answer: Values) -> Entry:
        """How the picture in an answer of `decode` is judged.

        A sample may differ by a level where it lies nearer to a rounding tie than the error of g_s in float32.
        """
        y_hat, (height, width, _) = np.asarray(answer["y_hat"]), np.asarray(answer["image"]).shape
        bench, model = self.out.bench, self.model_name
        sure = self.frozen.get("tolerance", {}).get("image", {}).get("before_rounding")
        if sure is None:
            limits = bench.tolerances("g_s", model, {"y_hat": y_hat}, self.answer("g_s", y_hat=y_hat))
            sure = float(f"{255 * limits['x_hat']['absolute']:.2g}")
        levels = 255 * bench.x_hat(model, y_hat)[:, :height, :width].clip(0, 1).transpose(1, 2, 0)
        near = np.argwhere(np.abs(levels - np.floor(levels) - 0.5) < sure).astype(np.int32)
        return {
            "tolerance": {"image": {"absolute": limit("DECODE-1", "level"), "before_rounding": sure}},
            "may_differ": {"image": self.store("image_ties", near).path},
        }

    def note(self, operation: str, inputs: Mapping[str, Stored], **judged: Any) -> None:
        """Adds an entry whose answer is known. judged: what answers are compared with, and further fields."""
        capabilities = (OPERATIONS[operation].capability, "rejection")
        assert REQUIREMENTS[self.requirement].capability in capabilities, (
            f"{self.requirement} doesn't ask for {operation}"
        )
        self.out.new.entries.append(
            {
                "id": f"{self.requirement}/{self.name}",
                "requirement": self.requirement,
                "operation": operation,
                "model": self.model_name if OPERATIONS[operation].needs_model else None,
                "purpose": self.purpose,
                "inputs": {name: stored.path for name, stored in inputs.items()},
                **judged,
                "made": self.made,
            }
        )


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
