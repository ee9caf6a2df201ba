"""What is kept that shouldn't be: answers depend on earlier questions, or on the process (§§12 and 14)."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mbtref import codec, rans
from mbtref.errors import BitstreamError
from mbtref.exact import EntropyNetworks
from mbtref.openloop import buffers
from mbtref.suite.subjects.protocol import Rejected
from mbtref.suite.subjects.reference import Reference
from mbtref.transforms import Transforms
from mutants.mutant import Change, around, decoder, mutant, one_file


def data_of(value: Any) -> bytes:
    """The bytes of a tensor or an array, or those that there are; of anything else its type."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return np.asarray(value).tobytes()
    return value if isinstance(value, bytes) else str(value if isinstance(value, str) else type(value)).encode()


def kept(right: Callable[..., Any], key: Callable[[bytes], object] = len, of: str = "") -> Change:
    """The answer to the first question of a key is given again. key: of the bytes of each argument, or of one."""
    answers: dict[object, object] = {}

    def wrong(inner: Callable[..., Any], *given: object, **named: object) -> object:
        keys = tuple(key(data_of(value)) for value in ([named[of]] if of else [*given, *named.values()]))
        if keys not in answers:
            answers[keys] = inner(*given, **named)
        return answers[keys]

    return around(right, wrong)


def but_the_end(data: bytes) -> object:
    return data[:-8]


def but_the_beginning(data: bytes) -> object:
    return len(data), data[8:]


def by_sum(data: bytes) -> object:
    return len(data), sum(data)


def after_a_refusal(right: Callable[..., Any], change: Callable[..., Any]) -> Change:
    """A reader that treats a question otherwise if it has refused one of its size before.

    change: gets the right reader, the refusal, and the arguments.
    """
    refusals: dict[object, Exception] = {}

    def wrong(inner: Callable[..., Any], *given: object, **named: object) -> object:
        size = tuple(len(data_of(value)) for value in (*given, *named.values()))
        try:
            return (
                change(inner, refusals.pop(size), *given, **named) if size in refusals else inner(*given, **named)
            )
        except (BitstreamError, decoder.Rejected, Rejected) as refusal:
            refusals[size] = refusal
            raise

    return around(right, wrong)


def refused_again(right: object, refusal: Exception, *given: object, **named: object) -> object:
    raise refusal


def one_word_late(right: Callable[..., Any], _: object, self: Reference, stream: bytes, **given: Any) -> Any:
    """A reader that has a word of the refused stream in its buffer still."""
    return right(self, stream[:8] + bytes(4) + stream[8:-4], **given)


def taken_again(right: Callable[..., Any]) -> Change:
    """A reader that takes what it must refuse, if it has taken something of its size before."""
    answers: dict[object, object] = {}

    def wrong(inner: Callable[..., Any], *given: object, **named: object) -> object:
        size = tuple(len(data_of(value)) for value in (*given, *named.values()))
        try:
            answers[size] = inner(*given, **named)
        except (BitstreamError, decoder.Rejected, Rejected):
            if size not in answers:
                raise
        return answers[size]

    return around(right, wrong)


def seeded(right: Callable[..., Any], *given: object) -> Any:
    """y with noise that is the same as long as the process lives."""
    y = right(*given)
    noise = torch.rand(y.shape, generator=torch.Generator().manual_seed(os.getpid()))
    return y + noise / 4


MUTANTS = (
    # answers that are found again by too little of the question
    mutant("encode_kept", "STATE-1", "kept", "the stream is that of the first picture of its size",
      kept(codec.encode_latents)),
    mutant("psi_kept", "STATE-1", "psi", "psi is that of the first z_hat of its shape", kept(EntropyNetworks.psi)),
    mutant("rans_encode_kept", "STATE-1", "kept", "the bytes are those of the first message of that length",
      kept(rans.encode)),
    mutant("decoder_tables_kept", "STATE-1", "stream", "the first tables of a shape are kept",
      kept(decoder.make_tables)),
    mutant("decoder_pack_kept", "STATE-1", "answer", "the first latents of a shape are kept",
      kept(one_file.OneFile.pack_raw)),
    mutant("psi_but_the_last", "STATE-1", "psi", "psi is found again by z_hat without its last value",
      kept(EntropyNetworks.psi, but_the_end)),
    mutant("encode_but_the_last", "STATE-1", "kept", "a stream is found again by the picture without its end",
      kept(codec.encode_latents, but_the_end)),
    mutant("pack_by_sum", "STATE-1", "kept", "a buffer is found again by the sum of its latents' bytes",
      kept(Reference.pack_raw, by_sum)),
    mutant("h_a_but_the_first", "STATE-1", "kept", "z is found again by y without its first values",
      kept(Reference.h_a, but_the_beginning)),
    mutant("g_s_of_any_model", "STATE-1", "kept", "x_hat is found again by y_hat, whatever the model",
      kept(Reference.g_s, bytes, "y_hat")),
    mutant("rans_decode_by_stream", "STATE-1", "symbols", "symbols are found again by the stream alone",
      kept(Reference.rans_decode, bytes, "stream")),
    # what a refused question leaves behind
    mutant("decode_refused_again", "STATE-1", "refused", "a stream is refused after one of its size was",
      after_a_refusal(Reference.decode, refused_again)),
    mutant("rans_reader_dirty", "STATE-1", "refused", "a word of a refused stream stays in the reader",
      after_a_refusal(Reference.rans_decode, one_word_late)),
    mutant("unpack_zlib_refused_again", "STATE-1", "refused", "an inflater that found a fault finds it again",
      after_a_refusal(buffers.unpack_zlib, refused_again)),
    mutant("decoder_unpack_taken_again", "STATE-1", "refused", "a wrong buffer is taken after a right one",
      taken_again(one_file.OneFile.unpack_raw)),
    mutant("decode_taken_again", "STATE-1", "refused", "a wrong stream is taken after a right one",
      taken_again(Reference.decode)),
    # what another process does otherwise
    mutant("seeded_by_the_process", "ROUNDTRIP-2", "process", "an encoder's noise is that of its process",
      around(Transforms.g_a, seeded)),
)  # fmt: skip
