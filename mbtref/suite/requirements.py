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
    text: str
    source: str
    """Where it is written."""
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
    "TRANSFORM-1": Requirement(
        "transforms", "smoke", "Analysis g_a turns x into y.", f"§12; {PAPER}, figure 1 and table 1"
    ),
    "TRANSFORM-2": Requirement(
        "transforms",
        "smoke",
        "Hyper-analysis h_a turns y, not its absolute values, into z.",
        f"§12; {PAPER}, figure 1 and table 1",
    ),
    "TRANSFORM-3": Requirement(
        "transforms", "smoke", "Synthesis g_s turns y_hat into x_hat.", f"§9; {PAPER}, figure 1 and table 1"
    ),
    "FLOAT-1": Requirement(
        "entropy-float",
        "smoke",
        "From given z_hat and y_hat: psi of h_s, phi of the masked context model, sigma and mu of "
        "entropy_parameters, the scale first.",
        f"§13; {PAPER}, section 3",
    ),
    "FLOAT-2": Requirement(
        "entropy-float",
        "smoke",
        "The forward pass rounds open-loop: y_hat = round(y), z_hat = round(z - median) + median; the likelihoods "
        "are those of round(y - mu) + mu under sigma >= 0.11, and of z_hat, none below 1e-9.",
        f"§13; {PAPER}, section 3; CompressAI's eval mode",
    ),
    "FLOAT-3": Requirement(
        "entropy-float",
        "full",
        "Likelihoods of given latents: of round(y - mu) + mu under sigma >= 0.11, and of z_hat in the factorized "
        "density; none below 1e-9.",
        f"§13; {PAPER}, section 3; CompressAI's eval mode",
    ),
    "EXACT-1": Requirement(
        "entropy-exact",
        "smoke",
        "From given k_z and y_hat: z_hat, psi, phi, sigma, mu in grid units, and the table indexes, all as "
        "integers.",
        "§§2 to 4",
    ),
    "EXACT-2": Requirement(
        "entropy-exact",
        "full",
        "From given k_z and y: mu, index, k = floor(y - mu + 1/2) and y_hat = saturate(k + mu) in closed loop, "
        "where the context is the y_hat of earlier positions.",
        "§§3 and 12",
    ),
    "RANS-1": Requirement("rans", "smoke", "Symbols become these bytes under given tables.", "§5"),
    "RANS-2": Requirement("rans", "smoke", "Bytes become these symbols under given tables.", "§5"),
    "RANS-3": Requirement(
        "rejection", "smoke", "A stream that breaks a rule is refused, with the kind.", "§§5 and 7"
    ),
    "BUFFER-1": Requirement("buffers", "smoke", "Open-loop latents become these raw bytes.", "§8"),
    "BUFFER-2": Requirement(
        "buffers",
        "smoke",
        "Open-loop latents become this header and one whole zlib stream that inflates to the same bytes. What it "
        "deflates to is free: builds of zlib differ.",
        "§8",
        {"header": Limit(32, "bytes", "length of the header, which is compared as it is")},
    ),
    "BUFFER-3": Requirement("buffers", "smoke", "A raw buffer becomes these latents.", "§8"),
    "BUFFER-4": Requirement("buffers", "smoke", "A deflated buffer, of any level, becomes these latents.", "§8"),
    "BUFFER-5": Requirement(
        "rejection", "full", "A buffer that breaks a rule is refused, with the kind.", "§8"
    ),
    "DECODE-1": Requirement(
        "decode",
        "smoke",
        "A stream decodes to exactly these latents, and to this picture but for its last level.",
        "§§1 to 6, 9",
        {"level": NEAR_A_TIE},
    ),
    "DECODE-2": Requirement(
        "decode",
        "full",
        "A stream that breaks a rule is refused, with the kind of the check that fails first.",
        "§7",
    ),
    "DECODE-3": Requirement(
        "decode",
        "kodak",
        "The stream of a Kodak picture decodes to latents with this SHA-256: of (M, 4h, 4w) int32 in units of "
        "2^-10, little-endian, in C order.",
        "§§1 to 6",
    ),
    "DECODE-4": Requirement(
        "decode",
        "full",
        "A stream of a large picture or of extreme sides decodes to latents with this SHA-256 (see DECODE-3), and "
        "to this picture, if one is given, but for its last level.",
        "§§1 to 6, 9",
        {"level": NEAR_A_TIE},
    ),
    "ENCODE-1": Requirement(
        "encode",
        "full",
        "A stream costs what the golden one does, in bytes and in quality of its picture, and pictures come out "
        "neither darker nor lighter. How an encoder rounds is free.",
        "§12",
        {
            "rate": Limit(
                0.05,
                "relative",
                "bytes beyond the golden stream's. bfloat16 transforms and h_a of round(y) together: up to 3.2 %. "
                "z rounded without its medians: up to 16 %, and beyond the limit in 7 of 12 pictures; h_a of "
                "absolute values: up to 20 %, and in 7, too",
            ),
            "psnr": Limit(
                0.2,
                "dB",
                "loss of PSNR against the golden stream's picture, beyond what saved bytes pay. bfloat16 "
                "transforms: up to 0.07; with a dead zone of 0.2 of a step too: up to 0.12. Padding with zeros: "
                "0.32 to 0.55, with the mean: up to 0.34; a dead zone of 0.3: up to 0.37",
            ),
            "worth": Limit(
                0.03,
                "dB per percent",
                "what saved bytes pay, so that an encoder may trade quality for rate: twice what rate is worth "
                "between neighbouring lite models on the Kodak pictures, 0.012 to 0.018",
            ),
            "shift": Limit(
                0.3,
                "of 255 levels",
                f"mean error of pictures of one level, {BLACK} or {WHITE}, at all models. A dead zone draws both "
                "to the middle, which cancels. Right encoders: up to 0.16; pixels divided by 256 or 254: 0.51 and "
                "0.53, less 1: 0.90",
            ),
        },
    ),
    "ROUNDTRIP-1": Requirement(
        "roundtrip", "full", "A decoded picture has the size of the original.", "§14"
    ),
    "ROUNDTRIP-2": Requirement("roundtrip", "full", "The same picture gives the same bytes.", "§12"),
    "ROUNDTRIP-3": Requirement(
        "roundtrip", "full", "The decoder has the latents and the picture that the encoder held.", "§12"
    ),
    "ROUNDTRIP-4": Requirement(
        "roundtrip",
        "full",
        "Padding is replication and is cut off again: the padded picture decodes to the same top left.",
        "§§12 and 14",
    ),
    "ROUNDTRIP-5": Requirement(
        "roundtrip",
        "full",
        "Latents come out of a buffer as they went in, and decode to the forward pass's picture without drift.",
        "§8",
    ),
    "STATE-1": Requirement(
        EACH,
        "full",
        "A question gets the same answer again after another one of its shape, which gets an answer of its own.",
        "§14",
    ),
    "PORTABLE-1": Requirement(
        "portable",
        "full",
        "A made picture, compressed in one process, is the same when processes that compute as other machines do "
        "decompress it.",
        "§2",
        PORTABLE,
    ),
    "PORTABLE-2": Requirement(
        "portable",
        "kodak",
        f"The same for the top left of each Kodak picture, {PORTABLE_SIDES[0]}×{PORTABLE_SIDES[1]} pixels.",
        "§2",
        PORTABLE,
    ),
    "REPRODUCIBLE-1": Requirement(
        "reproducible", "full", "A picture is encoded to exactly this stream, on every machine.", "§10"
    ),
    "REPRODUCIBLE-2": Requirement(
        "reproducible", "full", "A stream is decoded to exactly these pixels, on every machine.", "§10"
    ),
    "REPRODUCIBLE-3": Requirement(
        "reproducible", "kodak", "A Kodak picture is encoded to the stream with this SHA-256.", "§10"
    ),
    "REPRODUCIBLE-4": Requirement(
        "reproducible",
        "kodak",
        "The stream of a Kodak picture is decoded to pixels with this SHA-256: of (H, W, 3) uint8 in C order.",
        "§10",
    ),
    "KODAK-1": Requirement(
        "kodak",
        "kodak",
        "The forward pass has this PSNR, MS-SSIM and theoretical rate.",
        f"§13; {PAPER}, section 3; CompressAI's eval mode",
        {
            "psnr": Limit(0.01, "dB", "difference of PSNR: a few roundings of 10^5 go the other way"),
            "msssim": Limit(0.01, "dB", "difference of -10 log10(1 - MS-SSIM), for the same reason: up to 0.0004"),
            "rate": Limit(0.001, "relative", "difference of the rate: the same, and last digits of likelihoods"),
        },
    ),
    "KODAK-2": Requirement(
        "kodak",
        "kodak",
        "A real stream, in the subject's own format if it has one, has this PSNR, MS-SSIM and rate.",
        "§§1 to 6",
        {
            "psnr": Limit(
                0.02,
                "dB",
                f"difference of PSNR, of a subject that declares `encode`: {FLIPS}. Right encoders, in tiles or "
                "not, on simulated processors: up to 0.007",
            ),
            "msssim": Limit(
                0.03, "dB", "difference of -10 log10(1 - MS-SSIM), of the same subjects: the same, and up to 0.009"
            ),
            "rate": Limit(
                0.003, "relative", "difference of the rate, of the same subjects: the same, and up to 0.12 %"
            ),
            "own_psnr": Limit(
                0.05,
                "dB",
                f"the same, of one with a format of its own: {FLIPS}. 2.5 times the largest change of a Kodak "
                "picture between the exact networks and float64 ones (`python -m training.exact_cost`)",
            ),
            "own_msssim": Limit(
                0.12, "dB", "difference of -10 log10(1 - MS-SSIM), of the same: 2.5 times the largest change there"
            ),
            "own_rate": Limit(
                0.02,
                "relative",
                "the same: 0.4 % for these networks, and up to 1.7 % for the next larger scale in place of the "
                "nearest one (§4)",
            ),
        },
    ),
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
