"""The bytes of a model file: safetensors in one canonical form. The same model always has the same bytes.

    8 bytes    length of the header
    header     JSON without spaces, in UTF-8: "__metadata__" if there is any, then the float32 tensors by name,
               then the int32 tensors by name; spaces fill it up to a multiple of 8 bytes
    body       the tensors in this order, each in C order, without gaps

All numbers are little-endian. safetensors leaves order and spacing free, and its libraries have changed them. A
fingerprint depends on the bytes, so this module writes them. All the libraries can read them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbtref.files import write_whole
from mbtref.model import Model, parse
from mbtref.modelfile import METADATA_KEY
from mbtref.rans import Table
from mbtref.tables import PARTS

Arrays = Mapping[str, npt.NDArray[Any]]
"""Tensors by name, float32 or int32."""

DTYPES = {np.dtype("f4"): "F32", np.dtype("i4"): "I32"}
"""The names of dtypes in a header. Tensors come in the order of these names."""
ALIGNMENT = 8


def to_arrays(tables: Sequence[Table]) -> dict[str, npt.NDArray[np.int32]]:
    """Tables in the form of a file: the arrays that `tables.from_arrays` takes."""
    lengths = [len(table.cdf) for table in tables]
    cdf = np.zeros((len(tables), max(lengths)), np.int32)
    for row, table in zip(cdf, tables, strict=True):
        row[: len(table.cdf)] = table.cdf
    offsets = [table.offset for table in tables]
    return dict(zip(PARTS, (cdf, np.array(lengths, np.int32), np.array(offsets, np.int32)), strict=True))


def pack(tensors: Arrays, metadata: Mapping[str, str]) -> bytes:
    """The file of these tensors. Raises KeyError for a tensor of another dtype."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for dtype, name, array in _ordered(tensors):
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + body(tensors)


def body(tensors: Arrays) -> bytes:
    """The bytes after the header."""
    return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for _, _, array in _ordered(tensors))


def _ordered(tensors: Arrays) -> list[tuple[str, str, npt.NDArray[Any]]]:
    """The name of the dtype, the name and the array of each tensor, in the order of the file."""
    named = [(DTYPES[array.dtype.newbyteorder("=")], name, array) for name, array in tensors.items()]
    return sorted(named, key=lambda each: each[:2])


def write(tensors: Arrays, path: Path, metadata: Mapping[str, str]) -> Model:
    """Writes a model file, whole or not at all, and returns its model.

    metadata: the description in the file, such as quality and lambda. Raises OSError, or ValueError if the file
    couldn't be loaded.
    """
    data = pack(tensors, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})
    model = parse(path.stem, data)
    write_whole(path, data)
    return model
