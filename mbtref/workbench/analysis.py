"""The data behind the figures of one picture at one model: plain arrays, unpadded pictures.

The rate of a *channel* and that of a *block* differ. A channel's is estimated from the likelihoods of the forward
pass. The map of *blocks* shows what the stream really spends: the bits of every coding step under its table.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mbtref import image, planes, rans, scan
from mbtref.bitstream import STRIDE_Y, STRIDE_Z
from mbtref.brief import brief
from mbtref.codec import Encoded
from mbtref.compiled import Array as Integers
from mbtref.model import Model
from mbtref.workbench.evaluate import measure
from mbtref.workbench.records import Record

Array = npt.NDArray[np.float64]


class Analysis(NamedTuple):
    """One picture at one model. Pictures are (H, W, 3) in [0, 1], unpadded."""

    record: Record
    x: Array
    open_loop: Array
    """x_hat of the forward pass and of the latent buffers."""
    closed_loop: Array
    """x_hat of the bitstream."""
    y_hat: Array
    """(M, 4h, 4w) integers, open-loop: the content of a latent buffer."""
    channel_bpp: Array
    """(M,) theoretical rate of each channel of y; sums to `record.bpp_y`."""
    block_bits: Array
    """(4h, 4w) bits that the stream spends on each block of STRIDE_Y × STRIDE_Y pixels, padding included."""

    def __repr__(self) -> str:
        return brief(self)


def analyse(model: Model, picture: image.Image, name: str) -> Analysis:
    """Measures a picture. Arguments and errors as for `evaluate`."""
    measured = measure(model, picture, name)
    height, width, _ = picture.shape

    def pixels(x_hat: Tensor) -> Array:
        return x_hat[0, :, :height, :width].clamp(0, 1).permute(1, 2, 0).double().numpy()

    bits_of_y = -measured.forward.y_likelihoods[0].double().log2()
    return Analysis(
        record=measured.record,
        x=pixels(planes.to_tensor(picture)),
        open_loop=pixels(measured.forward.x_hat),
        closed_loop=pixels(measured.x_hat),
        y_hat=measured.forward.y_hat[0].double().numpy(),
        channel_bpp=bits_of_y.sum((1, 2)).numpy() / (height * width),
        block_bits=block_bits(measured.encoded, model),
    )


def symbol_bits(symbols: Integers, indexes: Integers, tables: rans.Tables) -> Array:
    """(S,) bits that each symbol of a message costs, escapes included. Arguments as for `rans.steps`."""
    steps = rans.steps(symbols, indexes, tables)
    # a symbol begins with the only one of its steps that has PRECISION bits
    symbol = np.cumsum(steps.bits == rans.PRECISION) - 1
    return np.bincount(symbol, steps.bits - np.log2(steps.freq), len(symbols)).astype(np.float64)


def block_bits(encoded: Encoded, model: Model) -> Array:
    """`Analysis.block_bits` of a stream. y counts at its position; z is shared equally by its blocks."""
    _, M, height, width = encoded.y_hat.shape
    bits = symbol_bits(encoded.symbols, encoded.indexes, model.tables)
    ratio = STRIDE_Z // STRIDE_Y
    z_bits, y_bits = np.split(bits, [len(bits) - M * height * width])
    blocks: Array = z_bits.reshape(-1, height // ratio, width // ratio).sum(0)
    blocks = blocks.repeat(ratio, 0).repeat(ratio, 1) / ratio**2
    steps = list(scan.wavefronts(height, width))
    rows, columns = (np.concatenate([step[side].numpy() for step in steps]) for side in (0, 1))
    blocks[rows, columns] += y_bits.reshape(-1, M).sum(1)
    return blocks
