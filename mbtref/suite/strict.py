"""JSON that somebody else may have written or cut: nothing of it is used before all of it is checked."""

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "array": list, "boolean": bool, "integer": int, "null": NoneType, "number": (int, float), "object": dict,
    "string": str,
}  # fmt: skip
"""The values that `parse` gives for each type of a schema. In Python alone, a boolean is an integer too."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for anything else, such as NaN or a name that is there twice."""
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} isn't a finite number")
    return number


def _table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(table := dict(pairs)) < len(pairs):
        raise ValueError(f"a table has a name twice: {reprlib.repr([name for name, _ in pairs])}")
    return table


def check(value: Any, schema: Mapping[str, Any], name: str = "") -> None:
    """Checks a value against a JSON Schema. Raises ValueError, which begins with the value's name, if it has one.

    It knows the keywords that this project uses for records, and no others: `const`, `enum`, `type`, `minimum`,
    `maximum`, `items`, `required`, `properties` and `additionalProperties`.
    """
    types = schema.get("type", list(TYPES))
    wanted = [types] if isinstance(types, str) else types
    found = ["boolean"] if isinstance(value, bool) else [each for each in TYPES if isinstance(value, TYPES[each])]
    allowed = [schema["const"]] if "const" in schema else schema.get("enum", [value])
    due = ""
    if not set(wanted) & set(found):
        due = " or ".join(wanted)
    elif (type(value), value) not in [(type(each), each) for each in allowed]:
        due = " or ".join(map(str, allowed))
    elif "number" in found and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        due = f"from {schema.get('minimum', '')} to {schema.get('maximum', '')}"
    if due:
        raise ValueError(f"{name or 'it'} is {reprlib.repr(value)}, not {due}")
    inside = f"{name}: " if name else ""
    if isinstance(value, list) and (items := schema.get("items")):
        for number, each in enumerate(value, 1):
            check(each, items, f"{inside}item {number}")
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                raise ValueError(f"{inside}{key} is missing")
        rest = schema.get("additionalProperties", {})
        for key, each in value.items():
            kind = schema.get("properties", {}).get(key, rest)
            if kind is False:
                raise ValueError(f"{inside}{reprlib.repr(key)} isn't known")
            if kind:
                check(each, kind, f"{inside}{key}")
