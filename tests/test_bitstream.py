"""The bytes of a `.mbt` file, and that no other bytes get past them."""

import zlib

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from mbtref import Model, bitstream, codec, decode
from mbtref.bitstream import Stream
from mbtref.errors import BitstreamError, Kind
from mbtref.exact import EntropyNetworks
from tests.support import picture, refused

FINGERPRINT = bytes(range(0xA0, 0xA8))


def header(height: int, width: int, fingerprint: bytes = FINGERPRINT, checksum: bytes = b"none") -> bytes:
    """The bytes before a payload."""
    sides = height.to_bytes(2, "little") + width.to_bytes(2, "little")
    return b"MBT\x01" + fingerprint + sides + checksum


def sealed(height: int, width: int, fingerprint: bytes, payload: bytes) -> bytes:
    """A file with the right checksum."""
    checksum = zlib.crc32(header(height, width, fingerprint, b"") + payload)
    return header(height, width, fingerprint, checksum.to_bytes(4, "little")) + payload


@given(st.binary(min_size=8, max_size=8), st.integers(1, 512), st.integers(1, 65535), st.binary(max_size=99))
@example(FINGERPRINT, 65535, 512, b"")
@example(FINGERPRINT, 8192, 4096, b"")
def test_unpack_is_the_inverse_of_pack(fingerprint: bytes, height: int, width: int, payload: bytes) -> None:
    """A stream becomes the specification's bytes and comes back, up to sides of 65535 and areas of 2^25 pixels."""
    original = Stream(fingerprint, height, width, payload)
    data = bitstream.pack(original)
    assert data == sealed(height, width, fingerprint, payload), "a byte isn't where the specification has it"
    assert bitstream.unpack(data) == original, "a stream changes on its way through bytes"


@pytest.mark.parametrize(
    ("data", "kind", "offset"),
    [
        (b"", Kind.TRUNCATED, 0),
        (b"MB", Kind.TRUNCATED, 2),
        (b"MX", Kind.BAD_MAGIC, 0),
        (b"MBT", Kind.TRUNCATED, 3),
        (b"MBT\x00", Kind.UNSUPPORTED_VERSION, 3),
        (header(0, 0)[:19], Kind.TRUNCATED, 19),
        (header(0, 5), Kind.BAD_DIMENSIONS, 12),
        (header(65535, 65535), Kind.TOO_LARGE, 12),
        (header(1, 1), Kind.CHECKSUM_MISMATCH, 16),
        (sealed(1, 1, FINGERPRINT, b"odd"), Kind.UNKNOWN_MODEL, 4),
    ],
)
def test_a_refusal_says_where(lite: Model, data: bytes, kind: Kind, offset: int) -> None:
    """Each fault of a header is refused at the byte where it lies."""
    with refused(kind, offset):
        decode(lite, data)


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-1, 5), (65536, 1), (1, 65536), (8192, 4097)])
def test_a_picture_that_no_header_describes(lite: Model, height: int, width: int) -> None:
    """Sides outside 1 to 65535, or more than 2^25 pixels, are a ValueError, before anything is computed."""
    message = f"{width}×{height} pixels can't be coded"
    with pytest.raises(ValueError, match=message):
        bitstream.pack(Stream(FINGERPRINT, height, width, b""))
    if min(height, width) > 0:
        # one pixel, repeated without memory
        huge = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
        with pytest.raises(ValueError, match=message):
            codec.encode(lite, huge)


def refuses(model: Model, data: bytes) -> bool:
    """Whether decoding raises BitstreamError, at an offset in the data or at its end."""
    try:
        decode(model, data)
    except BitstreamError as error:
        return 0 <= error.offset <= len(data)
    return False


def test_all_damage_is_seen(lite: Model) -> None:
    """A real stream with any one bit flipped, cut anywhere, or followed by anything, raises BitstreamError."""
    stream = codec.encode(lite, picture(1, 1))
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        assert refuses(lite, bytes(damaged)), f"bit {bit} of {8 * len(stream)} may be flipped unseen"
    for data in [stream[:length] for length in range(len(stream))] + [stream + bytes(n) for n in (1, 4, 8)]:
        assert refuses(lite, data), f"{len(data)} bytes in place of {len(stream)} are not noticed"


def test_a_large_header_is_not_believed(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest picture with an empty payload is refused before any network runs."""

    def never(self: EntropyNetworks, z_hat: Tensor) -> Tensor:
        pytest.fail(f"h_s runs on {tuple(z_hat.shape)} hyper-latents that were never sent")

    monkeypatch.setattr(EntropyNetworks, "psi", never)
    for payload in (b"", bytes(8), (1 << 31).to_bytes(8, "little"), b"\x55" * 96):
        data = sealed(8192, 4096, lite.fingerprint, payload)
        assert refuses(lite, data), f"{len(payload)} bytes can't be a picture of 8192×4096"
    assert torch.is_grad_enabled(), "a refused stream should leave PyTorch's state alone"
