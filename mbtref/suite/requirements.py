"""What is required of an implementation, all of it: by id, with its capability, tier, source and limits.

The manifest, the messages of a run, the matrix and docs/requirements.md are made from this table, and nothing is
judged by a limit that isn't here. An id is never used for something else. § is a section of docs/specification.md.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

TIERS = ("smoke", "full", "kodak")
"""Each holds the ones before it: seconds, a minute, and what the Kodak pictures take."""
EACH = "each"
"""In place of a capability: that of the operation after which a case is named."""
PAPER = "Minnen et al. 2018"
BLACK, WHITE = 8, 247
"""Levels of nearly black and nearly white pictures, as far from the middle. Nothing is clipped at them."""
PORTABLE_SIDES = (256, 384)
"""Height and width: 24,576 latents at M = 64. A float codec goes astray on them once in a hundred times."""


class Limit(NamedTuple):
    """How far an answer may depart."""

    value: float
    unit: str
    text: str
    """What is bounded, and where the number comes from."""


class Requirement(NamedTuple):
    """One thing that is required."""

    capability: str
    tier: str
    """The smallest of TIERS that checks it."""
    source: str
    """Where it is written."""
    text: str
    limits: Mapping[str, Limit] = {}
    """By name. Floats of single vectors have tolerances of their own, in the manifest."""


LEVEL = Limit(1, "of 255 levels", "difference of a sample of the picture: g_s is float and then rounded")
NEAR_A_TIE = Limit(
    1,
    "of 255 levels",
    "difference of a sample whose golden value lies near a rounding tie: nearer than the tolerance of g_s, "
    "measured as for TRANSFORM-3. The vector has the places of these samples. All others are equal",
)
PORTABLE = {
    "latent": Limit(
        0.01,
        "of a step",
        "change of a latent. Means of float networks move by 10^-5, a decoder that goes astray by whole steps",
    ),
    "level": LEVEL,
}
FLIPS = "a flip changes the contexts of all latents that follow"

REQUIREMENTS: Mapping[str, Requirement] = {
    "TRANSFORM-1": Requirement("transforms", "smoke", f"§12; {PAPER}, figure 1 and table 1",
        "Analysis g_a turns x into y."),
    "TRANSFORM-2": Requirement("transforms", "smoke", f"§12; {PAPER}, figure 1 and table 1",
        "Hyper-analysis h_a turns y, not its absolute values, into z."),
    "TRANSFORM-3": Requirement("transforms", "smoke", f"§9; {PAPER}, figure 1 and table 1",
        "Synthesis g_s turns y_hat into x_hat."),
    "FLOAT-1": Requirement("entropy-float", "smoke", f"§13; {PAPER}, section 3",
        "From given z_hat and y_hat: psi of h_s, phi of the masked context model, sigma and mu of "
        "entropy_parameters, the scale first."),
    "FLOAT-2": Requirement("entropy-float", "smoke", f"§13; {PAPER}, section 3; CompressAI's eval mode",
        "The forward pass rounds open-loop: y_hat = round(y), z_hat = round(z - median) + median; the "
        "likelihoods are those of round(y - mu) + mu under sigma >= 0.11, and of z_hat, none below 1e-9."),
    "FLOAT-3": Requirement("entropy-float", "full", f"§13; {PAPER}, section 3; CompressAI's eval mode",
        "Likelihoods of given latents: of round(y - mu) + mu under sigma >= 0.11, and of z_hat in the "
        "factorized density; none below 1e-9."),
    "EXACT-1": Requirement("entropy-exact", "smoke", "§§2 to 4",
        "From given k_z and y_hat: z_hat, psi, phi, sigma, mu in grid units, and the table indexes, all as "
        "integers."),
    "EXACT-2": Requirement("entropy-exact", "full", "§§3 and 12",
        "From given k_z and y: mu, index, k = floor(y - mu + 1/2) and y_hat = saturate(k + mu) in closed loop, "
        "where the context is the y_hat of earlier positions."),
    "RANS-1": Requirement("rans", "smoke", "§5",
        "Symbols become these bytes under given tables."),
    "RANS-2": Requirement("rans", "smoke", "§5",
        "Bytes become these symbols under given tables."),
    "RANS-3": Requirement("rejection", "smoke", "§§5 and 7",
        "A stream that breaks a rule is refused, with the kind."),
    "BUFFER-1": Requirement("buffers", "smoke", "§8",
        "Open-loop latents become these raw bytes."),
    "BUFFER-2": Requirement("buffers", "smoke", "§8",
        "Open-loop latents become this header and one whole zlib stream that inflates to the same bytes. What "
        "it deflates to is free: builds of zlib differ.", {
            "header": Limit(32, "bytes",
                "length of the header, which is compared as it is"),
        }),
    "BUFFER-3": Requirement("buffers", "smoke", "§8",
        "A raw buffer becomes these latents."),
    "BUFFER-4": Requirement("buffers", "smoke", "§8",
        "A deflated buffer, of any level, becomes these latents."),
    "BUFFER-5": Requirement("rejection", "full", "§8",
        "A buffer that breaks a rule is refused, with the kind."),
    "DECODE-1": Requirement("decode", "smoke", "§§1 to 6, 9",
        "A stream decodes to exactly these latents, and to this picture but for its last level.", {
            "level": NEAR_A_TIE,
        }),
    "DECODE-2": Requirement("decode", "full", "§7",
        "A stream that breaks a rule is refused, with the kind of the check that fails first."),
    "DECODE-3": Requirement("decode", "kodak", "§§1 to 6",
        "The stream of a Kodak picture decodes to latents with this SHA-256: of (M, 4h, 4w) int32 in units of "
        "2^-10, little-endian, in C order."),
    "DECODE-4": Requirement("decode", "full", "§§1 to 6, 9",
        "A stream of a large picture or of extreme sides decodes to latents with this SHA-256 (see DECODE-3), "
        "and to this picture, if one is given, but for its last level.", {
            "level": NEAR_A_TIE,
        }),
    "ENCODE-1": Requirement("encode", "full", "§12",
        "A stream costs what the golden one does, in bytes and in quality of its picture, and pictures come "
        "out neither darker nor lighter. How an encoder rounds is free.", {
            "rate": Limit(0.05, "relative",
                "bytes beyond the golden stream's. bfloat16 transforms and h_a of round(y) together: up to 3.2 "
                "%. z rounded without its medians: up to 16 %, and beyond the limit in 7 of 12 pictures; h_a "
                "of absolute values: up to 20 %, and in 7, too"),
            "psnr": Limit(0.2, "dB",
                "loss of PSNR against the golden stream's picture, beyond what saved bytes pay. bfloat16 "
                "transforms: up to 0.07; with a dead zone of 0.2 of a step too: up to 0.12. Padding with "
                "zeros: 0.32 to 0.55, with the mean: up to 0.34; a dead zone of 0.3: up to 0.37"),
            "worth": Limit(0.03, "dB per percent",
                "what saved bytes pay, so that an encoder may trade quality for rate: twice what rate is worth "
                "between neighbouring lite models on the Kodak pictures, 0.012 to 0.018"),
            "shift": Limit(0.3, "of 255 levels",
                f"mean error of pictures of one level, {BLACK} or {WHITE}, at all models. A dead zone draws "
                "both to the middle, which cancels. Right encoders: up to 0.16; pixels divided by 256 or 254: "
                "0.51 and 0.53, less 1: 0.90"),
        }),
    "ROUNDTRIP-1": Requirement("roundtrip", "full", "§14",
        "A decoded picture has the size of the original."),
    "ROUNDTRIP-2": Requirement("roundtrip", "full", "§12",
        "The same picture gives the same bytes."),
    "ROUNDTRIP-3": Requirement("roundtrip", "full", "§12",
        "The decoder has the latents and the picture that the encoder held."),
    "ROUNDTRIP-4": Requirement("roundtrip", "full", "§§12 and 14",
        "Padding is replication and is cut off again: the padded picture decodes to the same top left."),
    "ROUNDTRIP-5": Requirement("roundtrip", "full", "§8",
        "Latents come out of a buffer as they went in, and decode to the forward pass's picture without drift."),
    "STATE-1": Requirement(EACH, "full", "§14",
        "A question gets the same answer again after another one of its shape, which gets an answer of its own."),
    "PORTABLE-1": Requirement("portable", "full", "§2",
        "A made picture, compressed in one process, is the same when processes that compute as other machines "
        "do decompress it.", PORTABLE),
    "PORTABLE-2": Requirement("portable", "kodak", "§2",
        f"The same for the top left of each Kodak picture, {PORTABLE_SIDES[0]}×{PORTABLE_SIDES[1]} pixels.",
        PORTABLE),
    "REPRODUCIBLE-1": Requirement("reproducible", "full", "§10",
        "A picture is encoded to exactly this stream, on every machine."),
    "REPRODUCIBLE-2": Requirement("reproducible", "full", "§10",
        "A stream is decoded to exactly these pixels, on every machine."),
    "REPRODUCIBLE-3": Requirement("reproducible", "kodak", "§10",
        "A Kodak picture is encoded to the stream with this SHA-256."),
    "REPRODUCIBLE-4": Requirement("reproducible", "kodak", "§10",
        "The stream of a Kodak picture is decoded to pixels with this SHA-256: of (H, W, 3) uint8 in C order."),
    "KODAK-1": Requirement("kodak", "kodak", f"§13; {PAPER}, section 3; CompressAI's eval mode",
        "The forward pass has this PSNR, MS-SSIM and theoretical rate.", {
            "psnr": Limit(0.01, "dB",
                "difference of PSNR: a few roundings of 10^5 go the other way"),
            "msssim": Limit(0.01, "dB",
                "difference of -10 log10(1 - MS-SSIM), for the same reason: up to 0.0004"),
            "rate": Limit(0.001, "relative",
                "difference of the rate: the same, and last digits of likelihoods"),
        }),
    "KODAK-2": Requirement("kodak", "kodak", "§§1 to 6",
        "A real stream, in the subject's own format if it has one, has this PSNR, MS-SSIM and rate.", {
            "psnr": Limit(0.02, "dB",
                f"difference of PSNR, of a subject that declares `encode`: {FLIPS}. Right encoders, in tiles or "
                "not, on simulated processors: up to 0.007"),
            "msssim": Limit(0.03, "dB",
                "difference of -10 log10(1 - MS-SSIM), of the same subjects: the same, and up to 0.009"),
            "rate": Limit(0.003, "relative",
                "difference of the rate, of the same subjects: the same, and up to 0.12 %"),
            "own_psnr": Limit(0.05, "dB",
                f"the same, of one with a format of its own: {FLIPS}. 2.5 times the largest change of a Kodak "
                "picture between the exact networks and float64 ones (`python -m training.exact_cost`)"),
            "own_msssim": Limit(0.12, "dB",
                "difference of -10 log10(1 - MS-SSIM), of the same: 2.5 times the largest change there"),
            "own_rate": Limit(0.02, "relative",
                "the same: 0.4 % for these networks, and up to 1.7 % for the next larger scale in place of the "
                "nearest one (§4)"),
        }),
}  # fmt: skip


def limit(requirement: str, name: str) -> float:
    """The value of a limit."""
    return REQUIREMENTS[requirement].limits[name].value


def as_json() -> dict[str, object]:
    """The table as the manifest has it."""
    return {
        key: {
            "capability": requirement.capability,
            "tier": requirement.tier,
            "text": requirement.text,
            "source": requirement.source,
            "limits": {name: bound._asdict() for name, bound in requirement.limits.items()},
        }
        for key, requirement in REQUIREMENTS.items()
    }


def page() -> str:
    """docs/requirements.md."""
    return "\n".join([
        "# What is required",
        "",
        "*Made by `mbtref requirements`; not to be edited.*",
        "",
        "The suite judges by this table and by the tolerances of single vectors. "
        "[`vectors/manifest.json`](../vectors/manifest.json) has both. An output without a tolerance must be "
        "equal. § is a section of the [specification](specification.md). A tier holds those before it: smoke, "
        "full, kodak.",
        "",
        "| id | capability | tier | what is required | source |",
        "|---|---|---|---|---|",
        *(f"| {key} | {r.capability} | {r.tier} | {r.text} | {r.source} |" for key, r in REQUIREMENTS.items()),
        "",
        "## Limits",
        "",
        "| id | limit | value | of what |",
        "|---|---|---:|---|",
        *(f"| {key} | {name} | {bound.value:g} {bound.unit} | {bound.text} |" for key, name, bound in limits()),
        "",
    ])  # fmt: skip


def limits() -> Iterator[tuple[str, str, Limit]]:
    """All limits with their requirement and name."""
    for key, requirement in REQUIREMENTS.items():
        for name, bound in requirement.limits.items():
            yield key, name, bound
