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

DTYPES = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4")}
"""The dtypes by their names in a header, in the order of the tensors."""
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
    for name, array in _ordered(tensors):
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _dtype(array), "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + body(tensors)


def body(tensors: Arrays) -> bytes:
    """The bytes after the header."""
    return b"".join(array.astype(DTYPES[_dtype(array)]).tobytes() for _, array in _ordered(tensors))


def _ordered(tensors: Arrays) -> list[tuple[str, npt.NDArray[Any]]]:
    order = list(DTYPES)
    return sorted(tensors.items(), key=lambda item: (order.index(_dtype(item[1])), item[0]))


def _dtype(array: npt.NDArray[Any]) -> str:
    """A dtype's name in a header, whatever its byte order."""
    return {dtype.newbyteorder("="): name for name, dtype in DTYPES.items()}[array.dtype.newbyteorder("=")]


def write(tensors: Arrays, path: Path, metadata: Mapping[str, str]) -> Model:
    """Writes a model file, whole or not at all, and returns its model.

    metadata: the description in the file, such as quality and lambda. Raises OSError, or ValueError if the file
    couldn't be loaded.
    """
    data = pack(tensors, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})
    model = parse(path.stem, data)
    write_whole(path, data)
    return model
