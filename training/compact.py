"""Weights that compress: a trained model's last step before its file.

A float32 weight has 23 bits of mantissa, and most of them are noise that no archive can shorten. Cut to the
10 of a 16-bit float, the archives of a model take two thirds of the size. Each weight moves by 2⁻¹¹ of itself
at most.
"""

import torch
from torch import Tensor

from mbtref.networks import MBT2018

KEPT = 10
"""Bits of mantissa that are kept, those of a 16-bit float. The exponent stays a float32's: nothing overflows."""


def cut_mantissa(weight: Tensor) -> Tensor:
    """The nearest floats with KEPT bits of mantissa, ties to even. weight: float32, finite, any shape."""
    # weight = significand · 2^exponent, |significand| in [1/2, 1): one bit more than the stored mantissa
    significand, exponent = torch.frexp(weight)
    units = 2 ** (KEPT + 1)
    return torch.ldexp(torch.round(significand * units) / units, exponent)


@torch.no_grad()
def compact(net: MBT2018) -> None:
    """Cuts the mantissas of all weights, and sets to 0 the weights that the mask of the context hides."""
    context = net.context_prediction
    context.weight *= context.mask
    for parameter in net.parameters():
        parameter.copy_(cut_mantissa(parameter))
