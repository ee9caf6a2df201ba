"""Mutants of the one-file decoder and of the operations beside it."""

from mutants.mutant import Mutant

M = Mutant

MUTANTS = (
    M("decoder_slope", "decoder", "(units * 1311 + (1 << 16)) >> 17", "(units * 1310 + (1 << 16)) >> 17",
      "EXACT-1", "psi", "LeakyReLU's slope is 1310 / 2^17"),
    M("decoder_digits", "decoder", "if count > 7:", "if count > 8:", "RANS-3", "rans_decode",
      "an escape may have eight digits"),
)  # fmt: skip
