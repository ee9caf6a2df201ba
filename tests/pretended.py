"""A device that says it is a GPU, and computes on the CPU: a test sees where tensors lie, and what is copied."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = "cuda:0"
"""Its name. PyTorch without CUDA understands no shorter one."""


class Far(Tensor):
    """A tensor on this device. near: its values."""

    near: Tensor
    device = torch.device(GPU)

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        layout = (near.shape, near.stride(), near.storage_offset())
        far = Tensor._make_wrapper_subclass(cls, *layout, dtype=near.dtype, device=torch.device("meta"))
        far.near = near
        return far

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **named: object) -> Any:
        raise AssertionError("an array of values on a GPU: they aren't copied to the CPU")

    @classmethod
    def __torch_dispatch__(cls, operation: Any, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        raise AssertionError(f"{operation} of values on a GPU that is pretended no more")


class Pretended(TorchDispatchMode):
    """The device. Raises AssertionError where an operation has tensors on two."""

    up = down = 0
    """Copies to the device, and those to the CPU, which waits for them."""

    def __torch_dispatch__(
        self, operation: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, named = operation.overloadpacket.__name__, dict(kwargs or {})
        tensors = [v for v in tree_leaves((args, named)) if isinstance(v, Tensor)]
        far = {id(v.near): v for v in tensors if isinstance(v, Far)}
        assert not far or all(isinstance(v, Far) or v.ndim == 0 for v in tensors), f"{name} on two devices"
        place = named.pop("device", None)
        there = bool(far) if place is None else torch.device(place).type != "cpu"
        args, named = tree_map(lambda v: v.near if isinstance(v, Far) else v, (args, named))
        result = operation(*args, **named)
        self.up += there and not far and name == "_to_copy"
        self.down += bool(far) and (not there or isinstance(result, int | float))

        def put(v: object) -> object:
            return (far[id(v)] if id(v) in far else Far(v)) if isinstance(v, Tensor) else v

        return tree_map(put, result) if there else result


@contextmanager
def pretended_gpu() -> Iterator[Pretended]:
    """In this block, PyTorch has this device."""
    with (
        mock.patch("torch.cuda._lazy_init"),
        mock.patch("torch.cuda.get_device_name", return_value="pretended"),
        Pretended() as gpu,  # type: ignore[no-untyped-call]
    ):
        yield gpu
