"""What goes wrong at some sizes: tiles and strips without their borders, narrow integers, wide models."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbtref import scan
from mbtref.bitstream import Stream
from mbtref.exact import EntropyNetworks
from mbtref.suite.subjects.reference import Reference
from mbtref.transforms import Span, Tiled
from mutants.gallery.pictures import built
from mutants.mutant import around, decoder, mutant, one_file

IN_A_BLOCK = {"x": 64, "y": 4, "y_hat": 4, "k_z": 1, "z_hat": 1}
"""Rows or columns in 64 pixels, by input."""


def in_strips(blocks: int, axis: int) -> Callable[..., object]:
    """A stage that works on strips of so many blocks of 64 pixels. axis: 1 for strips of rows, 2 of columns."""

    def wrong(right: Callable[..., Any], self: object, model: str, **given: Any) -> object:
        strips = {
            name: np.split(v, range(step := blocks * IN_A_BLOCK[name], v.shape[axis], step), axis)
            for name, v in given.items()
        }
        parts = zip(*strips.values(), strict=True)
        answers = [right(self, model, **dict(zip(strips, part, strict=True))) for part in parts]
        return {name: np.concatenate([answer[name] for answer in answers], axis) for name in answers[0]}

    return wrong


def alone(span: Span) -> Span:
    """A tile that sees nothing beyond its own border."""
    return span._replace(first=span.begin, last=span.end)


def of_tiles(of: str, change: Callable[[Span, Span], Sequence[Span]]) -> Callable[..., Tensor]:
    """Tiles of g_a or g_s that see something else, and are cut to size."""

    def wrong(right: Callable[..., Tensor], self: Tiled, v: Tensor, *spans: Span) -> Tensor:
        return right(self, v, *(change(*spans) if self.name == of else spans))

    return wrong


def at_first(span: Span) -> Span:
    """The tile that begins with the first latent, in place of the third one or a later one."""
    early = span.begin if span.begin > 48 else 0
    return Span(*(max(0, place - early) for place in span))


MUTANTS = (
    # integers
    mutant("blocks_in_8_bits", "DECODE-4", "y_hat", "blocks of 64 pixels are counted in 8 bits",
      around(Stream.z_size, lambda right, self: tuple((side - 1) % 256 + 1 for side in right(self)))),
    mutant("crop_in_int16", "DECODE-4", "image", "a picture is cut to sides in signed 16 bits",
      around(Reference.shown, lambda right, self, model, y_hat, *sides:
             right(self, model, y_hat, *np.array(sides).astype(np.int16)))),
    mutant("columns_in_11_bits", "DECODE-4", "phi", "columns of latents have 11 bits",
      around(scan.wavefronts, lambda right, *size: ((rows, columns % 2048) for rows, columns in right(*size)))),
    mutant("decoder_places_in_13_bits", "DECODE-4", "y_hat", "places of latents, row by row, have 13 bits",
      around(decoder.wavefronts, lambda right, *size:
             [divmod((row * size[1] + column) % 8192, size[1]) for row, column in right(*size)])),
    # whole pictures in tiles
    mutant("corner_of_tiles", "DECODE-4", "image", "a tile of g_s with one above and one to its left sees neither",
      around(Tiled.tile, of_tiles("g_s", lambda rows, columns:
             (alone(rows), alone(columns)) if rows.begin and columns.begin else (rows, columns)))),
    mutant("third_tile_alone", "ENCODE-1", "bytes", "the third tile of g_a sees nothing beyond its border",
      around(Tiled.tile, of_tiles("g_a", lambda *spans: [alone(s) if s.begin > 48 else s for s in spans]))),
    mutant("third_tile_first", "ENCODE-1", "bytes", "the third tile of g_a is the first one again",
      around(Tiled.tile, of_tiles("g_a", lambda *spans: [at_first(span) for span in spans]))),
    # stages in strips
    mutant("g_a_in_strips", "TRANSFORM-1", "y", "g_a works on 256 columns at a time",
      around(Reference.g_a, in_strips(4, 2))),
    mutant("h_a_in_strips", "TRANSFORM-2", "z", "h_a works on 64 columns at a time",
      around(Reference.h_a, in_strips(16, 2))),
    mutant("g_s_in_strips", "TRANSFORM-3", "x_hat", "g_s works on 256 rows at a time",
      around(Reference.g_s, in_strips(4, 1))),
    mutant("parameters_in_strips", "FLOAT-1", "psi", "h_s and the context model work on 16 columns at a time",
      around(Reference.parameters, in_strips(4, 2))),
    mutant("forward_in_strips", "FLOAT-2", "z_hat", "the forward pass works on 256 columns at a time",
      around(Reference.forward, in_strips(4, 2))),
    mutant("psi_in_strips", "EXACT-1", "psi", "h_s works on 64 columns of psi at a time",
      around(EntropyNetworks.psi, lambda right, self, z_hat:
             torch.cat([right(self, part) for part in z_hat.split(16, 2)], 2))),
    mutant("decoder_parameters_in_strips", "EXACT-1", "psi", "the integer networks work on 128 rows at a time",
      around(one_file.OneFile.exact_parameters, in_strips(32, 1))),
    mutant("decoder_symbols_in_strips", "EXACT-2", "mu", "symbols are found on 64 columns at a time",
      around(one_file.OneFile.exact_symbols, in_strips(16, 2))),
    # models
    mutant("channels_of_128_reversed", "TRANSFORM-2", "z",
      "where M is 128, h_a takes channels in the other order, for speed",
      built(lambda m: m.h_a.register_forward_pre_hook(lambda _, given: given[0].flip(1) if m.M == 128 else None))),
    mutant("decoder_wide_q4_of_wide_q5", "DECODE-1", "unknown-model", "the file of wide-q5 is read for wide-q4",
      around(one_file.load, lambda right, model: right("wide-q5" if model == "wide-q4" else model))),
)  # fmt: skip
