"""What else goes on in the process changes no byte and breaks no call: defaults of PyTorch, forks, compilers."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

import mbtref
from mbtref import Model, codec, planes
from mbtref.making.complete import export
from mbtref.openloop.forward import forward_pass
from tests.support import picture

PICTURE = picture(70, 130)
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


def test_a_forked_worker_goes_on(lite: Model) -> None:
    """A child forked after an encode encodes the same bytes, where PyTorch's threads are lost."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    try:
        data = mbtref.encode(lite, PICTURE)
        child = fork.Process(target=lambda: answers.put(mbtref.encode(lite, PICTURE)))
        child.start()
        assert answers.get(timeout=ANSWER) == data, "a forked worker encodes other bytes"
        child.join(ANSWER)
    finally:
        torch.set_num_threads(before)
        child.kill()
