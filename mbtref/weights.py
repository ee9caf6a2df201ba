"""Model files: safetensors that CompressAI loads as they are, and that carry the integer tables of z.

A model file is the state dict of CompressAI's `JointAutoregressiveHierarchicalPriors(N, M)` before its Gaussian
tables are built, with our tables of z in the place of its own and medians on the grid of 2^-10. The entry
"mbt2018" of its metadata says in JSON what it is. Its fingerprint is the start of the SHA-256 of the file, whose
bytes follow from the checkpoint alone: tables are `proven`, and `modelfile` has one form for a file.
"""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mbtref import modelfile, proven, tables
from mbtref.bitstream import FINGERPRINT_AT, FINGERPRINT_BYTES, Stream
from mbtref.errors import BitstreamError, Kind
from mbtref.exact import EntropyNetworks
from mbtref.files import write_whole
from mbtref.grid import from_activation, to_activation
from mbtref.layers import BETA_MIN, PEDESTAL
from mbtref.model import LIKELIHOOD_MIN, MBT2018, SIGMA_MIN
from mbtref.rans import Table
from mbtref.reproducible import Reproducible

EMBEDDED = ("lite-q3", "lite-q4", "lite-q5", "lite-q6")
"""Names of the models shipped in the package."""
METADATA_KEY = "mbt2018"
"""Where safetensors' metadata says, in JSON, what the model is."""


@dataclass(frozen=True)
class Model:
    """A model that can encode and decode."""

    name: str
    fingerprint: bytes
    """FINGERPRINT_BYTES bytes: what a stream says of the model it needs."""
    metadata: Mapping[str, str]
    """What the file says of itself: quality and lambda where they are known."""
    networks: MBT2018
    """The float networks, float32, in evaluation mode, without gradients."""
    entropy: EntropyNetworks
    """The same weights in exact arithmetic."""
    gaussian: tables.GaussianTables
    tables: tuple[Table, ...]
    """(N + SCALES,) all tables of a stream: one for each channel of z, then those of y."""
    reproducible: Reproducible | None = None
    """The transforms that have the same bits on every machine, where they are wanted."""

    @property
    def transforms(self) -> MBT2018 | Reproducible:
        """What g_a, h_a and g_s a picture is coded with."""
        return self.reproducible or self.networks

    def made_reproducible(self) -> "Model":
        """The same model, which encodes to the same bytes and decodes to the same pixels on every machine."""
        return replace(self, reproducible=Reproducible(self.networks))


def load(name: str | Path, reproducible: bool = False) -> Model:
    """An embedded model by its name, or a model file by its path.

    reproducible: whether it shall encode to the same bytes and decode to the same pixels on every machine, which
    takes a multiple of the time (README). The latents of a stream are the same on every machine either way.
    Raises ValueError if there is no such model, the file isn't a model file or its weights can't be made exact.
    """
    path = Path(name)
    if str(name) in EMBEDDED:
        model = parse(str(name), _embedded(str(name)))
    elif path.is_file():
        model = parse(path.stem, path.read_bytes())
    else:
        raise ValueError(f"no model {str(name)!r}: give the path of a model file, or one of {', '.join(EMBEDDED)}")
    return model.made_reproducible() if reproducible else model


def name_of(fingerprint: bytes) -> str | None:
    """Which embedded model has this fingerprint, if any."""
    return next((name for name in EMBEDDED if fingerprint_of(_embedded(name)) == fingerprint), None)


def load_for(stream: Stream) -> Model:
    """The embedded model that a stream was made with. Raises BitstreamError unknown-model if there is none."""
    name = name_of(stream.fingerprint)
    if name is None:
        reason = f"made with model {stream.fingerprint.hex()}, which isn't an embedded one; name its file"
        raise BitstreamError(Kind.UNKNOWN_MODEL, FINGERPRINT_AT, reason)
    return load(name)


def fingerprint_of(data: bytes) -> bytes:
    """FINGERPRINT_BYTES bytes that stand for a model file in a stream's header. data: the file's bytes."""
    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]


def _embedded(name: str) -> bytes:
    return (resources.files("mbtref") / "data" / f"{name}.safetensors").read_bytes()


def parse(name: str, data: bytes) -> Model:
    """A model from the bytes of its file. Raises ValueError as `load` does."""
    try:
        state = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY])
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata isn't a table of texts")
        networks = networks_of(state)
        z_tables = tables.from_arrays({part: state[f"entropy_bottleneck.{part}"].numpy() for part in tables.PARTS})
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: not a model file of mbtref ({error}); make one with 'mbtref import'") from error
    if len(z_tables) != networks.N:
        raise ValueError(f"{name}: {len(z_tables)} tables for {networks.N} channels of z; make the file again")
    gaussian = tables.load_gaussian()
    return Model(
        name=name,
        fingerprint=fingerprint_of(data),
        metadata=metadata,
        networks=networks,
        entropy=EntropyNetworks(networks.state_dict()),
        gaussian=gaussian,
        tables=z_tables + gaussian.tables,
    )


def networks_of(state: Mapping[str, Tensor]) -> MBT2018:
    """The float networks of a state dict with CompressAI's names; N and M are read from the tensors.

    Raises ValueError, naming the tensor, if one is missing, unknown, of the wrong shape or dtype, or not finite.
    """
    for key in ("g_a.0.weight", "g_a.6.weight"):
        if key not in state or state[key].ndim != 4 or not state[key].numel():
            raise ValueError(f"tensor {key} is missing or isn't the kernel of a convolution")
    N, M = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    with torch.device("meta"):  # shapes alone: a bad file can't make us allocate
        blank = MBT2018(N, M)
    own, known = blank.state_dict(), constants(blank).keys()
    if missing := sorted(own.keys() - state.keys()):
        raise ValueError(f"tensor {missing[0]} is missing")
    if unknown := sorted(state.keys() - own.keys() - known):
        raise ValueError(f"tensor {unknown[0]} is none of mbt2018's")
    for key, tensor in own.items():
        if state[key].shape != tensor.shape:
            raise ValueError(f"tensor {key} has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}")
        if state[key].dtype != torch.float32:
            raise ValueError(f"tensor {key} is {state[key].dtype}, not float32")
        if not torch.isfinite(state[key]).all():
            raise ValueError(f"tensor {key} has values that aren't finite")
    plain = {key: state[key].clone(memory_format=torch.contiguous_format) for key in own}
    blank.load_state_dict(plain, assign=True)
    return blank.eval().requires_grad_(False)


def constants(networks: MBT2018) -> dict[str, Tensor]:
    """What CompressAI's state dict holds beside the weights: bounds, the mask, and empty tables."""
    number = functools.partial(torch.tensor, dtype=torch.float32, device="cpu")
    empty = torch.zeros(0, dtype=torch.int32, device="cpu")
    state = {
        "context_prediction.mask": networks.context_prediction.mask.expand(2 * networks.M, networks.M, 5, 5),
        "entropy_bottleneck.target": number([-1, 0, 1]) * math.log(2 * proven.TAILS - 1),
        "entropy_bottleneck.likelihood_lower_bound.bound": number([LIKELIHOOD_MIN]),
        "gaussian_conditional.likelihood_lower_bound.bound": number([LIKELIHOOD_MIN]),
        "gaussian_conditional.lower_bound_scale.bound": number([SIGMA_MIN]),
        "gaussian_conditional.scale_bound": number([SIGMA_MIN]),
        "gaussian_conditional.scale_table": number([]),
    }
    for part in tables.PARTS:
        state[f"gaussian_conditional.{part}"] = state[f"entropy_bottleneck.{part}"] = empty
    for layer in (f"{transform}.{i}" for transform in ("g_a", "g_s") for i in (1, 3, 5)):
        for parameter, minimum in (("beta", BETA_MIN), ("gamma", 0.0)):
            state[f"{layer}.{parameter}_reparam.pedestal"] = number([PEDESTAL])
            state[f"{layer}.{parameter}_reparam.lower_bound.bound"] = number([math.sqrt(minimum + PEDESTAL)])
    return state


def export(networks: MBT2018, path: Path, metadata: Mapping[str, str]) -> Model:
    """`complete` and `write`, whose arguments and errors these are."""
    return write(complete(networks), path, metadata)


def complete(networks: MBT2018) -> modelfile.Arrays:
    """The tensors of a model file: weights and constants, medians on the grid, and the tables of z.

    Raises ValueError if a count of a table can't be decided.
    """
    state = {**constants(networks), **networks.state_dict()}
    quantiles = state["entropy_bottleneck.quantiles"].clone()
    quantiles[:, 0, 1] = from_activation(to_activation(quantiles[:, 0, 1]))
    state["entropy_bottleneck.quantiles"] = quantiles
    state["context_prediction.weight"] = state["context_prediction.weight"] * networks.context_prediction.mask
    z_tables = proven.z_tables(networks.entropy_bottleneck, quantiles[:, :, 1:2])
    made = {f"entropy_bottleneck.{part}": array for part, array in tables.to_arrays(z_tables).items()}
    return {key: tensor.detach().cpu().numpy() for key, tensor in state.items()} | made


def write(tensors: modelfile.Arrays, path: Path, metadata: Mapping[str, str]) -> Model:
    """Writes a model file, whole or not at all, and returns the model in it.

    metadata: what the file shall say of itself, such as quality and lambda. Raises OSError, or ValueError if the
    file couldn't be loaded.
    """
    data = modelfile.pack(tensors, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})
    model = parse(path.stem, data)
    write_whole(path, data)
    return model
