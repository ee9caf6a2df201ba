"""Weights that compress: a trained model's last step before its file.

A float32 weight has 23 bits of mantissa, and most of them are noise that no archive can shorten. Cut to the
10 of a 16-bit float, the archives of a model take two thirds of the size. Each weight moves by 2⁻¹¹ of itself
at most.
"""

import torch
from torch import Tensor

from mbtref.model import MBT2018

MANTISSA = 23
"""Bits of mantissa in a float32."""
KEPT = 10
"""Bits that are kept, those of a 16-bit float. The exponent stays a float32's: nothing overflows."""


def cut_mantissa(weight: Tensor) -> Tensor:
    """The nearest floats with KEPT bits of mantissa, ties to even. weight: float32, finite, any shape."""
    dropped = MANTISSA - KEPT
    # floats of one sign are in the order of their bits: a rounding of the bits is a rounding of the float
    bits = weight.contiguous().view(torch.int32)
    odd = bits >> dropped & 1
    return (bits + (1 << dropped - 1) - 1 + odd >> dropped << dropped).view(torch.float32)


@torch.no_grad()
def compact(net: MBT2018) -> None:
    """Cuts the mantissas of all weights, and sets to 0 the weights that the mask of the context hides."""
    context = net.context_prediction
    context.weight *= context.mask
    for parameter in net.parameters():
        parameter.copy_(cut_mantissa(parameter))
