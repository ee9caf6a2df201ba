"""Mutants of the reference, by module."""

from mutants.mutant import Mutant

M = Mutant

MUTANTS = (
    # grid
    M("half_down", "grid", "torch.floor(v + 0.5)", "torch.ceil(v - 0.5)", "EXACT-1", "psi",
      "halves are rounded down"),
    M("half_to_even", "grid", "torch.floor(v + 0.5)", "torch.round(v)", "EXACT-1", "z_hat",
      "halves are rounded to even"),
    # exact
    M("slope", "exact", "SLOPE, SLOPE_BITS = 1311, 17", "SLOPE, SLOPE_BITS = 1310, 17", "EXACT-1", "psi",
      "LeakyReLU's slope is 1310 / 2^17"),
    # codec
    M("open_loop", "codec", "k = nearest_symbol(step.of(y_units) - step.mu)",
      "k = nearest_symbol(step.of(y_units))", "ENCODE-1", "", "the encoder rounds y in place of y - mu"),
    # bitstream
    M("checksum_of_payload", "bitstream", "zlib.crc32(payload, zlib.crc32(data[: _FIELDS.size]))",
      "zlib.crc32(payload)", "DECODE-1", "checksum-mismatch", "the checksum is that of the payload alone"),
    # layers
    M("igdn_divides", "layers", "x * torch.sqrt(norm) if self.inverse", "x * torch.rsqrt(norm) if self.inverse",
      "TRANSFORM-3", "x_hat", "the inverse GDN divides"),
)  # fmt: skip
