"""Checkpoints: weights are imported whatever lies beside them. Anything else is one line, in little memory."""

import argparse
import io
import json
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from mbtref.making import checkpoint
from mbtref.making import complete as making
from tests.support import Terminal, saved, varied_networks

State = dict[str, Tensor]
Make = Callable[[State], bytes]
"""Makes a file of a state dict."""
BIAS = "h_s.4.bias"


@pytest.fixture(scope="module")
def state() -> State:
    """The state dict of a small model, without its tables."""
    networks = varied_networks(3, 5)
    return {key: tensor.clone() for key, tensor in {**making.constants(networks), **networks.state_dict()}.items()}


def packed(records: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    """The records of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pickled(steps: bytes) -> bytes:
    """A file with this pickle, without its frame."""
    return packed({"archive/data.pkl": b"\x80\x02" + steps + b"."})


class Call:
    """A call that a pickle asks for."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def named(prefix: str, state: State) -> State:
    """A state dict whose names have a prefix."""
    return {prefix + key: tensor for key, tensor in state.items()}


def floats(state: State, convert: Callable[[Tensor], Tensor]) -> State:
    """A state dict whose float tensors are converted."""
    return {key: convert(tensor) if tensor.is_floating_point() else tensor for key, tensor in state.items()}


def big_endian(data: bytes) -> bytes:
    """The file that a machine of the other byte order saves."""
    records = unpacked(data)
    for name, content in records.items():
        if "/data/" in name:
            records[name] = np.frombuffer(content, "<u4").astype(">u4").tobytes()
    return packed({name: b"big" if name.endswith("byteorder") else data for name, data in records.items()})


def one_storage(state: State) -> State:
    """The same tensors as views of one storage."""
    parts = torch.cat([tensor.flatten() for tensor in state.values()]).split([t.numel() for t in state.values()])
    return {key: part.view(tensor.shape) for part, (key, tensor) in zip(parts, state.items(), strict=True)}


def marked(tensor: Tensor) -> Tensor:
    """A parameter with an attribute."""
    parameter = torch.nn.Parameter(tensor.clone())
    parameter.group = "weights"  # type: ignore[attr-defined]
    return parameter


OLDER = (
    {"biases": "_bias", "matrices": "_matrix", "factors": "_factor"},
    {"biases": "_biases.", "matrices": "_matrices.", "factors": "_factors."},
)
"""What earlier releases of CompressAI wrote before the number of a density's tensor."""


def older(state: State, names: dict[str, str]) -> State:
    """A state dict as an earlier release saved it."""
    kind = re.compile(r"(?<=entropy_bottleneck\.)(biases|matrices|factors)\.")
    return {kind.sub(lambda match: names[match[1]], key): tensor for key, tensor in state.items()}


class Config:
    """A class that only the training program has."""


BESIDE: dict[str, object] = {
    "numbers of NumPy": [np.float64(0.5), np.float32(1), np.int64(3), np.arange(3)],
    "args": argparse.Namespace(lmbda=0.01, out=Path("runs")),
    "config": Config(),
    "large": [1 << 80, -5, b"x" * 300, "x" * 300, {1: 2}, {3}, frozenset({4}), Counter("aab"), (1, 2, 3, 4)],
    "ema": {"g_a.0.weight": torch.zeros(3, 3, 5, 5)},
}
"""What training programs save beside weights."""
PLAIN: dict[str, Make] = {
    **{key: lambda s, key=key: saved({key: s, "epoch": 3}) for key in checkpoint.CONTAINERS},  # type: ignore[misc]
    **{
        prefix: lambda s, prefix=prefix: saved(named(prefix, s))  # type: ignore[misc]
        for prefix in ("module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "lit.codec.")
    },
    **{
        f"protocol {p}": lambda s, p=p: saved({"state_dict": s} | BESIDE, pickle_protocol=p)  # type: ignore[misc]
        for p in (2, 3, 4, 5)
    },
    **{
        names["biases"]: lambda s, names=names: saved({"state_dict": named("module.", older(s, names))})  # type: ignore[misc]
        for names in OLDER
    },
    "compiled parts": lambda s: saved({key.replace("g_a.", "g_a._orig_mod."): t for key, t in s.items()}),
    "averaged": lambda s: saved(named("module.", s) | {"n_averaged": torch.tensor(3)}),
    "Lightning": lambda s: saved({"state_dict": named("model.", s) | {"loss.weight": torch.ones(2)}} | BESIDE),
    "before 1.6": lambda s: saved({"state_dict": s} | BESIDE, _use_new_zipfile_serialization=False),
    "attributes": lambda s: saved(floats(s, marked)),
    "one storage": lambda s: saved(one_storage(s)),
    "big-endian": lambda s: big_endian(saved(s)),
    "safetensors": safetensors.torch.save,
    "safetensors with prefix": lambda s: safetensors.torch.save(named("_orig_mod.model.", s)),
    **{
        f"metadata {text[:9]}": lambda s, text=text: safetensors.torch.save(s, {"mbt2018": text})  # type: ignore[misc]
        for text in ("[1]", "3", "{", "null", '{"quality": {}}', "[" * 9999)
    },
}
"""Files with the weights of a state dict."""


def written(folder: Path, data: bytes) -> Path:
    """A file whose suffix says what it is."""
    path = folder / ("in.safetensors" if data[8:9] == b"{" else "in.pth")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", PLAIN)
def test_weights_are_found(form: str, state: State, tmp_path: Path) -> None:
    """Weights are read as they are, under any prefix, and in any container, form and company."""
    networks = checkpoint.read(written(tmp_path, PLAIN[form](state))).networks
    for key, tensor in networks.state_dict().items():
        assert torch.equal(tensor, state[key]), f"{key} is read wrongly"


def test_import_takes_both_forms(state: State, tmp_path: Path, terminal: Terminal) -> None:
    """`mbtref import` makes the same model file of a pickle as of safetensors."""
    models = []
    for data in (saved({"state_dict": older(state, OLDER[0])}), safetensors.torch.save(state)):
        terminal.prints("import", written(tmp_path, data), "-o", tmp_path / "out.safetensors")
        models.append((tmp_path / "out.safetensors").read_bytes())
    assert models[0] == models[1], "the two models differ"


@pytest.mark.parametrize("save", [saved, safetensors.torch.save])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_exactly(dtype: torch.dtype, save: Make, state: State, tmp_path: Path) -> None:
    """Weights of 16 bits are the same numbers in float32."""
    halves = floats(state, lambda tensor: tensor.to(dtype))
    networks = checkpoint.read(written(tmp_path, save(halves))).networks
    for key, tensor in networks.state_dict().items():
        assert torch.equal(tensor, halves[key].float()), f"{key} is rounded"


def with_bias(convert: Callable[[Tensor], object]) -> Make:
    """Makes a file with one tensor in another form."""
    return lambda state: saved(state | {BIAS: convert(state[BIAS])})


def header_with(change: dict[str, object]) -> Make:
    """Makes a safetensors file whose header has other entries."""

    def make(state: State) -> bytes:
        data = safetensors.torch.save(state)
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.dumps(json.loads(data[8:end]) | change).encode()
        return len(header).to_bytes(8, "little") + header + data[end:]

    return make


def laughs(steps: bytes) -> bytes:
    """A pickle of tuples, each of which holds the one before twice. steps: what is done with the last."""
    levels = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    return pickled(b"K\1q\0" + levels + steps)


TOUCH = Call(Path.touch, Path("proof"))
"""Makes a file if it is called."""
FOREIGN: dict[str, tuple[Make, str]] = {
    "float64": (lambda s: saved(floats(s, Tensor.double)), "tensor g_a.0.weight is Double, not float32"),
    "integers": (with_bias(Tensor.int), f"tensor {BIAS} is Int, not float32"),
    "complex": (with_bias(lambda t: t.to(torch.complex64)), f"tensor {BIAS} is ComplexFloat, not float32"),
    "float8": (with_bias(lambda t: t.to(torch.float8_e5m2)), f"tensor {BIAS} is float8_e5m2, not float32"),
    **{
        name: (header_with({BIAS: {"dtype": name, "shape": [24 // size], "data_offsets": [0, 12]}}), "")
        for name, size in (("F4", 1), ("F8_E4M3", 2), ("F8_E8M0", 2), ("F64", 16), ("X1", 2))
    },
    "sparse": (with_bias(Tensor.to_sparse), "_rebuild_sparse_tensor, not a plain tensor"),
    "meta": (with_bias(lambda t: t.to("meta")), "_rebuild_meta_tensor_no_storage, not a plain tensor"),
    "negative": (with_bias(torch._neg_view), "not a plain tensor"),
    "number": (with_bias(lambda t: 1.0), f"tensor {BIAS} is float, not a plain tensor"),
    "NumPy": (with_bias(Tensor.numpy), "core.multiarray._reconstruct, not a plain tensor"),
    "two names": (lambda s: saved(s | {f"module.{BIAS}": s[BIAS]}), f"tensor {BIAS} is there under two names"),
    "two networks": (lambda s: saved(named("a.", s) | named("b.", s)), "holds 2 networks"),
    "a module": (lambda s: saved(varied_networks(3, 5)), "holds a mbtref.networks.MBT2018, not a state dict"),
    "an old module": (
        lambda s: saved(varied_networks(3, 5), _use_new_zipfile_serialization=False),
        "holds a mbtref.networks.MBT2018, not a state dict",
    ),
    "a list": (lambda s: saved(list(s.values())), "holds a list, not a state dict"),
    "a Namespace": (lambda s: saved(argparse.Namespace(net=s)), "holds a argparse.Namespace, not a state dict"),
    "elsewhere": (lambda s: saved({"other": s}), "holds no tensor g_a.0.weight"),
    "a call": (lambda s: saved(TOUCH), "holds a __builtin__.getattr, not a state dict"),
    "a call beside weights": (lambda s: saved(s | {BIAS: TOUCH}), f"tensor {BIAS} is __builtin__.getattr"),
    "a call in a bare pickle": (lambda s: pickle.dumps(TOUCH), "not a checkpoint of PyTorch"),
    "another tensor": (lambda s: saved(s | {"g_a.9.weight": s[BIAS]}), "tensor g_a.9.weight is none of mbt2018's"),
    **{
        f"{data[:6]!r}": (lambda s, data=data: data, "not a checkpoint of PyTorch")  # type: ignore[misc]
        for data in (b"", b"<html>", b"\x89PNG\r\n\x1a\n", bytes(1000))
    },
    "begun": (lambda s: saved(s)[:100], "not a checkpoint of PyTorch"),
    "without end": (lambda s: saved(s)[:-100], "not a checkpoint of PyTorch"),
    "compressed": (lambda s: packed(unpacked(saved(s)), zipfile.ZIP_DEFLATED), "not a checkpoint of PyTorch"),
    "no storage": (
        lambda s: packed({name: data for name, data in unpacked(saved(s)).items() if "/data/1" not in name}),
        "not a checkpoint of PyTorch",
    ),
    "cut": (lambda s: saved(s, _use_new_zipfile_serialization=False)[:-50], "not a checkpoint of PyTorch"),
    "metadata": (header_with({"__metadata__": [1]}), "not a safetensors file"),
    "no dimension": (header_with({"x": {"dtype": "F32", "shape": [0, 1 << 62, 9], "data_offsets": [0, 0]}}), ""),
    "a hash that takes for ever": (lambda s: laughs(b"}h\x3cK\1s"), "holds no tensor"),
    "a text that takes for ever": (lambda s: laughs(b"h\x3ch\x3c\x93"), "not a checkpoint of PyTorch"),
}
"""Files that aren't imported, with what is said of them."""


@pytest.mark.parametrize("form", FOREIGN)
def test_what_cannot_be_imported(
    form: str, state: State, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of other things than plain weights is a line that names it and says what to save. No code runs."""
    monkeypatch.chdir(tmp_path)
    make, message = FOREIGN[form]
    path = written(tmp_path, make(state))
    line = terminal.fails(1, message, "import", path, "-o", "out.safetensors")
    assert os.listdir() == [path.name], "a model file was written, or the code of a pickle was run"
    assert line.startswith(f"mbtref: {path.name}: "), f"the line doesn't name the file: {line}"
    known = path.suffix == ".safetensors" or form in ("two names", "another tensor")
    assert known or checkpoint.ADVICE in line, f"no advice: {line}"


def spread(state: State, **options: Any) -> bytes:
    """A large network whose every tensor is one number, repeated."""
    shapes = {key: [size * 100 for size in tensor.shape] for key, tensor in state.items()}
    return saved({key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}, **options)


def shared() -> bytes:
    """A network whose tensors all lie in the same numbers."""
    state = varied_networks(40, 40).state_dict()
    numbers = torch.zeros(max(tensor.numel() for tensor in state.values()))
    return saved({key: numbers[: tensor.numel()].view(tensor.shape) for key, tensor in state.items()})


def repeating(size: int, count: int) -> bytes:
    """An archive whose directory names the same record of `size` bytes again and again."""
    data = packed({"archive/data.pkl": b"\x80\2}.", "archive/data/0": bytes(size)})
    begin, entry, end = data.index(b"PK\1\2"), data.rindex(b"PK\1\2"), data.rindex(b"PK\5\6")
    directory = data[begin:end] + data[entry:end] * count
    return data[:begin] + directory + b"PK\5\6" + struct.pack("<8xIIH", len(directory), begin, 0)


LONG = b"X\x40\x42\x0f\x00" + b"x" * 1_000_000
"""The step for a text of a million letters."""
EXHAUSTING: dict[str, Make] = {
    "spread": spread,
    "spread, before 1.6": lambda s: spread(s, _use_new_zipfile_serialization=False),
    "shared": lambda s: shared(),
    "bytearray": lambda s: saved(s | {BIAS: Call(bytearray, 1 << 30)}),
    "tensor": lambda s: saved(s | {BIAS: Call(torch.Tensor, 1 << 28)}),
    "compressed": lambda s: packed({"a/data.pkl": b"\x80\2}.", "a/data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED),
    "overlapping": lambda s: repeating(100_000, 9_999),
    "records": lambda s: repeating(0, 400_000),
    "many steps": lambda s: pickled(b"}" * 1_500_000),
    "long copies": lambda s: pickled(LONG + b"q\0" + b"h\0h\0\x93" * 200),
    "memo": lambda s: pickled(b"}r\xff\xff\xff\x7f"),
    "length": lambda s: pickled(b"\x96" + struct.pack("<Q", 1 << 33)),
    "length before 1.6": lambda s: (
        saved(s["h_s.4.bias"][:1].clone(), _use_new_zipfile_serialization=False)[:-12] + b"\xff" * 5
    ),
    "header": lambda s: struct.pack("<Q", 1 << 40) + b"{}",
    "many tensors": header_with(
        {str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(99_999)}
    ),
}
"""Files that would take much more memory than they have bytes."""


@pytest.mark.parametrize("form", EXHAUSTING)
def test_memory_is_bounded_by_the_file(form: str, state: State, tmp_path: Path) -> None:
    """Refusing a file takes a few times its size, and at most 50 MB more."""
    path = written(tmp_path, EXHAUSTING[form](state))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="in."):
            checkpoint.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * path.stat().st_size + 50e6, f"{path.stat().st_size} bytes took {peak}"
