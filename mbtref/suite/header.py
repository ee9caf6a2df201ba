"""The header of a stream, for messages: which field a refusal is about, and what stands there."""

HEADER = 20
"""Bytes before the payload (specification, §6)."""
FIELDS = {
    "bad-magic": (0, 3, "the letters MBT"),
    "unsupported-version": (3, 4, "the version"),
    "unknown-model": (4, 12, "the fingerprint of the model"),
    "bad-dimensions": (12, 16, "height and width, little-endian"),
    "too-large": (12, 16, "height and width, little-endian"),
    "checksum-mismatch": (16, HEADER, "the CRC-32 of bytes 0 to 15 and of the payload, little-endian"),
}
"""Kinds of refusal that are about the header alone: begin, end and meaning of the field."""


def field(stream: bytes, kind: str) -> list[str]:
    """A line about the field for which a stream is refused, if it is a field of the header."""
    if kind == "truncated" and len(stream) < HEADER:
        return [f"look at the header (§6): it has {HEADER} bytes, this stream has {len(stream)}"]
    if kind not in FIELDS:
        return []
    begin, end, meaning = FIELDS[kind]
    place = f"byte {begin}" if end == begin + 1 else f"bytes {begin} to {end - 1}"
    return [f"look at the header (§6): {place}, {meaning}: {stream[begin:end].hex(' ') or 'not there'}"]


def sides(stream: bytes) -> tuple[int, int]:
    """Height and width in the header of a stream."""
    height, width = (int.from_bytes(stream[at : at + 2], "little") for at in (12, 14))
    return height, width
