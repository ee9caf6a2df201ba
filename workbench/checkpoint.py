"""Checkpoints of CompressAI's mbt2018: from a file that others made to a state dict with today's names.

A `.pth` or `.pth.tar` file is a pickle, which may run any code when it is read. Here it never does: it is read
with `weights_only`, and a file that needs more is refused.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mbtref.model import MBT2018
from mbtref.modelfile import METADATA_KEY
from mbtref.weights import networks_of

SAFETENSORS = ".safetensors"
"""Files of this suffix aren't pickles."""

RENAMES = (
    (r"module\.(.*)", r"\1"),
    (r"entropy_bottleneck\._bias(?:es\.)?(\d)", r"entropy_bottleneck.biases.\1"),
    (r"entropy_bottleneck\._matri(?:x|ces\.)(\d)", r"entropy_bottleneck.matrices.\1"),
    (r"entropy_bottleneck\._factor(?:s\.)?(\d)", r"entropy_bottleneck.factors.\1"),
)
"""Whole names in older forms and what they became, applied in this order. "module." comes of DataParallel."""


class Checkpoint(NamedTuple):
    """A checkpoint in memory."""

    networks: MBT2018
    """The float networks, with the medians as they were trained."""
    metadata: Mapping[str, str]
    """What a safetensors file says of itself."""
    sha256: str
    """Of the file, 64 hex digits."""


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint: safetensors or a pickle of PyTorch, a state dict or a dict with one in "state_dict".

    Raises OSError, or ValueError if it is neither, holds more than tensors, or they aren't mbt2018's.
    """
    data = path.read_bytes()
    try:
        found, metadata = (_safetensors if path.suffix == SAFETENSORS else _pickle)(data)
        networks = networks_of(_state(found))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return Checkpoint(networks, metadata, hashlib.sha256(data).hexdigest())


def renamed(key: str) -> str:
    """The name of a tensor in CompressAI 1.2.8."""
    for pattern, name in RENAMES:
        if match := re.fullmatch(pattern, key):
            key = match.expand(name)
    return key


def _safetensors(data: bytes) -> tuple[object, dict[str, str]]:
    """Tensors and metadata; of a model file of mbtref, the table that is in its one entry."""
    try:
        state = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        known: dict[str, str] = header.get("__metadata__", {})
        return state, known | json.loads(known.get(METADATA_KEY, "{}"))
    except (safetensors.SafetensorError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a safetensors file ({error})") from error


def _pickle(data: bytes) -> tuple[object, dict[str, str]]:
    """What the pickle holds; it says nothing of itself."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it warns of pickles that it then refuses
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), {}
    except Exception as error:  # whatever the bytes happen to provoke; its own text may advise to run them
        reason = "not a checkpoint of PyTorch, damaged, or holds more than tensors, which might run code"
        raise ValueError(reason) from error


def _state(found: object) -> dict[str, Tensor]:
    """The state dict, under today's names."""
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise ValueError(f"holds a {type(found).__name__}, not a state dict")
    state: dict[str, Tensor] = {}
    for key, value in found.items():
        if not (isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided):
            raise ValueError(f"entry {key!r} isn't a named tensor; a state dict holds weights alone")
        if (name := renamed(key)) in state:
            raise ValueError(f"tensor {name} is there under two names")
        state[name] = value
    return state
