"""Checkpoints of CompressAI's mbt2018: from a foreign file to networks, whose tensors have today's names."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import torch

from mbtref.making import pickles
from mbtref.making.pickles import floats
from mbtref.model import NOT_WEIGHTS, networks_of
from mbtref.modelfile import SAFETENSORS, description, split
from mbtref.networks import MBT2018

CONTAINERS = ("state_dict", "model_state_dict", "network", "model", "net")
"""Keys under which training programs keep a state dict, in the order in which they are tried."""
WRAPPERS = re.compile(r"(?:\b(?:module|_orig_mod)\.)")
"""What DataParallel and torch.compile add to names."""
KERNEL = re.compile(rf"((?s:.*)\b)g_a\.{WRAPPERS.pattern}*0\.weight")
"""The tensor by which a state dict is known. What stands before its name is left out of all names."""
ADVICE = "save the weights alone: torch.save(net.float().state_dict(), 'weights.pth')"
RENAMES = (
    (r"entropy_bottleneck\._bias(?:es\.)?(\d)", r"entropy_bottleneck.biases.\1"),
    (r"entropy_bottleneck\._matri(?:x|ces\.)(\d)", r"entropy_bottleneck.matrices.\1"),
    (r"entropy_bottleneck\._factor(?:s\.)?(\d)", r"entropy_bottleneck.factors.\1"),
)
"""Patterns of whole older names with today's names, applied in this order."""


Tensor = Callable[[Any], pickles.Floats]
"""Gives the numbers of a tensor in a file. Raises ValueError, a predicate without its subject."""


class Checkpoint(NamedTuple):
    """A checkpoint in memory."""

    networks: MBT2018
    """The float networks, with the medians as they were trained."""
    metadata: Mapping[str, str]
    """Metadata of a safetensors file; empty for a pickle."""
    sha256: str
    """Of the file, 64 hex digits."""


def read(path: Path) -> Checkpoint:
    """Reads a safetensors file or a file of `torch.save` that has a state dict, by itself or in a dict.

    No code in the file is run. Float16 and bfloat16 become float32, which is exact. Memory stays below a few times
    the file. Raises OSError, or ValueError if the file is neither, or the weights aren't mbt2018's.
    """
    if not path.is_file():
        raise ValueError(f"{path.name}: isn't a file")
    data = path.read_bytes()
    try:
        content, tensor, metadata = (_safetensors if path.suffix == SAFETENSORS else _pickle)(data)
        networks = networks_of(_state(content, tensor, len(data)))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return Checkpoint(networks, metadata, hashlib.sha256(data).hexdigest())


def renamed(key: str) -> str:
    """The name of a tensor in CompressAI 1.2.8."""
    for pattern, name in RENAMES:
        if match := re.fullmatch(pattern, key):
            key = match.expand(name)
    return key


def _safetensors(data: bytes) -> tuple[object, Tensor, dict[str, str]]:
    """The content of a safetensors file, its metadata, and what gives a tensor of the content."""
    try:
        header, _ = split(data)
        content = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"not a safetensors file ({error})") from error
    try:
        metadata = description(data)  # of a model file of mbtref
    except ValueError:
        metadata = header.get("__metadata__") or {}
    return content, lambda entry: floats(entry["data"], entry["dtype"]).reshape(entry["shape"]), metadata


def _pickle(data: bytes) -> tuple[object, Tensor, dict[str, str]]:
    """The same of a file of `torch.save`, which has no metadata."""
    try:
        return *pickles.load(data), {}
    except Exception as error:  # bad bytes may raise anything
        raise ValueError(f"not a checkpoint of PyTorch, or damaged; {ADVICE}") from error


def _state(content: object, tensor: Tensor, size: int) -> dict[str, torch.Tensor]:
    """The float32 weights in the content of a file of `size` bytes, under today's names."""
    state: dict[str, torch.Tensor] = {}
    for key, value in _named(content):
        if (name := renamed(key)) in state:
            raise ValueError(f"tensor {name} is there under two names")
        if NOT_WEIGHTS.fullmatch(name):
            continue
        try:
            numbers = tensor(value)
        except ValueError as error:
            raise ValueError(f"tensor {name} {error}; {ADVICE}") from error
        if (size := size - 2 * numbers.size) < 0:  # each takes 2 bytes or more
            raise ValueError(f"holds fewer numbers than its tensors have; {ADVICE}")
        state[name] = torch.from_numpy(numbers.astype(np.float32))
    return state


def _named(content: object) -> list[tuple[str, object]]:
    """The entries of the state dict in a file, by their names in the network."""
    if not isinstance(content, dict):
        raise ValueError(f"holds a {pickles.kind_of(content)}, not a state dict; {ADVICE}")
    for table in (*map(content.get, CONTAINERS), content):
        if not isinstance(table, dict):
            continue
        prefixes = {match[1] for match in map(KERNEL.fullmatch, table) if match}
        if len(prefixes) > 1:
            raise ValueError(f"holds {len(prefixes)} networks; {ADVICE}")
        for prefix in prefixes:
            inside = [(key.removeprefix(prefix), value) for key, value in table.items() if key.startswith(prefix)]
            return [(WRAPPERS.sub("", key), value) for key, value in inside]
    raise ValueError(f"holds no tensor g_a.0.weight; {ADVICE}")
