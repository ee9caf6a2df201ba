"""From a model file to a model that can encode and decode. `making` goes the other way."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from mbtref.devices import usable
from mbtref.exact import EntropyNetworks
from mbtref.modelfile import EMBEDDED, description, embedded, fingerprint_of
from mbtref.networks import MBT2018
from mbtref.rans import Tables
from mbtref.reproducible import in_exact_sums
from mbtref.surroundings import undisturbed
from mbtref.tables import PARTS, GaussianTables, from_arrays, load_gaussian
from mbtref.transforms import Transforms, in_float32

NOT_WEIGHTS = re.compile(
    r"context_prediction\.mask|entropy_bottleneck\.target"
    r"|gaussian_conditional\.(scale_bound|scale_table|lower_bound_scale\.bound)"
    r"|(entropy_bottleneck|gaussian_conditional)"
    r"\.(likelihood_lower_bound\.bound|_quantized_cdf|_cdf_length|_offset)"
    r"|g_[as]\.[135]\.(beta|gamma)_reparam\.(pedestal|lower_bound\.bound)"
)
"""The other tensors of CompressAI's state dict: bounds, the mask and tables."""


@dataclass(frozen=True)
class Model:
    """A model that can encode and decode."""

    name: str
    fingerprint: bytes
    """FINGERPRINT_BYTES bytes, with which a stream names the model that it needs."""
    metadata: Mapping[str, str]
    """The description in the file: quality and lambda if they are known."""
    networks: MBT2018
    """The float networks, float32, in evaluation mode, without gradients."""
    entropy: EntropyNetworks
    """The same weights in exact arithmetic."""
    transforms: Transforms
    """The g_a, h_a and g_s that code a picture."""
    gaussian: GaussianTables
    thresholds: Tensor
    """(SCALES - 1,) float64: those of `gaussian`."""
    tables: Tables
    """(N + SCALES,) all tables of a stream: one for each channel of z, then the Gaussian tables of y."""

    def __repr__(self) -> str:
        width = f"N={self.networks.N}, M={self.networks.M}"
        return f"Model({self.name}: {width}, fingerprint {self.fingerprint.hex()}, on {self.device})"

    @property
    def device(self) -> torch.device:
        """Where the networks run. The entropy coder runs on the CPU."""
        return self.thresholds.device

    def index(self, sigma: Tensor) -> Tensor:
        """The Gaussian table of every sigma: the number of thresholds below it.

        sigma: float64 integers in grid units, any shape. Returns int64 in [0, SCALES), the same shape.
        """
        return torch.bucketize(sigma.contiguous(), self.thresholds)

    @undisturbed
    def made_reproducible(self) -> "Model":
        """This model in a form that gives the same bytes and the same pixels on every machine."""
        return replace(self, transforms=in_exact_sums(self.networks))


def load(name: str | Path, reproducible: bool = False, device: str = "cpu") -> Model:
    """An embedded model by its name, or a model file by its path. Loading a file twice returns the same object.

    reproducible: whether bytes and pixels are the same on every machine, which takes several times as long
    (docs/usage.md). The latents of a stream are the same on every machine either way.
    device: where the networks run, one of `devices.DEVICES`.
    Raises ValueError if there is no such model or device, the file isn't a model file or its weights can't be made
    exact.
    """
    path = Path(name)
    if str(name) in EMBEDDED:
        data = embedded(str(name))
    elif path.is_file():
        data = path.read_bytes()
    else:
        raise ValueError(
            f"no model {str(name)!r}: give the path of a model file, or one of {', '.join(EMBEDDED)}; "
            "mbtref.workbench.zoo.load loads zoo models, such as zoo-q4"
        )
    return _loaded(path.stem, data, reproducible, device)


@functools.lru_cache(maxsize=8)
@undisturbed
def _loaded(name: str, data: bytes, reproducible: bool, device: str) -> Model:
    """The model of a file's content."""
    if reproducible:
        return _loaded(name, data, False, device).made_reproducible()
    return parse(name, data, device)


def check_model(model: object) -> None:
    """Raises ValueError, which says what to pass, if this isn't a model."""
    if not isinstance(model, Model):
        fix = f"give mbtref.load({str(model)!r})" if isinstance(model, str | Path) else "the model comes first"
        raise ValueError(f"a model is what mbtref.load gives; this is a {type(model).__name__}: {fix}")


def parse(name: str, data: bytes, device: str = "cpu") -> Model:
    """A model from the bytes of its file. Raises ValueError as `load` does."""
    place = usable(device)
    try:
        metadata = description(data)
        arrays = safetensors.numpy.load(data)
        networks = networks_of({key: torch.from_numpy(array) for key, array in arrays.items()})
        z_tables = from_arrays({part: arrays[f"entropy_bottleneck.{part}"] for part in PARTS})
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: not a model file of mbtref ({error}); make one with 'mbtref import'") from error
    if len(z_tables) != networks.N:
        raise ValueError(f"{name}: {len(z_tables)} tables for {networks.N} channels of z; make the file again")
    networks = networks.to(place)
    gaussian = load_gaussian()
    return Model(
        name=name,
        fingerprint=fingerprint_of(data),
        metadata=metadata,
        networks=networks,
        entropy=EntropyNetworks(networks.state_dict()),
        transforms=in_float32(networks, place.type),
        gaussian=gaussian,
        thresholds=torch.from_numpy(gaussian.thresholds).double().to(place),
        tables=Tables(z_tables + gaussian.tables),
    )


def networks_of(state: Mapping[str, Tensor]) -> MBT2018:
    """The float networks of a state dict with CompressAI's names; N and M are read from the tensors.

    Raises ValueError, naming the tensor, if one is missing, unknown, of the wrong shape or dtype, or not finite.
    """
    for key in ("g_a.0.weight", "g_a.6.weight"):
        if key not in state or state[key].ndim != 4 or not state[key].numel():
            raise ValueError(f"tensor {key} is missing or isn't the kernel of a convolution")
    # on the device "meta" no memory is taken, whatever a bad file says
    with torch.device("meta"):
        networks = MBT2018(N=len(state["g_a.0.weight"]), M=len(state["g_a.6.weight"]))
    own = networks.state_dict()
    if missing := sorted(own.keys() - state.keys()):
        raise ValueError(f"tensor {missing[0]} is missing")
    if unknown := sorted(key for key in state.keys() - own.keys() if not NOT_WEIGHTS.fullmatch(key)):
        raise ValueError(f"tensor {unknown[0]} is none of mbt2018's")
    for key, tensor in own.items():
        if state[key].shape != tensor.shape:
            raise ValueError(f"tensor {key} has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}")
        if state[key].dtype != torch.float32:
            raise ValueError(f"tensor {key} is {state[key].dtype}, not float32")
        if not torch.isfinite(state[key]).all():
            raise ValueError(f"tensor {key} has values that aren't finite")
    plain = {key: state[key].clone(memory_format=torch.contiguous_format) for key in own}
    networks.load_state_dict(plain, assign=True)
    return networks.eval().requires_grad_(False)
