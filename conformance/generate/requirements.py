"""What is required, by id. An id is never used for something else."""

from typing import NamedTuple


class Requirement(NamedTuple):
    """One thing that the vectors check."""

    capability: str
    tier: str
    """The smallest run that checks it: smoke, full or kodak."""
    text: str
    """What is required, and where it is written: docs/specification.md as §, or Minnen et al. 2018."""


REQUIREMENTS = {
    "TRANSFORM-1": Requirement(
        "transforms", "smoke", "Analysis g_a turns x into y (Minnen et al. 2018, figure 1 and table 1)."
    ),
    "TRANSFORM-2": Requirement(
        "transforms", "smoke", "Hyper-analysis h_a turns y, not its absolute values, into z (the same)."
    ),
    "TRANSFORM-3": Requirement("transforms", "smoke", "Synthesis g_s turns y_hat into x_hat (the same; §3)."),
    "FLOAT-1": Requirement(
        "entropy-float",
        "smoke",
        "From given z_hat and y_hat: psi of h_s, phi of the masked context model, sigma and mu of "
        "entropy_parameters, the scale first (Minnen et al. 2018, section 3).",
    ),
    "FLOAT-2": Requirement(
        "entropy-float",
        "full",
        "The forward pass rounds open-loop: y_hat = round(y), z_hat = round(z - median) + median; the likelihoods "
        "are those of round(y - mu) + mu under sigma >= 0.11, and of z_hat, none below 1e-9 (Minnen et al. 2018, "
        "section 3; CompressAI's eval mode).",
    ),
    "EXACT-1": Requirement(
        "entropy-exact",
        "smoke",
        "From given k_z and y_hat: z_hat, psi, phi, sigma, mu in grid units, and the table indexes, all as "
        "integers (§§2 to 4).",
    ),
    "EXACT-2": Requirement(
        "entropy-exact",
        "full",
        "From given k_z and y: mu, index, k = floor(y - mu + 1/2) and y_hat = saturate(k + mu) in closed loop, "
        "where the context is the y_hat found before (§3).",
    ),
    "RANS-1": Requirement("rans", "smoke", "Symbols become these bytes under given tables (§5)."),
    "RANS-2": Requirement("rans", "smoke", "Bytes become these symbols under given tables (§5)."),
    "RANS-3": Requirement(
        "rejection", "smoke", "A stream that breaks a rule is refused, with the kind (§§5 and 7)."
    ),
    "BUFFER-1": Requirement("buffers", "smoke", "Open-loop latents become these raw bytes (§8)."),
    "BUFFER-2": Requirement(
        "buffers",
        "smoke",
        "Open-loop latents become this header and a zlib stream that inflates to the same bytes (§8). What it "
        "deflates to is free: builds of zlib differ.",
    ),
    "BUFFER-3": Requirement("buffers", "smoke", "A raw buffer becomes these latents (§8)."),
    "BUFFER-4": Requirement("buffers", "smoke", "A deflated buffer, of any level, becomes these latents (§8)."),
    "BUFFER-5": Requirement("rejection", "full", "A buffer that breaks a rule is refused, with the kind (§8)."),
    "DECODE-1": Requirement(
        "decode",
        "smoke",
        "A stream decodes to exactly these latents, and within a level to this picture (§§1 to 6).",
    ),
    "DECODE-2": Requirement(
        "decode",
        "full",
        "A stream that breaks a rule is refused, with the kind of the check that fails first (§7).",
    ),
    "DECODE-3": Requirement(
        "decode",
        "kodak",
        "The stream of a Kodak picture decodes to latents with this SHA-256: of (M, h, w) int32 in units of "
        "2^-10, little-endian, in C order (§§1 to 6).",
    ),
    "REPRODUCIBLE-1": Requirement(
        "reproducible", "full", "A picture is encoded to exactly this stream, on every machine (§10)."
    ),
    "REPRODUCIBLE-2": Requirement(
        "reproducible", "full", "A stream is decoded to exactly these pixels, on every machine (§10)."
    ),
    "REPRODUCIBLE-4": Requirement(
        "reproducible",
        "kodak",
        "The stream of a Kodak picture is decoded to pixels with this SHA-256: of (H, W, 3) uint8 in C order "
        "(§10).",
    ),
}
