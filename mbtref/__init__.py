"""mbtref: the reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).

The codec is imported at its first use: PyTorch takes seconds to start, and much of the package doesn't need it.
"""

import importlib
from typing import TYPE_CHECKING

from mbtref.errors import BitstreamError, Kind

__all__ = ["BitstreamError", "Kind", "Model", "decode", "decode_batch", "encode", "encode_batch", "load"]

if TYPE_CHECKING:
    __version__: str
    from mbtref.codec import decode, decode_batch, encode, encode_batch
    from mbtref.model import Model, load

_HOME = {
    **dict.fromkeys(("decode", "decode_batch", "encode", "encode_batch"), "codec"),
    **dict.fromkeys(("Model", "load"), "model"),
}
"""The module of each name that needs PyTorch."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name == "workbench":
        return importlib.import_module("mbtref.workbench")
    if name not in _HOME:
        raise AttributeError(f"module 'mbtref' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"mbtref.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("safetensors", "torch"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: pip install 'mbtref[codec]'", name=error.name
        ) from error


def _version() -> str:
    """The installed version, such as 0.1.0; "unknown" where the source alone is there."""
    from importlib import metadata

    try:
        return metadata.version("mbtref")
    except metadata.PackageNotFoundError:
        return "unknown"
