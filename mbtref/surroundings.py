"""PyTorch's settings, kept away from the codec.

PyTorch has global settings that every call obeys. Surprises first:

- Under autocast, g_a would run in bfloat16 and an encoder would write another stream. `undisturbed` switches
  autocast off.
- On NVIDIA's GPUs, float32 convolutions keep 10 bits of a mantissa (TF32) if they may. `undisturbed` forbids it.
- A process that was forked after a parallel computation has lost its threads. The next parallel computation would
  wait for them for ever. So a forked child computes on one thread.
- The codec doesn't rely on the default device or dtype: code that makes a tensor names them where they matter.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Switches gradients, autocast and TF32 off inside. Also a decorator."""
    with (
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
    ):
        yield


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
