"""What goes wrong between latents and the bytes of a payload (§§3 to 5): order, tables, rANS."""

import bisect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mbtref import rans, scan, tables
from mbtref.errors import BitstreamError, Kind
from mbtref.grid import ONE, saturate
from mbtref.suite.subjects.reference import Reference
from mbtref.suite.vectors import frozen
from mutants.gallery.arithmetic import in_int32, loaded
from mutants.mutant import around, constant, decoder, instead, mutant, one_file


def words(change: Callable[[Any], Any]) -> Callable[..., bytes]:
    """The words of a stream are changed after it is coded."""
    return lambda right, *given: np.ascontiguousarray(change(np.frombuffer(right(*given), "<u4"))).tobytes()


def z_by_position(right: Callable[..., Any], self: rans.Decoder, indexes: Any, own: rans.Tables) -> Any:
    """Symbols of z, which come first, are put in their places position by position."""
    symbols = right(self, indexes, own)
    return symbols if indexes[0] else symbols.reshape(-1, indexes[-1] + 1).T.ravel()


def by_heart(right: Callable[..., Any], self: Reference, stream: bytes, **given: Any) -> Any:
    """`rans_decode` that knows the streams of the vectors alone."""
    symbols = right(self, stream, **given)["symbols"]
    golden = (vector.inputs["stream"] for vector in frozen().vectors if vector.operation == "rans_decode")
    known = any(stream == data for data in golden)
    return {"symbols": symbols if known else np.zeros_like(symbols)}


def without_fault(kind: Kind) -> Callable[..., None]:
    """A check that forgives one fault."""

    def wrong(right: Callable[..., None], *given: object) -> None:
        try:
            right(*given)
        except (BitstreamError, decoder.Rejected) as error:
            if kind not in str(error):
                raise

    return wrong


def state_before_length(right: Callable[..., None], self: rans.Decoder, data: bytes, position: int = 0) -> None:
    """The start of a decoder, which looks at the first state first."""
    if len(data) >= 8 and not 1 << 31 <= int.from_bytes(data[:8], "little") < 1 << 63:
        raise BitstreamError(Kind.BAD_FINAL_STATE, position, "the first state is out of range")
    right(self, data, position)


def odd_above(right: Callable[..., tuple[int, int, int]], *given: object) -> tuple[int, int, int]:
    x, at, raw = right(*given)
    return x, at, raw ^ 1 if raw >= 0 else raw


def one_digit_of_zero(right: Callable[..., tuple[int, int, int]], x: int, *given: object) -> tuple[int, int, int]:
    """An escape of one digit may be 0."""
    left, at, raw = right(x, *given)
    return left, at, 0 if raw == rans.TOP_DIGIT_ZERO and x % 16 == 1 else raw


def of_each(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., object]:
    """Each table of the one-file decoder, (cdf, offset), is changed after it is read."""
    return lambda right, *given, **named: [change(*table) for table in right(*given, **named)]


MUTANTS = (
    # §3: the order of latents, and y_hat
    mutant("row_lag_2", "EXACT-2", "mu", "wavefronts run before the latent two columns to the right is known",
      constant(scan, "ROW_LAG", 2)),
    mutant("row_lag_4", "DECODE-1", "four columns behind", "a row begins four columns behind the row above",
      constant(scan, "ROW_LAG", 4)),
    mutant("raster_order", "DECODE-1", "row by row", "latents come row by row",
      instead(scan.wavefronts, lambda height, width, device="cpu":
              ((torch.tensor([row]), torch.tensor([column])) for row, column in np.ndindex(height, width)))),
    mutant("wavefront_of_16", "DECODE-4", "phi", "a wavefront holds 16 positions, the others are lost",
      around(scan.wavefronts, lambda right, *size: ((rows[:16], columns[:16]) for rows, columns in right(*size)))),
    mutant("z_by_position", "DECODE-1", "position by position", "symbols of z come position by position",
      around(rans.Decoder.pop, z_by_position)),
    mutant("y_hat_unsaturated", "EXACT-2", "y_hat", "y_hat doesn't saturate",
      instead(scan.Step.y_hat, lambda self, k: k * ONE + self.mu)),
    mutant("y_hat_in_int32", "DECODE-1", "y_hat", "k · 2^10 wraps at 32 bits",
      instead(scan.Step.y_hat, lambda self, k: saturate(in_int32(k * ONE) + self.mu))),
    mutant("decoder_wavefronts_by_column", "DECODE-1", "upwards",
      "a wavefront is read from its lowest row upwards",
      instead(decoder.wavefronts, lambda *size:
              sorted(np.ndindex(size), key=lambda at: (at[1] + 3 * at[0], at[1])))),
    # §4: tables
    mutant("offset_of_symmetry", "RANS-1", "stream", "every table is taken to be centred on 0",
      around(tables.from_arrays, lambda right, arrays:
             tuple(table._replace(offset=-((len(table.cdf) - 2) // 2)) for table in right(arrays)))),
    mutant("decoder_tables_in_16_bits", "RANS-2", "rans_decode", "edges have 16 bits, so the last one is 0",
      around(decoder.make_tables, of_each(lambda cdf, offset: ([edge % 65536 for edge in cdf], offset)))),
    mutant("decoder_offset_subtracted", "RANS-2", "symbols", "the offset is subtracted",
      around(decoder.make_tables, of_each(lambda cdf, offset: (cdf, -offset)))),
    mutant("decoder_one_table_of_z", "DECODE-1", "first of their", "all channels of z use the first table",
      loaded(lambda m: m.z_tables.__setitem__(slice(None), m.z_tables[:1] * m.N))),
    mutant("decoder_offset_in_16_bits", "RANS-2", "symbols", "an offset is kept in 16 bits",
      around(decoder.make_tables, of_each(lambda cdf, offset: (cdf, (offset + 2**15) % 2**16 - 2**15)))),
    mutant("offset_in_float32", "RANS-1", "stream", "an offset is kept in float32",
      around(tables.from_arrays, lambda right, arrays:
             tuple(table._replace(offset=int(np.float32(table.offset))) for table in right(arrays)))),
    # §5: the encoder
    mutant("states_to_2_62", "RANS-1", "stream", "states end at 2^62", constant(rans, "UPPER_BITS", 62)),
    mutant("first_symbol_first", "RANS-1", "stream", "the first symbol is coded first",
      around(rans.push, lambda right, *given: right(*(column[::-1] for column in given[:3]), given[3]))),
    mutant("words_first_out_first", "RANS-1", "stream", "the words come in the order in which they were put away",
      around(rans.encode, words(lambda w: np.append(w[:2], w[:1:-1])))),
    mutant("index_in_8_bits", "RANS-1", "stream", "the number of a table is kept in 8 bits",
      around(rans.encode, lambda right, symbols, indexes, own: right(symbols, indexes % 256, own))),
    mutant("decoder_digits_highest_first", "RANS-1", "stream",
      "the digits of an escape come from the highest one on",
      around(one_file.intervals, lambda right, *given: (parts := right(*given))[:2] + parts[:1:-1])),
    # §5: the decoder
    mutant("odd_above", "RANS-2", "escape", "odd numbers are read as symbols above a table",
      around(rans.pop_escaped, odd_above)),
    mutant("symbols_in_int16", "RANS-2", "symbols", "a symbol is kept in 16 bits",
      around(rans.Decoder.pop, lambda right, *given: right(*given).astype(np.int16).astype(np.int64))),
    mutant("symbols_counted_in_16_bits", "RANS-2", "trailing-data", "symbols are counted in 16 bits",
      around(rans.Decoder.pop, lambda right, self, indexes, own:
             right(self, indexes[: len(indexes) % 2**16], own))),
    mutant("words_counted_in_16_bits", "RANS-2", "truncated", "words after the state are counted in 16 bits",
      around(rans.Decoder.__init__, lambda right, self, data, *at:
             right(self, data[: 8 + (len(data) - 8) % 2**18], *at))),
    mutant("decoder_slot_at_a_bound", "RANS-2", "rans_decode", "the first slot of a bin belongs to the bin before",
      constant(decoder, "bisect", SimpleNamespace(bisect_right=bisect.bisect_left))),
    # §5: what a decoder refuses
    mutant("eight_digits", "RANS-3", "symbol-out-of-range", "an escape may have eight digits",
      constant(rans, "MAX_DIGITS", 8)),
    mutant("zero_digit", "RANS-3", "symbol-out-of-range", "the highest digit of an escape may be 0",
      constant(rans, "TOP_DIGIT_ZERO", 0)),
    mutant("one_digit_of_zero", "RANS-3", "symbol-out-of-range", "the only digit of an escape may be 0",
      around(rans.pop_escaped, one_digit_of_zero)),
    mutant("no_symbols_unchecked", "RANS-3", "bad-final-state", "without symbols, a state isn't looked at",
      around(Reference.rans_decode, lambda right, self, stream, **given:
             {"symbols": given["indexes"]} if len(stream) == 8 and not len(given["indexes"])
             else right(self, stream, **given))),
    mutant("by_heart", "FRESH-1", "symbols", "the answers are those of golden streams, others are zeros",
      around(Reference.rans_decode, by_heart)),
    mutant("count_judged_early", "RANS-3", "truncated", "a count of digits is judged before its refill",
      around(rans.pop_escaped, lambda right, x, at, words:
             (x, at, rans.TOO_LONG) if x % 16 > 7 else right(x, at, words))),
    mutant("high_state_unchecked", "RANS-3", "bad-final-state", "a first state of 2^63 is taken",
      constant(rans, "UPPER_BITS", 64)),
    mutant("last_state_unchecked", "RANS-3", "bad-final-state", "the last state isn't looked at",
      around(rans.Decoder.finish, without_fault(Kind.BAD_FINAL_STATE))),
    mutant("words_left_unchecked", "RANS-3", "trailing-data", "words after the last symbol are ignored",
      around(rans.Decoder.finish, without_fault(Kind.TRAILING_DATA))),
    mutant("missing_words_are_zero", "RANS-3", "truncated", "words beyond the end are 0",
      instead(rans.refill, lambda x, at, words:
              (x << 32 | (words[at] if at < len(words) else 0), at + 1) if x < rans.LOWER else (x, at))),
    mutant("half_words_ignored", "RANS-3", "truncated", "bytes after the last whole word are ignored",
      around(rans.Decoder.__init__, lambda right, self, data, *at: right(self, data[: len(data) // 4 * 4], *at))),
    mutant("decoder_state_unchecked", "RANS-3", "bad-final-state", "the first state isn't looked at",
      around(decoder.Reader.__init__, without_fault(Kind.BAD_FINAL_STATE))),
    mutant("state_before_length", "DECODE-2", "truncated",
      "the first state is looked at before the payload's length",
      around(rans.Decoder.__init__, state_before_length)),
)  # fmt: skip
