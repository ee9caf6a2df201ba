"""What an evaluation finds: records of one picture at one model, and their means; both as JSON."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from mbtref.suite import strict


@dataclass(frozen=True)
class Record:
    """One picture at one model. PSNR in dB, rates in bits per pixel of the unpadded picture, times in seconds.

    MS-SSIM is at most 1, and None for a picture that is too small for it, see `mbtref.suite.msssim`.
    """

    image: str
    """File name."""
    model: str
    fingerprint: str
    """Of the model, hexadecimal."""
    pixels: str
    """SHA-256 of the picture, (H, W, 3) uint8 in C order."""
    height: int
    width: int
    psnr: float
    """Of the forward pass: open-loop, float x_hat clamped to [0, 1]."""
    psnr_8bit: float
    """The same after rounding to 8 bits."""
    msssim: float | None
    """Of the forward pass, as `psnr`."""
    bpp_y: float
    """Sum of -log2 of the likelihoods of y in the forward pass."""
    bpp_z: float
    bpp_theoretical: float
    """bpp_y + bpp_z."""
    bpp_buffer_raw: float
    """Latent buffer of int16, header included."""
    bpp_buffer_zlib: float
    drift_buffer: float
    """Largest absolute difference between g_s of the unpacked buffer and the forward x_hat; should be 0."""
    psnr_bitstream: float
    """Of the decoded stream: closed-loop."""
    psnr_bitstream_8bit: float
    msssim_bitstream: float | None
    bpp_bitstream: float
    """Of the whole .mbt file, header included."""
    symbols_equal: bool
    """Whether the decoder's y_hat is the encoder's, bit for bit."""
    encode_seconds: float
    """From pixels to bytes. Pictures that are coded together share the time."""
    decode_seconds: float
    """From bytes to pixels."""
    machine: str = ""
    """Where the times were measured: processor, threads and version of PyTorch. Older files don't tell."""


GIVEN = ("image", "model", "fingerprint", "pixels", "height", "width", "machine")
"""The fields of which there is no mean. All the others are measures."""
COMPARED = {
    "bitstream": ("bpp_bitstream", "psnr_bitstream"),
    "theoretical": ("bpp_theoretical", "psnr"),
    "zlib": ("bpp_buffer_zlib", "psnr"),
}
"""The rates that `mbtref compare` knows, each with its fields for rate and PSNR."""
NULLABLE = ("msssim", "msssim_bitstream")
"""The fields that may be None. In JSON they are null, as is an infinite PSNR."""
ADDED = (*NULLABLE, "machine")
"""The fields that older files lack."""
INFINITE = ("psnr", "psnr_8bit", "psnr_bitstream", "psnr_bitstream_8bit")
"""The fields that may be infinite."""

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
FIELDS = {
    name: {
        "type": ["number", "null"] if name in (*INFINITE, *NULLABLE) else TYPES[kind],
        "minimum": 1 if kind is int else 0,
        "maximum": 2**53,
    }
    for name, kind in get_type_hints(Record).items()
}
"""The schema of each field in JSON. No measure is negative; the greatest number leaves room for sums."""
TABLE = {"type": "object", "additionalProperties": False}
LISTS = {
    "records": {**TABLE, "properties": FIELDS, "required": [name for name in FIELDS if name not in ADDED]},
    "means": {**TABLE, "properties": {**FIELDS, "images": FIELDS["height"]}},
}
"""The schemas of what a file has lists of."""


def family(model: str) -> tuple[str, str]:
    """Curve and quality in a model's name: ("lite", "q4") of lite-q4, ("mine", "") of mine, without quality."""
    match = re.fullmatch(r"(.+)-(q\d+)", model)
    return (match[1], match[2]) if match else (model, "")


def means(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One entry for each model, in order of appearance: `model`, `images`, the mean of each measure.

    `symbols_equal` is true if it is true of all records. The mean of PSNR is of its dB. The mean of MS-SSIM is of
    numbers up to 1, as in published curves, and None if one picture has none; dB are made of it afterwards.
    """
    result = []
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        row: dict[str, Any] = {"model": model, "images": len(own)}
        for field in fields(Record):
            values = [getattr(record, field.name) for record in own]
            if field.name not in GIVEN:
                row[field.name] = all(values) if field.name == "symbols_equal" else finite(mean(values))
        result.append(row)
    return result


def mean(values: Collection[Any]) -> Any:
    """The mean of one or more floats; None if one of them is None."""
    return None if None in values else math.fsum(values) / len(values)


def finite(value: Any) -> Any:
    """JSON has no infinity: the PSNR of a perfect copy becomes null."""
    return None if value == math.inf else value


def as_json(records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """`{"records": [...], "means": [...]}`, ready for json.dumps."""
    rows = [{key: finite(value) for key, value in asdict(record).items()} for record in records]
    return {"records": rows, "means": means(records)}


def from_json(content: Any) -> list[Record]:
    """The records in a result of `as_json`, also of an older one without MS-SSIM.

    Raises ValueError if the content is anything else.
    """
    lists = {key: {"type": "array", "items": schema} for key, schema in LISTS.items()}
    strict.check(content, {**TABLE, "properties": lists, "required": [*lists]})
    absent: dict[str, Any] = dict.fromkeys(NULLABLE)
    infinite = dict.fromkeys(INFINITE, math.inf)
    return [
        Record(**absent | {key: infinite.get(key) if value is None else value for key, value in row.items()})
        for row in content["records"]
    ]


def of_kodak(records: Sequence[Record]) -> bool:
    """Whether the records of every model are of the Kodak pictures, see `are_kodak`."""
    pixels: dict[str, list[str]] = {}
    for record in records:
        pixels.setdefault(record.model, []).append(record.pixels)
    return all(map(are_kodak, pixels.values()))


def are_kodak(pixels: Iterable[str]) -> bool:
    """Whether these SHA-256 of pixels are those of all 24 Kodak pictures, each once, and no others."""
    from mbtref.suite import kodak

    return sorted(pixels) == sorted(kodak.PIXELS.values())
