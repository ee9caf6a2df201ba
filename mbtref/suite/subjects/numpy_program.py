"""The one-file decoder as a program under test, in any Python with NumPy: a shim that speaks the protocol.

    pytest conformance --subject numpy

It is an example of a program that `command` runs: JSON lines in, JSON lines out, arrays as files.
"""

import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mbtref.decoder import Model, Rejected
from mbtref.suite.subjects import numpy_stages

OPERATIONS = {
    name: getattr(numpy_stages, name)
    for name in (
        "exact_parameters", "exact_symbols", "decode", "decode_reproducible", "rans_encode", "rans_decode",
        "pack_raw", "pack_zlib", "unpack_raw", "unpack_zlib",
    )
}  # fmt: skip
CAPABILITIES = ["entropy-exact", "rans", "buffers", "decode", "rejection", "reproducible"]
GREETING = {"protocol": 1, "name": "one-file decoder", "version": "1", "capabilities": CAPABILITIES}
load = functools.cache(Model)


def write(path: Path, value: Any) -> str:
    """Writes a value. Returns the name of the file: the path's name with the suffix of the value's type."""
    if isinstance(value, bytes):
        path.with_suffix(".bin").write_bytes(value)
        return f"{path.name}.bin"
    np.save(path, value)
    return f"{path.name}.npy"


def answer(request: Mapping[str, Any]) -> dict[str, object]:
    """The answer to a request: one of result, unsupported, rejected and error."""
    if request["operation"] not in OPERATIONS:
        return {"unsupported": True}
    try:
        files = {name: Path(path) for name, path in request["inputs"].items()}
        inputs: dict[str, Any] = {
            name: np.load(f) if f.suffix == ".npy" else f.read_bytes() for name, f in files.items()
        }
        if request["model_file"]:
            inputs["model"] = load(request["model_file"], request["gaussian_file"])
        values = OPERATIONS[request["operation"]](**inputs)
        return {"result": {name: write(Path(request["folder"], name), value) for name, value in values.items()}}
    except Rejected as rejection:
        return {"rejected": str(rejection)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        reply = GREETING if "hello" in request else {"id": request["id"], **answer(request)}
        print(json.dumps(reply), flush=True)
