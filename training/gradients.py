"""Gradients that can leave a bound.

The codec bounds GDN's parameters, scales and likelihoods with `x.clamp(min=bound)`. Below the bound, the gradient
of a clamp is zero, so a weight that got there could never return. Inside this mode it can, as in CompressAI.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,), (grad,) = ctx.saved_tensors, grads
        return grad * ((x >= ctx.bound) | (grad < 0)), None


class BoundsPassGradients(TorchFunctionMode):
    """Inside `with`, `x.clamp(min=bound)` passes a gradient below the bound if descent would raise x.

    Only the method called with `min` alone is replaced. Its values stay the same.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.clamp and len(args) == 1 and kwargs.keys() == {"min"}:
            return _LowerBound.apply(args[0], kwargs["min"])  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)
