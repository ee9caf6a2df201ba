"""Model files as bytes, without PyTorch: the shipped ones, their names, and the fingerprint."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbtref.bitstream import FINGERPRINT_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FINGERPRINTS = {
    "lite-q3": "416ee20fb35f8fb1",
    "lite-q4": "5efc30e53c40f6ea",
    "lite-q5": "da8b8c01cac90b56",
    "lite-q6": "eeeb7c62dcba7a54",
    "wide-q3": "c11770de47a1ce39",
    "wide-q4": "c9fe9eafd38c5c10",
    "wide-q5": "b9e74952b91e2451",
    "wide-q6": "6290164b4f9ef8e6",
}
"""Fingerprints of the embedded models, in hex digits, by name: from the lowest rate to the highest."""
EMBEDDED = tuple(FINGERPRINTS)
"""Names of the embedded models."""
SERIES = {name: tuple(model for model in EMBEDDED if model.startswith(name)) for name in ("lite", "wide")}
"""The same by the name of their series."""
SAFETENSORS = ".safetensors"
"""Suffix of model files, and of checkpoints that aren't pickles."""
MOST_HEADER = 1 << 20
"""Bytes that a header may have. That of a model has 20,000."""
METADATA_KEY = "mbt2018"
"""The key of the model's description, in JSON, in safetensors' metadata."""


def fingerprint_of(data: bytes) -> bytes:
    """FINGERPRINT_BYTES bytes that name a model file in a stream's header. data: the file's bytes."""
    import hashlib

    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]


def split(data: bytes) -> tuple[Any, bytes]:
    """The header of a safetensors file, from its JSON, and the bytes after it. Raises ValueError."""
    end = 8 + int.from_bytes(data[:8], "little")
    if end > MOST_HEADER:
        raise ValueError("no header of safetensors, or one that is too long")
    try:
        return json.loads(data[8:end]), data[end:]
    except (ValueError, RecursionError) as error:
        raise ValueError("no header of safetensors") from error


def description(data: bytes) -> dict[str, str]:
    """What a model file says of itself, such as quality and lambda. Raises ValueError if it isn't a model file."""
    header, _ = split(data)
    try:
        found = json.loads(header["__metadata__"][METADATA_KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no metadata of {METADATA_KEY}") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("its metadata isn't a table of texts")
    return found


def integers(data: bytes, names: Iterable[str]) -> "list[npt.NDArray[np.int32]]":
    """The int32 arrays with these names in a safetensors file, read with NumPy alone. Raises ValueError."""
    import numpy as np

    header, body = split(data)
    try:
        return [
            np.frombuffer(body[slice(*entry["data_offsets"])], {"I32": "<i4"}[entry["dtype"]])
            .astype(np.int32)
            .reshape(entry["shape"])
            for entry in (header[name] for name in names)
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"no int32 arrays of {', '.join(names)} ({error!r})") from error


def embedded(name: str) -> bytes:
    """The file of a model, or of the Gaussian tables: `gaussian`."""
    return (Path(__file__).parent / "data" / f"{name}.safetensors").read_bytes()


def name_of(fingerprint: bytes) -> str | None:
    """The name of the embedded model with this fingerprint, if there is one."""
    return next((name for name in EMBEDDED if FINGERPRINTS[name] == fingerprint.hex()), None)
