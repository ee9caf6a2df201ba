"""What else goes on in a process, kept away from the codec.

PyTorch has settings that every call obeys, wherever they were made. What surprises:

- Under autocast, g_a would run in bfloat16 and an encoder write another stream. `undisturbed` switches it off.
- A process that was forked after a parallel computation has lost its threads, and the next parallel computation
  waits for them for ever. A forked child therefore computes on one thread.
- No tensor is made on the default device or of the default dtype: whoever makes one says both.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Neither gradients nor autocast, whatever surrounds the call. Also a decorator."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
