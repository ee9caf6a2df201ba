"""Checkpoints of CompressAI's mbt2018: from a foreign file to a state dict with today's names.

A `.pth` or `.pth.tar` file is a pickle, which may run any code when it is read. This module runs none: it reads
with `weights_only`, and refuses a file that needs more.
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

from mbtref.model import networks_of
from mbtref.modelfile import METADATA_KEY, SAFETENSORS, split
from mbtref.networks import MBT2018

RENAMES = (
    (r"module\.(.*)", r"\1"),
    (r"entropy_bottleneck\._bias(?:es\.)?(\d)", r"entropy_bottleneck.biases.\1"),
    (r"entropy_bottleneck\._matri(?:x|ces\.)(\d)", r"entropy_bottleneck.matrices.\1"),
    (r"entropy_bottleneck\._factor(?:s\.)?(\d)", r"entropy_bottleneck.factors.\1"),
)
"""Patterns of whole older names with today's names, applied in this order. DataParallel adds "module."."""


class Checkpoint(NamedTuple):
    """A checkpoint in memory."""

    networks: MBT2018
    """The float networks, with the medians as they were trained."""
    metadata: Mapping[str, str]
    """Metadata of a safetensors file; empty for a pickle."""
    sha256: str
    """Of the file, 64 hex digits."""


def read(path: Path) -> Checkpoint:
    """Reads a safetensors file or a PyTorch pickle that holds a state dict, or a dict with one in "state_dict".

    Raises OSError, or ValueError if the file is neither, holds more than tensors, or they aren't mbt2018's.
    """
    data = path.read_bytes()
    try:
        content, metadata = (_safetensors if path.suffix == SAFETENSORS else _pickle)(data)
        networks = networks_of(_state(content))
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
    """Tensors and metadata. A model file of mbtref keeps its metadata in one JSON entry, which is unpacked."""
    try:
        state = safetensors.torch.load(data)
        known: dict[str, str] = split(data)[0].get("__metadata__", {})
        return state, known | json.loads(known.get(METADATA_KEY, "{}"))
    except (safetensors.SafetensorError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a safetensors file ({error})") from error


def _pickle(data: bytes) -> tuple[object, dict[str, str]]:
    """The object in a pickle, and empty metadata."""
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns of pickles that it then refuses
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), {}
    except Exception as error:  # bad bytes may raise anything; PyTorch's text may advise to run them
        reason = "not a checkpoint of PyTorch, damaged, or holds more than tensors, which might run code"
        raise ValueError(reason) from error


def _state(content: object) -> dict[str, Tensor]:
    """The state dict in the content of a file, with today's names."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__}, not a state dict")
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not (isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided):
            raise ValueError(f"entry {key!r} isn't a named tensor; a state dict holds only weights")
        if (name := renamed(key)) in state:
            raise ValueError(f"tensor {name} is there under two names")
        state[name] = value
    return state
