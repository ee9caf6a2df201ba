"""PNG files of every kind, written here sample by sample, and damage of every kind."""

import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.image import Image
from mbtref.workbench import picturefiles

Samples = npt.NDArray[Any]
"""(H, W, C) or (H, n)."""
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
KINDS = [(colour, bits) for colour, depths in DEPTHS.items() for bits in depths]
"""Colour type and bits of a sample: all that there are."""
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""First row and column, steps of rows and columns of the passes of an interlaced picture."""
COLOURS = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def samples_of(colour: int, bits: int, height: int = 9, width: int = 13) -> Samples:
    """Random samples, alpha opaque."""
    channels = {GREY: 1, PALETTE: 1, GREY_ALPHA: 2, RGB: 3, RGB_ALPHA: 4}[colour]
    samples = np.random.default_rng(bits).integers(0, 1 << bits, (height, width, channels), np.uint16)
    if colour in (GREY_ALPHA, RGB_ALPHA):
        samples[..., -1] = (1 << bits) - 1
    return samples


def shown(samples: Samples, colour: int, bits: int) -> Image:
    """The picture of samples: the upper eight of 16 bits; fewer than eight spread over the range."""
    if colour == PALETTE:
        return np.take(COLOURS, samples[..., 0], axis=0)
    eight = samples >> 8 if bits == 16 else samples.astype(int) * 255 // ((1 << bits) - 1)
    colours = eight[..., : 3 if colour in (RGB, RGB_ALPHA) else 1]
    return np.broadcast_to(colours, (*samples.shape[:2], 3)).astype(np.uint8)


def packed(samples: Samples, bits: int) -> Samples:
    """The bytes of each row."""
    if bits >= 8:
        return samples.astype(f">u{bits // 8}").reshape(len(samples), -1).view(np.uint8)
    each = np.unpackbits(samples.astype(np.uint8), axis=-1)[..., -bits:]
    return np.packbits(each.reshape(len(samples), -1), axis=1)


def filtered(rows: Samples, step: int, first: int) -> bytes:
    """Rows after filters: `first` for the first, then the other four in turn. step: bytes of a pixel."""
    around = np.pad(rows.astype(int), ((1, 0), (step, 0)))
    left, up, corner = around[1:, :-step], around[:-1, step:], around[:-1, :-step]
    three = np.stack([left, up, corner])
    nearest = np.abs(left + up - corner - three).argmin(0)
    paeth = np.take_along_axis(three, nearest[None], 0)[0]
    y = np.arange(len(rows))
    kinds = (first + y) % 5
    predicted = np.stack([0 * left, left, up, (left + up) // 2, paeth])[kinds, y]
    filtered = np.insert((rows - predicted).astype(np.uint8), 0, kinds, axis=1)
    return bytes(filtered.tobytes())


def stream(samples: Samples, bits: int, first: int = 0, interlaced: int = 0) -> bytes:
    """The compressed rows of all passes."""
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [samples[row::down, column::across] for row, column, down, across in passes]
    step = max(1, samples.shape[-1] * bits // 8)
    return zlib.compress(b"".join(filtered(packed(part, bits), step, first) for part in parts if part.size))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    colour: int, bits: int, samples: Samples, *more: bytes, data: bytes | None = None, interlaced: int = 0
) -> bytes:
    """A file. more: chunks before the samples. data: their stream, if it isn't the plain one."""
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour, 0, 0, interlaced)
    palette = [chunk(b"PLTE", COLOURS[: 1 << bits].tobytes())] if colour == PALETTE else []
    body = chunk(b"IDAT", stream(samples, bits) if data is None else data)
    return b"".join([SIGNATURE, chunk(b"IHDR", header), *palette, *more, body, chunk(b"IEND", b"")])


def read(data: bytes) -> Image:
    return picturefiles.parse(data, Path("a.png"))


@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_every_kind_is_read(colour: int, bits: int) -> None:
    """All colour types, depths, filters, both orders of rows and small sizes give the samples written."""
    for height, width in ((9, 13), (1, 1), (2, 9), (7, 3)):
        samples = samples_of(colour, bits, height, width)
        for first, interlaced in itertools.product(range(5), (0, 1)):
            data = stream(samples, bits, first, interlaced)
            found = read(png(colour, bits, samples, data=data, interlaced=interlaced))
            assert np.array_equal(found, shown(samples, colour, bits)), f"{height}×{width}, filter {first}"


HARMLESS = [
    chunk(b"gAMA", struct.pack(">I", 100_000)),
    chunk(b"sRGB", b"\0"),
    chunk(b"cICP", b"\1\15\0\1"),
    chunk(b"bKGD", bytes(6)),
    chunk(b"sBIT", bytes([5, 5, 5])),
    chunk(b"tEXt", b"Title\0a"),
    chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"a" * 10_000)),
    chunk(b"prIv", b"?"),
    chunk(b"IDAT", b""),
]


@pytest.mark.parametrize("more", HARMLESS, ids=lambda more: str(more[4:8]))
def test_other_chunks_change_nothing(more: bytes) -> None:
    """What a viewer doesn't need may stand before samples that are divided, and anything behind the end."""
    samples = samples_of(RGB, 8)
    parts = [chunk(b"IDAT", bytes([byte])) for byte in stream(samples, 8)]
    assert np.array_equal(
        read(png(RGB, 8, samples, more, *parts, data=b"") + b"behind"), shown(samples, RGB, 8)
    ), "other pixels"


@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[0] in (GREY, RGB)])
def test_a_transparent_colour_counts_at_the_depth_of_the_file(colour: int, bits: int) -> None:
    """A pixel of the colour in tRNS makes a picture transparent; one that differs in the last bits doesn't."""
    samples = samples_of(colour, bits) | 1
    key = samples[4, 5].astype(">u2")
    with pytest.raises(ValueError, match="a.png: has transparent pixels; flatten"):
        read(png(colour, bits, samples, chunk(b"tRNS", key.tobytes())))
    other = chunk(b"tRNS", (key - 1).astype(">u2").tobytes())
    assert np.array_equal(read(png(colour, bits, samples, other)), shown(samples, colour, bits)), "other pixels"


@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[0] in (GREY_ALPHA, RGB_ALPHA)])
def test_alpha_counts_at_the_depth_of_the_file(colour: int, bits: int) -> None:
    """One sample of alpha that is one less than opaque makes a picture transparent."""
    samples = samples_of(colour, bits)
    samples[4, 5, -1] -= 1
    with pytest.raises(ValueError, match="a.png: has transparent pixels; flatten"):
        read(png(colour, bits, samples))


def test_only_used_entries_of_a_palette_count() -> None:
    """A transparent entry of a palette matters if a pixel has it."""
    samples = samples_of(PALETTE, 4).clip(max=9)
    assert np.array_equal(
        read(png(PALETTE, 4, samples, chunk(b"tRNS", b"\xff" * 10 + b"\0"))), COLOURS[samples[..., 0]]
    )
    with pytest.raises(ValueError, match="a.png: has transparent pixels; flatten"):
        read(png(PALETTE, 4, samples, chunk(b"tRNS", b"\xff" * 9 + b"\xfe")))


GOOD = samples_of(RGB, 8)
WHOLE = png(RGB, 8, GOOD)
ROWS = zlib.decompress(stream(GOOD, 8))


def header(at: int, value: int) -> bytes:
    """The whole file with another byte in its header, whose checksum is right."""
    fields = bytearray(WHOLE[16:29])
    fields[at] = value
    return SIGNATURE + chunk(b"IHDR", bytes(fields)) + WHOLE[33:]


DAMAGED = {
    "first bit of the signature": b"\x09" + WHOLE[1:],
    "signature in small letters": b"\x89png" + WHOLE[4:],
    "signature as text": WHOLE.replace(b"\r\n\x1a", b"\r\n "),
    "carriage returns added": WHOLE.replace(b"\n", b"\r\n"),
    "line feeds only": WHOLE.replace(b"\r\n", b"\n"),
    "colour type 1": header(9, 1),
    "colour type 9": header(9, 9),
    "depth 0": header(8, 0),
    "depth 3": header(8, 3),
    "depth 99": header(8, 99),
    "compression": header(10, 1),
    "filters": header(11, 1),
    "interlacing": header(12, 2),
    "no header": SIGNATURE + WHOLE[33:],
    "no samples": WHOLE[:33] + chunk(b"IEND", b""),
    "no end": WHOLE[:-12],
    "unknown filter": png(RGB, 8, GOOD, data=zlib.compress(b"\5" + ROWS[1:])),
    "a row too few": png(RGB, 8, GOOD, data=zlib.compress(ROWS[:-40])),
    "a byte too few": png(RGB, 8, GOOD, data=zlib.compress(ROWS[:-1])),
    "a byte too many": png(RGB, 8, GOOD, data=zlib.compress(ROWS + b"\0")),
    "checksum of the stream": png(RGB, 8, GOOD, data=zlib.compress(ROWS)[:-1] + b"?"),
    "stream without its checksum": png(RGB, 8, GOOD, data=zlib.compress(ROWS)[:-4]),
    "unknown critical chunk": png(RGB, 8, GOOD, chunk(b"CgBI", b"")),
    "bomb in a text": png(RGB, 8, GOOD, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22)))),
    "bomb in the samples": png(RGB, 8, GOOD, data=zlib.compress(bytes(1 << 22))),
    "no palette": header(9, PALETTE),
    "outside the palette": png(PALETTE, 2, samples_of(PALETTE, 2)).replace(
        chunk(b"PLTE", COLOURS[:4].tobytes()), chunk(b"PLTE", COLOURS[:3].tobytes())
    ),
    **{f"byte {at}": WHOLE[:at] + bytes([WHOLE[at] ^ 1]) + WHOLE[at + 1 :] for at in range(0, len(WHOLE), 7)},
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_refused(data: bytes) -> None:
    """A wrong checksum or header, missing or superfluous samples and unknown parts are a ValueError."""
    with pytest.raises(ValueError, match="^a.png: "):
        read(data)


@pytest.mark.parametrize("space", [b"\x0c\15\0\1", b"\1\x10\0\1", b"\x09\x12\0\1", b"\1\15\0\0"])
def test_other_colour_spaces_are_refused(space: bytes) -> None:
    """Colours that aren't sRGB by a cICP chunk, such as Display P3, PQ and HLG, are refused with what to do."""
    with pytest.raises(ValueError, match="a.png: .*cICP.*; convert it to sRGB first"):
        read(png(RGB, 8, GOOD, chunk(b"cICP", space)))
