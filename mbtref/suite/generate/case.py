"""What a function that makes vectors works with: it asks, and files, tolerances and manifest entries follow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mbtref import Model
from mbtref.image import Image
from mbtref.suite.generate.frozen import Entry
from mbtref.suite.generate.vectorset import Stored, VectorSet
from mbtref.suite.operations import OPERATIONS, Value, Values
from mbtref.suite.requirements import REQUIREMENTS, limit
from mbtref.suite.subjects.protocol import Rejected

MEASURED = ("transforms", "entropy-float")
"""Capabilities whose floats have a measured tolerance. All other outputs must be equal, and so must y_hat."""


class Fault(NamedTuple):
    """Bytes that must be refused."""

    name: str
    purpose: str
    """The bug of a decoder that takes them, or refuses them with another kind."""
    data: bytes


@dataclass(frozen=True)
class Case:
    """A vector being made. Functions that make several derive one from another with `but`."""

    out: VectorSet
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
        return self.out.frozen.entry(f"{self.requirement}/{self.name}")

    def but(self, **changes: str) -> "Case":
        """The same case with other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def encode(self, picture: Image) -> bytes:
        """The golden stream of a picture, (H, W, 3) uint8."""
        stream = self.out.bench.golden.call("encode", self.model_name, {"image": picture})["stream"]
        assert isinstance(stream, bytes), "an encoder gives bytes"
        return stream

    def store(self, key: str, value: Value, suffix: str = ".bin", allowed: float = 0.0) -> Stored:
        """Keeps a value in the folder of the case, or beside it if key is empty. See `VectorSet.store`."""
        folder = self.folder.format(name=self.name, model=self.model_name)
        return self.out.store(f"{folder}/{key}".rstrip("/"), value, suffix, allowed)

    def ask(
        self,
        operation: str,
        inputs: Mapping[str, Value | Stored],
        rejected: str | None = None,
        outputs: Collection[str] = (),
        **fields: Any,
    ) -> dict[str, Stored]:
        """Asks the golden subject, notes its answer as the expected one, and returns the outputs, stored.

        inputs: values to be stored, or stored ones. rejected: the kind with which they must be refused. outputs:
        the expected ones, all by default. fields: further fields of the entry.
        """
        suffix = ".zlib" if operation == "pack_zlib" else ".mbt" if OPERATIONS[operation].needs_model else ".bin"
        alone = rejected is not None and len(inputs) == 1  # then no folder is needed
        given = {
            name: value if isinstance(value, Stored) else self.store("" if alone else name, value, suffix)
            for name, value in inputs.items()
        }
        values = {name: stored.value for name, stored in given.items()}
        answer = self.answer(operation, values, rejected)
        if rejected is not None:
            self.note(operation, given, rejected=rejected, **fields)
            return {}
        names = [name for name in OPERATIONS[operation].outputs if not outputs or name in outputs]
        judged = self.judged(operation, values, answer, names)
        limits = {name: bounds["absolute"] for name, bounds in judged.get("tolerance", {}).items()}
        # a golden picture is made in float64 and doesn't move; a subject's may differ by a level
        limits.pop("image", None)
        stored = {name: self.store(name, answer[name], suffix, limits.get(name, 0.0)) for name in names}
        expected = {name: output.path for name, output in stored.items()}
        self.note(operation, given, expected=expected, **judged, **fields)
        return stored

    def answer(self, operation: str, inputs: Values, rejected: str | None = None) -> Values:
        """The golden answer; empty if the inputs are refused as they should be."""
        answer: Values = {}
        kind = None
        try:
            answer = self.out.bench.golden.call(operation, self.model_name or None, inputs)
        except Rejected as refusal:
            kind = refusal.kind
        assert kind == rejected, f"{operation} refuses {self.name} with {kind}, not with {rejected}"
        return answer

    def judged(self, operation: str, inputs: Values, answer: Values, outputs: Collection[str]) -> Entry:
        """How these outputs are judged, as fields of the entry. What was measured once stays frozen."""
        if operation == "decode":
            return self.pictured(answer) if "image" in outputs else {}
        if OPERATIONS[operation].capability not in MEASURED:
            return {}
        bench = self.out.bench
        limits = self.frozen.get("tolerance") or bench.tolerances(
            operation, self.model_name or None, inputs, answer
        )
        judged: dict[str, Any] = {
            "tolerance": {name: limits[name] for name in outputs if name in limits and name != "y_hat"}
        }
        if operation == "forward":
            x = np.asarray(inputs["x"], np.float32)
            judged["margin"] = self.frozen.get("margin") or bench.margins(self.model_name, x)
        return judged

    def pictured(self, answer: Values) -> Entry:
        """How the picture in an answer of `decode` is judged.

        A sample may differ by a level where it lies nearer to a rounding tie than the error of g_s in float32.
        """
        y_hat, picture = np.asarray(answer["y_hat"]), np.asarray(answer["image"])
        bench, model = self.out.bench, self.model_name
        sure = self.frozen.get("tolerance", {}).get("image", {}).get("before_rounding")
        if sure is None:
            golden = bench.golden.call("g_s", model, {"y_hat": y_hat})
            limits = bench.tolerances("g_s", model, {"y_hat": y_hat}, golden)
            sure = float(f"{255 * limits['x_hat']['absolute']:.2g}")
        x_hat = bench.x_hat(model, y_hat)[:, : picture.shape[0], : picture.shape[1]]
        levels = 255 * x_hat.clip(0, 1).transpose(1, 2, 0)
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
        self.out.entries.append(
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
