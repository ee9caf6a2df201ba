"""PyTorch's settings: kept away from the codec, and left as they are.

PyTorch has settings that every call obeys. Some are a thread's own. Those of the whole process are never changed
here: another thread may rely on them. Surprises first:

- Under autocast, g_a would run in bfloat16 and an encoder would write another stream. `undisturbed` switches
  autocast and gradients off, for its own thread.
- On NVIDIA's GPUs, float32 convolutions keep 10 bits of a mantissa (TF32) if they may, and transposed ones add in
  another order at each call. `convolve` says at each call that they may not.
- On processors with AMX, oneDNN rounds the operands of a layer to bfloat16 if the process lets it. No call can say
  no, so `convolve` then computes in float64.
- A process that was forked after a parallel computation has lost PyTorch's threads. The next parallel computation
  would wait for them for ever. A new thread starts its own ones, so `undisturbed` takes one in a forked child.
- The codec doesn't rely on the default device or dtype: code that makes a tensor names them where they matter.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

PROCESS = os.getpid()
"""The process that imported this module. Others were forked from it."""
AMX: bool = getattr(torch.cpu, "_is_amx_tile_supported", lambda: True)()
"""Whether the processor has instructions with which oneDNN rounds."""


def undisturbed(call: Callable[P, R]) -> Callable[P, R]:
    """A decorator: no gradients and no autocast inside. In a forked child, the call has a thread of its own."""

    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return call(*args, **kwargs)

    @functools.wraps(call)
    def anywhere(*args: P.args, **kwargs: P.kwargs) -> R:
        if os.getpid() == PROCESS:
            return alone(*args, **kwargs)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(alone, *args, **kwargs).result()

    return anywhere


def convolve(v: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, *, up: bool = False) -> Tensor:
    """A convolution that rounds no operand and has one result, whatever the settings.

    v: (B, C, H, W) float. weight: (C', C, K, K); if up, it is transposed, (C, C', K, K). bias: (C',).
    up: multiply the sides by the stride, in place of dividing them.
    """
    dtype = precision(v)
    # what torch.nn.functional's convolutions call, with the process's settings as its last four arguments
    found = torch._convolution(
        v.to(dtype), weight.to(dtype), bias.to(dtype), [stride] * 2, [padding] * 2, dilation=[1, 1], transposed=up,
        output_padding=[stride - 1 if up else 0] * 2, groups=1, benchmark=False, deterministic=True,
        cudnn_enabled=torch.backends.cudnn.enabled, allow_tf32=False,
    )  # fmt: skip
    return found.to(v.dtype) if dtype == torch.float64 else found


def precision(v: Tensor) -> torch.dtype:
    """In which a layer computes with this input: its own, autocast's, or float64 where oneDNN may round."""
    device = v.device.type
    if v.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.float64 if v.dtype == torch.float32 and device == "cpu" and rounds() else v.dtype


def rounds() -> bool:
    """Whether oneDNN may round the float32 operands of a layer on this processor."""
    onednn: Any = torch.backends.mkldnn
    if not hasattr(onednn, "conv"):  # PyTorch 2.8 and older
        return AMX and torch.get_float32_matmul_precision() == "medium"
    return AMX and any(layers.fp32_precision in ("bf16", "tf32") for layers in (onednn.conv, onednn.matmul))
