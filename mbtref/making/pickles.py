"""Files of `torch.save`, read as data: nothing in them is run, imported or built.

A pickle is a program that makes objects. Here it makes dicts, lists, tuples, numbers and texts alone. What it asks
of a class or function stays a `Made`. So weights are found whatever lies beside them. Memory is bounded: by the
file for tensors, by MOST_STEPS for the rest.
"""

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

MOST_STEPS = 200_000
"""Steps that a pickle may have. A state dict has about 50 for a tensor. A step takes some 100 bytes."""
MOST_RECORDS = 20_000
"""Records that an archive may have. A state dict has one for a tensor. A record takes some 600 bytes."""
RECORD = b"PK\1\2"
"""The beginning of a record in the directory of a zip archive."""
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
"""What the first two pickles hold in a file of PyTorch before 1.6."""
NEW: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWFALSE": lambda: False, "NEWTRUE": lambda: True,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
"""What a step without an argument makes, by its name. A list stands for a set."""
FLOATS = {"Float": "f4", "F32": "f4", "Half": "f2", "F16": "f2"}
"""NumPy's formats of floats, by the names in files. NumPy has none for bfloat16."""
SIZES = {
    "Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2,
    "Char": 1, "Byte": 1, "Bool": 1, "Untyped": 1,
}  # fmt: skip
"""Bytes of an element, by the format of a storage."""


class Made(NamedTuple):
    """What a class or function would make, or the class or function itself."""

    module: str
    name: str
    arguments: object = None


EMPTY_TABLE = Made("collections", "OrderedDict", ())
"""It is made here, as a dict."""


class Storage(NamedTuple):
    """The numbers of one tensor or of several."""

    kind: str
    """Such as FloatStorage."""
    key: str
    """Its name in the file."""


class Saved(NamedTuple):
    """What a file holds."""

    content: object
    bytes_of: Mapping[str, bytes]
    """The bytes of each storage, by its key."""
    order: str = "<"
    """Their byte order, as NumPy writes it."""


def load(data: bytes) -> Saved:
    """What a file holds. Raises exceptions of many types if its bytes are bad."""
    return (_archive if data.startswith(b"PK") else _pickles)(data)


def _archive(data: bytes) -> Saved:
    """The form since PyTorch 1.6: a zip archive with a record for each storage, none of them compressed."""
    if data.count(RECORD) > MOST_RECORDS:
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
        order = {b"little": "<", b"big": ">"}[archive.read(mark)] if mark else "<"
    return Saved(content, bytes_of, order)


def _pickles(data: bytes) -> Saved:
    """The older form: five pickles, then the number of elements and the bytes of each storage."""
    file = io.BytesIO(data)
    for expected in (MAGIC, VERSION):
        if followed(file)[0] != expected:
            raise ValueError("it isn't of PyTorch")
    _, (content, storages), (keys, _) = (followed(file) for _ in range(3))
    kinds = {key: kind for kind, key in storages}
    bytes_of = {}
    for key in keys:
        size = int.from_bytes(file.read(8), "little") * SIZES[kinds[key].removesuffix("Storage")]
        bytes_of[key] = file.read(size)
        if len(bytes_of[key]) < size:
            raise ValueError("it is cut off")
    return Saved(content, bytes_of)


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
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case name if name in NEW:
                stack.append(NEW[name]())
            case "MARK":
                outer.append(stack)
                stack = []
            case "TUPLE" | "FROZENSET":
                items, stack = stack, outer.pop()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPENDS" | "ADDITEMS" | "SETITEMS":
                items, stack = stack, outer.pop()
                _put(stack[-1], items)
            case "APPEND" | "SETITEM" as name:
                count = 1 if name == "APPEND" else 2
                items = stack[-count:]
                del stack[-count:]
                _put(stack[-1], items)
            case "MEMOIZE" | "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[len(memo) if argument is None else argument] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(Made(*argument.split(" ", 1)))
            case "STACK_GLOBAL" if all(isinstance(text, str) for text in stack[-2:]):
                stack[-2:] = [Made(*stack[-2:])]
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                made = Made(function.module, function.name, arguments)
                stack.append({} if made == EMPTY_TABLE else made)
            case "BUILD":
                stack.pop()
            case "BINPERSID":
                stack.append(_named(stack.pop()))
                if isinstance(stack[-1], Storage):
                    storages.add(stack[-1])
            case _ if argument is not None:
                stack.append(argument)
            case name if name != "STOP":
                raise ValueError(f"it has a step {name}")
    return stack.pop(), storages


def _put(holder: object, items: list[Any]) -> None:
    """Appends items to a list, or puts keys and values into a dict. Only texts stay keys: their hash is quick."""
    if isinstance(holder, list):
        holder.extend(items)
    elif isinstance(holder, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        holder.update((key, value) for key, value in pairs if isinstance(key, str))


def _named(outside: object) -> Made | Storage:
    """What PyTorch keeps outside of the pickle: a storage, or a class with its source."""
    match outside:
        case ("storage", Made(_, kind), str(key), _, _) | ("storage", Made(_, kind), str(key), _, _, None):
            return Storage(kind, key)
        case ("module", Made() as made, _, _):
            return made
    raise ValueError("it has a storage of an unknown form")


def tensor(saved: Saved, made: object) -> npt.NDArray[Any]:
    """A tensor as a view of its storage, in the format `floats` gives.

    Raises ValueError, a predicate without its subject, if it isn't dense, isn't float or exceeds its storage.
    """
    while True:
        match made:
            case Made(_, "_rebuild_parameter" | "_rebuild_parameter_with_state", (inner, *_)):
                made = inner
            case Made(_, "_rebuild_from_type_v2", (Made(module, name), _, arguments, _)):
                made = Made(module, name, arguments)
            case _:
                break
    match made:
        case Made("torch._utils", "_rebuild_tensor_v3", (_, _, _, _, _, _, Made(_, dtype), *_)):
            raise ValueError(f"is {dtype}, not float32")
        case Made(
            "torch._utils",
            "_rebuild_tensor" | "_rebuild_tensor_v2",
            (Storage(kind, key), int(offset), tuple(shape), tuple(strides), *flags),
        ) if len(flags) <= 2:
            values = floats(saved.bytes_of[key], kind.removesuffix("Storage"), saved.order)
            if math.prod(shape) > len(values):
                raise ValueError("has more numbers than are stored")
            size = values.itemsize
            steps = [stride * size for stride in strides]
            try:
                return np.ndarray(shape, values.dtype, values, offset * size, steps)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError("lies outside of its storage") from error
    raise ValueError(f"is {kind_of(made)}, not a plain tensor")


def kind_of(made: object) -> str:
    """The class or function that would make it, or the type of what is made."""
    return f"{made.module}.{made.name}" if isinstance(made, Made) else type(made).__name__


def floats(data: bytes, format: str, order: str = "<") -> npt.NDArray[Any]:
    """The floats in a storage, which float32 can hold exactly. Raises ValueError for another format."""
    if format in ("BFloat16", "BF16"):
        return (np.frombuffer(data, order + "u2").astype(np.uint32) << 16).view(np.float32)
    if format not in FLOATS:
        raise ValueError(f"is {format}, not float32")
    return np.frombuffer(data, order + FLOATS[format])
