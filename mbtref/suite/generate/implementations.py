"""The reference in float64, which makes the golden floats, and correct float32 versions, which show their scatter.

A golden float is computed in float64 and rounded to float32 at the end of its stage, so it hardly depends on the
machine. Tolerances are measured, not guessed: the same stage runs in float32 in several ways and on several
simulated processors, which sum in other orders. The tolerance is FACTOR times the largest deviation. It is
measured once, when a vector is new, and then frozen.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mbtref import Model
from mbtref.networks import MBT2018
from mbtref.suite.operations import Value, Values
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.subjects.loading import isolated
from mbtref.suite.subjects.protocol import Subject
from mbtref.suite.subjects.reference import Reference
from mbtref.transforms import Transforms

FACTOR = 8
"""Tolerance divided by the largest measured deviation."""
ULPS = 4
"""No tolerance is below this many units in the last place (float32) of the largest golden value."""
TIE_DISTANCE = 1.5e-4
"""Smallest distance from a tie of the values that the forward pass rounds: y, y - mu and z - median. It is above
the largest deviation of any such value, 1.4e-4. Large values deviate most, and few of them lie that near a tie: no
value deviates by more than a tenth of its own distance (`mbtref vectors measure`)."""
TIMEOUT = 600.0
"""Seconds that an implementation in its own process may take to answer, on a busy machine."""
DERIVATION = (
    "Golden floats are computed in float64 and rounded to float32 at the end of each stage. The tolerance of an "
    f"output is {FACTOR} times the largest deviation from it measured over float32 implementations that are all "
    "right: PyTorch with oneDNN, without it, channels-last, with a batch of two, and, for vectors that are newer "
    f"than version 0.1, on simulated older processors; at least {ULPS} float32 ulp of the output's largest value; "
    "rounded up to two digits. Likelihoods are also compared as bits, -log2, with a tolerance found in the same "
    "way, since the small ones cost most. The margin of an output is the distance of the values that are rounded "
    f"for it to the nearest tie. Every margin is at least {TIE_DISTANCE:g}, and no value deviates by more than a "
    "tenth of its own distance, over all pictures, models, implementations and simulated processors, so a flip "
    "is an error. "
    "Tolerances and margins are measured once and then frozen: they depend on no machine that makes the vectors "
    "again."
)

F64 = npt.NDArray[np.float64]


class Changed(Reference):
    """The reference, with float networks that compute the same thing in another way."""

    def __init__(
        self,
        models: Mapping[str, Model],
        change: Callable[[MBT2018], MBT2018] = lambda networks: networks,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        self.models = {}
        for name, model in models.items():
            networks = change(copy.deepcopy(model.networks))
            transforms = Transforms([networks.g_a], [networks.h_a], [networks.g_s])
            self.models[name] = replace(model, networks=networks, transforms=transforms)

    def model(self, name: str) -> Model:
        return self.models[name]


def in_float64(networks: MBT2018) -> MBT2018:
    """Computes in float64. The outputs of g_a and h_a are rounded to float32, as in the files."""
    networks.double()
    for part in networks.children():
        part.register_forward_pre_hook(lambda part, inputs: (inputs[0].double(),))
    for part in (networks.g_a, networks.h_a):
        part.register_forward_hook(lambda part, inputs, output: output.float())
    return networks


def channels_last(networks: MBT2018) -> MBT2018:
    """Keeps tensors in another memory layout, which has its own convolution kernels."""
    return networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def batch_of_two(networks: MBT2018) -> MBT2018:
    """Gives every network its input twice, as a batch."""

    def twice(part: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].repeat(2, 1, 1, 1),)

    def first(part: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return output[:1]

    for part in networks.children():
        part.register_forward_pre_hook(twice)
        part.register_forward_hook(first)
    return networks


@contextlib.contextmanager
def without_onednn() -> Iterator[None]:
    """PyTorch's own convolution: a matrix product, summed in another order than oneDNN's."""
    before, *_ = torch.backends.mkldnn.set_flags(False)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(before)


class WithoutOneDnn(Changed):
    """The reference with PyTorch's own convolution."""

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        with without_onednn():
            return super().call(operation, model, inputs)


class Bench:
    """The golden subject and the implementations that are compared with it."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = models
        self.golden = Changed(models, in_float64, torch.float64)

    @functools.cached_property
    def others(self) -> dict[str, Subject]:
        """Correct implementations. Those on simulated processors run in their own processes."""
        return {
            "plain": Changed(self.models),
            "in tiles": Reference(),
            "without oneDNN": WithoutOneDnn(self.models),
            "channels-last": Changed(self.models, channels_last),
            "batch of two": Changed(self.models, batch_of_two),
            **{name: isolated("reference", TIMEOUT, PROCESSORS[name]) for name in PROCESSORS},
        }

    def tolerances(
        self, operation: str, model: str | None, inputs: Values, golden: Values
    ) -> dict[str, dict[str, float]]:
        """By output: its `tolerance`, as "absolute", and that of -log2 of a likelihood, as "bits"."""
        answers = [compared(other.call(operation, model, inputs)) for other in self.others.values()]
        result: dict[str, dict[str, float]] = {}
        for (name, unit), values in compared(golden).items():
            result.setdefault(name, {})[unit] = tolerance(values, [answer[name, unit] for answer in answers])
        return result

    @torch.no_grad()
    def x_hat(self, model: str, y_hat: npt.NDArray[np.generic]) -> F64:
        """What g_s gives in float64, not rounded to float32. y_hat: (M, 4h, 4w) float32. Returns (3, 64h, 64w)."""
        x_hat: F64 = self.golden.model(model).networks.g_s(torch.from_numpy(y_hat.copy())[None])[0].numpy()
        return x_hat

    def margins(self, model: str, x: Value) -> dict[str, float]:
        """By output: how far the values that the forward pass rounds for it stay from a tie. x: (3, H, W)."""
        values = rounded(self.golden, self.models[model], x)
        return {name: float(from_tie(v).min()) for name, v in values.items()}


def compared(answer: Values) -> dict[tuple[str, str], F64]:
    """The values that are compared, by output and unit: all as they are, likelihoods in bits too."""
    values = {(name, "absolute"): floats(value) for name, value in answer.items()}
    bits = {(name, "bits"): -np.log2(p) for (name, _), p in values.items() if name.endswith("_likelihoods")}
    return values | bits


def from_tie(values: F64) -> F64:
    """The distance of each value from the nearest tie between two integers. Any shape."""
    distance: F64 = np.abs(values - np.floor(values) - 0.5)
    return distance


def floats(value: object) -> F64:
    """A value of an answer, an array of any shape, as float64."""
    return np.asarray(value, np.float64)


def tolerance(golden: F64, answers: list[F64]) -> float:
    """The largest allowed error of an output. answers: of correct implementations, all of the same shape."""
    deviation = max(float(np.abs(answer - golden).max()) for answer in answers)
    last_place = float(np.spacing(np.float32(np.abs(golden).max())))
    limit = max(FACTOR * deviation, ULPS * last_place)
    step = 10.0 ** (np.floor(np.log10(limit)) - 1)
    return float(f"{np.ceil(limit / step) * step:.2g}")


def rounded(subject: Subject, model: Model, x: Value) -> dict[str, F64]:
    """Values that the forward pass rounds, (M, 4h, 4w) or (N, h, w), by the output of each. x: (3, H, W)."""
    y = np.asarray(subject.call("g_a", model.name, {"x": x})["y"])
    z = np.asarray(subject.call("h_a", model.name, {"y": y})["z"])
    medians = model.networks.entropy_bottleneck.medians.float().numpy()
    latents = {"z_hat": np.round(z - medians) + medians, "y_hat": np.round(y)}
    mu = floats(subject.call("parameters", model.name, latents)["mu"])
    return {"z_hat": floats(z) - medians, "y_hat": floats(y), "y_likelihoods": floats(y) - mu}
