"""Files of `torch.save`, read as data: nothing in them is run, imported or built.

A pickle is a program that makes objects. Here it makes dicts, lists, tuples, numbers and texts alone. What it asks
of a class or function stays a `Made`. So weights are found whatever lies beside them. Memory is bounded: by the
file for tensors, by MOST_STEPS for the rest.
"""

import functools
import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
"""Numbers that float32 holds exactly."""

MOST_STEPS = 200_000
"""Steps that a pickle may have. A state dict has about 50 for a tensor. A step takes some 100 bytes."""
MOST_RECORDS = 20_000
"""Records that an archive may have. A state dict has one for a tensor. A record takes some 600 bytes."""
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
"""What the first two pickles hold in a file of PyTorch before 1.6."""
NEW: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWFALSE": lambda: False, "NEWTRUE": lambda: True,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
"""What a step without an argument makes, by its name. A list stands for a set."""
SIZES = {
    "Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2,
    "Char": 1, "Byte": 1, "Bool": 1, "Untyped": 1,
}  # fmt: skip
"""Bytes of a number in a storage."""


class Made(NamedTuple):
    """What a class or function would make, or the class or function itself."""

    module: str
    name: str
    arguments: object = None


class Storage(NamedTuple):
    """The numbers of tensors. kind: such as FloatStorage. key: their name in the file."""

    kind: str
    key: str


def load(data: bytes) -> tuple[object, Callable[[object], Floats]]:
    """The content of a file, and `tensor` for it. Raises exceptions of many types if the bytes are bad."""
    content, bytes_of, order = (_archive if data.startswith(b"PK") else _pickles)(data)
    return content, functools.partial(tensor, bytes_of, order)


def _archive(data: bytes) -> tuple[object, dict[str, bytes], str]:
    """A zip archive with a record for each storage, none of them compressed. Its content, storages, byte order."""
    if data.count(b"PK\1\2") > MOST_RECORDS:
        raise ValueError(f"it has more than {MOST_RECORDS} records")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        stored = [record for record in archive.infolist() if record.compress_type == zipfile.ZIP_STORED]
        if sum(record.file_size for record in stored) > len(data):
            raise ValueError("its records overlap")
        records = {record.filename: record for record in stored}
        (root,) = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
        content, storages = followed(io.BytesIO(archive.read(records[f"{root}data.pkl"])))
        bytes_of = {key: archive.read(records[f"{root}data/{key}"]) for _, key in storages}
        mark = records.get(f"{root}byteorder")
        return content, bytes_of, {b"little": "<", b"big": ">"}[archive.read(mark)] if mark else "<"


def _pickles(data: bytes) -> tuple[object, dict[str, bytes], str]:
    """The form before PyTorch 1.6: five pickles, then the count and the bytes of each storage's numbers."""
    file = io.BytesIO(data)
    if (followed(file)[0], followed(file)[0]) != (MAGIC, VERSION):
        raise ValueError("it isn't of PyTorch")
    _, (content, storages), (keys, _) = (followed(file) for _ in range(3))
    kinds = {key: kind.removesuffix("Storage") for kind, key in storages}
    bytes_of = {}
    for key in keys:
        size = int.from_bytes(file.read(8), "little") * SIZES[kinds[key]]
        bytes_of[key] = file.read(size)
        if len(bytes_of[key]) < size:
            raise ValueError("it is cut off")
    return content, bytes_of, "<"


def followed(file: BinaryIO) -> tuple[Any, set[Storage]]:
    """What the next pickle of a file makes, and the storages that it names. Errors as for `load`."""
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[int, Any] = {}
    storages: set[Storage] = set()
    argument: Any
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step == MOST_STEPS:
            raise ValueError(f"it has more than {MOST_STEPS} steps")
        items: list[Any] = []
        if pickletools.markobject in opcode.stack_before:
            items, stack = stack, outer.pop()
        elif opcode.stack_before and opcode.name != "MEMOIZE":
            items = [stack.pop() for _ in opcode.stack_before][::-1]
        match opcode.name, items:
            case "MARK", _:
                outer.append(stack)
                stack = []
            case (("APPEND" | "SETITEM"), [holder, *items]):
                stack.append(_put(holder, items))
            case (("APPENDS" | "SETITEMS" | "ADDITEMS"), _):
                _put(stack[-1], items)
            case (("TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3" | "FROZENSET"), _):
                stack.append(tuple(items))
            case (("MEMOIZE" | "PUT" | "BINPUT" | "LONG_BINPUT"), _):
                memo[len(memo) if argument is None else argument] = stack[-1]
            case (("GET" | "BINGET" | "LONG_BINGET"), _):
                stack.append(memo[argument])
            case "GLOBAL", _:
                stack.append(Made(*argument.split(" ", 1)))
            case "STACK_GLOBAL", [str(module), str(name)]:
                stack.append(Made(module, name))
            case (("REDUCE" | "NEWOBJ"), [Made("collections", "OrderedDict"), ()]):
                stack.append({})
            case (("REDUCE" | "NEWOBJ"), [Made(module, name), arguments]):
                stack.append(Made(module, name, arguments))
            case "BUILD", [made, _]:
                stack.append(made)
            case "BINPERSID", [
                ("storage", Made(_, kind), str(key), _, _) | ("storage", Made(_, kind), str(key), _, _, None)
            ]:
                stack.append(Storage(kind, key))
                storages.add(stack[-1])
            case "BINPERSID", [("module", made, _, _)]:  # a class with its source
                stack.append(made)
            case (("PROTO" | "FRAME"), _):
                pass
            case "STOP", [made]:
                return made, storages
            case name, [] if name in NEW:
                stack.append(NEW[name]())
            case name, [] if argument is not None:
                stack.append(argument)
            case name, _:
                raise ValueError(f"it has a step {name} of an unknown form")
    raise AssertionError("genops ends after STOP")


def _put(holder: object, items: list[Any]) -> object:
    """Puts items into a list, or keys and values into a dict. Only texts stay keys: their hash is quick."""
    if isinstance(holder, list):
        holder.extend(items)
    elif isinstance(holder, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        holder.update((key, value) for key, value in pairs if isinstance(key, str))
    return holder


def tensor(bytes_of: Mapping[str, bytes], order: str, made: object) -> Floats:
    """A tensor as a view of its storage. bytes_of: the storages by key. order: their byte order, as in NumPy.

    Raises ValueError, a predicate without its subject, if it isn't dense, isn't float or exceeds its storage.
    """
    while isinstance(made, Made):
        match made.name, made.arguments:
            case (("_rebuild_parameter" | "_rebuild_parameter_with_state"), (inner, *_)):
                made = inner
            case "_rebuild_from_type_v2", (Made(module, name), _, arguments, _):
                made = Made(module, name, arguments)
            case "_rebuild_tensor_v3", (_, _, _, _, _, _, Made(_, dtype), *_):
                raise ValueError(f"is {dtype}, not float32")
            case ("_rebuild_tensor" | "_rebuild_tensor_v2"), (
                Storage(kind, key), int(offset), tuple(shape), tuple(strides), *flags
            ) if len(flags) <= 2:  # fmt: skip
                values = floats(bytes_of[key], kind.removesuffix("Storage"), order)
                if math.prod(shape) > len(values):
                    raise ValueError("has more numbers than are stored")
                size = values.itemsize
                try:
                    return np.ndarray(shape, values.dtype, values, offset * size, [n * size for n in strides])
                except (TypeError, ValueError, OverflowError) as error:
                    raise ValueError("lies outside of its storage") from error
            case _:
                break
    raise ValueError(f"is {kind_of(made)}, not a plain tensor")


def kind_of(made: object) -> str:
    """The class or function that would make it, or the type of what is made."""
    return f"{made.module}.{made.name}" if isinstance(made, Made) else type(made).__name__


def floats(data: bytes, kind: str, order: str = "<") -> Floats:
    """The numbers in these bytes. Raises ValueError, a predicate, if they aren't of 16 or 32 bits, and float."""
    match kind:
        case "Float" | "F32":
            return np.frombuffer(data, f"{order}f4")
        case "Half" | "F16":
            return np.frombuffer(data, f"{order}f2")
        case "BFloat16" | "BF16":  # NumPy doesn't have it
            return (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    raise ValueError(f"is {kind}, not float32")
