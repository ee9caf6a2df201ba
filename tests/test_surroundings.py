"""What else goes on in the process changes no byte and breaks no call, and the codec leaves it as it is."""

import contextlib
import multiprocessing
import operator
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import mbtref
from mbtref import Model, codec, planes, surroundings
from mbtref.making.complete import export
from mbtref.networks import Convolution, Transposed
from mbtref.openloop.forward import forward_pass
from tests.support import picture

PICTURE = picture(40, 70)
ANSWER = 60
"""Seconds that a child process may take."""


def results(path: Path) -> dict[str, object]:
    """All that a program may ask of the codec: it loads, codes, runs the forward pass, writes a file."""
    model = mbtref.load("lite-q4")
    data = mbtref.encode(model, PICTURE)
    export(model.networks, path, {"quality": "q4"})
    return {
        "data": data,
        "decoded": codec.decode_batch(model, [data, data])[1],
        "latents": codec.decode_latents(model, [data]).flatten().tolist(),
        "x_hat": forward_pass(model.networks, planes.pad(planes.to_tensor(PICTURE))).x_hat.flatten().tolist(),
        "file": path.read_bytes(),
    }


@contextlib.contextmanager
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def warm_compiler() -> Iterator[None]:
    compiled = torch.compile(lambda v: torch.nn.functional.conv2d(v, v).relu(), backend="eager")
    compiled(torch.ones(1, 1, 3, 3))
    yield


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "default device": lambda: torch.device("meta"),
    "default dtype": default_dtype,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "warm compiler": warm_compiler,
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What comes out in a process with PyTorch's own defaults."""
    return results(tmp_path_factory.mktemp("usual") / "model.safetensors")


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_nothing(usual: dict[str, object], tmp_path: Path, name: str) -> None:
    """Streams, pictures, latents and model files are the same under other defaults of PyTorch."""
    with SURROUNDINGS[name]():
        found = results(tmp_path / "model.safetensors")
    for field, right in usual.items():
        # autocast is meant for the float networks: who calls them under it gets what was asked for
        if (name, field) != ("autocast", "x_hat"):
            assert np.array_equal(np.asarray(found[field]), np.asarray(right)), f"{name} changes {field}"


SETTINGS = """\
torch.set_float32_matmul_precision("high")
torch.set_float32_matmul_precision("medium")
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.enabled = False
torch.backends.mkldnn.deterministic = True
torch.use_deterministic_algorithms(True)
torch.set_flush_denormal(True)
torch.autograd.set_detect_anomaly(True)
torch.set_grad_enabled(False)
torch.backends.cudnn.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "tf32"
torch.backends.cudnn.rnn.fp32_precision = "ieee"
torch.backends.cudnn.conv.fp32_precision = "ieee"
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.mkldnn.matmul.fp32_precision = "bf16"
torch.backends.mkldnn.conv.fp32_precision = "bf16"
torch.backends.mkldnn.fp32_precision = "tf32"
torch.backends.fp32_precision = "bf16"
torch.backends.fp32_precision = "tf32"
torch.backends.fp32_precision = "ieee"
torch.set_num_threads(2)
"""
"""Lines of a host program, each added to those before: PyTorch's old interface first, then the new one."""
NAMES = re.findall(r"torch\.backends\.(\S+) =", SETTINGS)


def settings() -> dict[str, object]:
    """The settings of this process that a codec could change."""
    found: dict[str, object] = {
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "warnings": list(warnings.filters),
    }
    for name in NAMES:
        try:
            found[name] = operator.attrgetter(name)(torch.backends)
        except (AttributeError, RuntimeError) as error:  # where the interfaces are mixed, PyTorch doesn't tell all
            found[name] = type(error)
    return found


def host() -> list[tuple[str, bytes, bytes, float, dict[str, object]]]:
    """A host program that makes its settings one after the other, and codes a picture with each.

    Gives a setting, the reproducible stream and pixels, the mean error of the float32 picture, what was changed.
    """
    answers = []
    for line in ("pass", *SETTINGS.splitlines()):
        with contextlib.suppress(AttributeError):  # a setting of newer versions
            exec(line)
        before = settings()
        plain, reproducible = mbtref.load("lite-q4"), mbtref.load("lite-q4", reproducible=True)
        stream = mbtref.encode(reproducible, PICTURE)
        pixels = mbtref.decode(reproducible, stream)
        shown = mbtref.decode(plain, mbtref.encode(plain, PICTURE))
        changed = {name: value for name, value in settings().items() if value != before[name]}
        error = np.abs(np.float64(shown) - pixels).mean().item()
        answers.append((line, stream, pixels.tobytes(), error, changed))
    return answers


def in_child(method: str, function: Callable[[], object]) -> Any:
    """What a function gives in a child process. method: how the child starts, spawn or fork."""
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply_async(function).get(ANSWER)


def test_settings_change_nothing_and_are_kept() -> None:
    """Under each setting of a host's process the codec gives the same, and the setting is as it was."""
    (_, *right), *others = in_child("spawn", host)
    for line, stream, pixels, error, changed in others:
        assert [stream, pixels] == right[:2], f"{line} changes reproducible bytes or pixels"
        assert error < 0.1, f"{line} changes the float32 picture by {error} levels"
        assert not changed, f"after {line}, the codec changed {changed}"


def test_threads_leave_settings_alone(lite: Model) -> None:
    """Threads that code at once change no setting of the process, not even for a moment."""
    before, seen = settings(), []
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(mbtref.encode, lite, PICTURE) for _ in range(8)]
        while not all(call.done() for call in calls):
            seen.append(settings())
    assert all(found == before for found in seen), "a setting changes while the codec runs"
    assert len({call.result() for call in calls}) == 1, "threads disturb one another"


@pytest.mark.parametrize("up", [False, True])
def test_no_operand_is_rounded(monkeypatch: pytest.MonkeyPatch, up: bool) -> None:
    """Where oneDNN could round operands to bfloat16, a layer has the result of float64."""
    layer, v = (Transposed(4, 4, 5, 2, 2, 1) if up else Convolution(4, 4, 5, 2)), torch.rand(1, 4, 16, 16)
    usual = layer(v)
    monkeypatch.setattr(surroundings, "rounds", lambda: True)
    found = layer(v)
    assert torch.equal(found, layer.double()(v.double()).float()), "the layer isn't computed in float64"
    assert not torch.equal(found, usual), "float32 gives the same: the test can't fail"


def test_convolutions_are_those_of_pytorch() -> None:
    """A layer gives what PyTorch's own function gives with PyTorch's own settings, and the same gradient."""
    layers: tuple[tuple[nn.Module, Callable[..., Tensor]], ...] = (
        (Convolution(4, 6, 5, 2, 2), nn.Conv2d.forward),
        (Transposed(4, 6, 5, 2, 2, 1), nn.ConvTranspose2d.forward),
    )
    for layer, right in layers:
        v = torch.rand(2, 4, 16, 16, requires_grad=True)
        found, wanted = layer(v), right(layer, v)
        assert torch.equal(found, wanted), f"{type(layer).__name__} isn't PyTorch's"
        gradients = [
            torch.autograd.grad(result.square().sum(), (v, *layer.parameters())) for result in (found, wanted)
        ]
        assert all(map(torch.equal, *gradients)), f"the gradient of {type(layer).__name__} isn't PyTorch's"


class Convolutions(TorchDispatchMode):
    """Sees what convolutions ask of PyTorch: deterministic, allow_tf32."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[tuple[object, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(func):
            words = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False))
            self.asked.append((words.get("deterministic"), words.get("allow_tf32")))
        return func(*args, **(kwargs or {}))


def test_every_convolution_has_one_result(lite: Model, tmp_path: Path) -> None:
    """Each layer asks for a deterministic algorithm without TF32, which decides on a GPU."""
    with Convolutions() as seen:
        results(tmp_path / "model.safetensors")
    assert len(seen.asked) > 20, f"only {len(seen.asked)} convolutions were seen"
    assert set(seen.asked) == {(True, False)}, f"(deterministic, allow_tf32) are {set(seen.asked)}"


def encoded() -> bytes:
    return mbtref.encode(mbtref.load("lite-q4"), PICTURE)


def test_a_forked_worker_goes_on() -> None:
    """A child forked after an encode loads and encodes the same, where PyTorch's threads are lost."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        data = encoded()
        assert in_child("fork", encoded) == data, "a forked worker encodes other bytes"
        assert in_child("fork", torch.get_num_threads) == 2, "a forked worker has another number of threads"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("reproducible", [False, True])
def test_a_model_can_be_sent(lite: Model, reproducible: bool) -> None:
    """A model that was pickled codes and shows the same."""
    model = lite.made_reproducible() if reproducible else lite
    sent = pickle.loads(pickle.dumps(model))
    data = mbtref.encode(sent, PICTURE)
    assert data == mbtref.encode(model, PICTURE), "a model that was sent writes another stream"
    assert np.array_equal(mbtref.decode(sent, data), mbtref.decode(model, data)), "it shows another picture"
