"""PyTorch's settings, kept away from the codec.

PyTorch has global settings that every call obeys. Surprises first:

- Under autocast, g_a would run in bfloat16 and an encoder would write another stream. `undisturbed` switches
  autocast off.
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
    """Switches gradients and autocast off inside. Also a decorator."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
