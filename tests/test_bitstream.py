"""The bytes of a `.mbt` file, and that no other bytes get past them."""

import zlib

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from mbtref import Model, bitstream, codec, decode
from mbtref.bitstream import HEADER_BYTES, Stream
from mbtref.errors import BitstreamError, Kind
from mbtref.exact import EntropyNetworks
from tests.support import picture, refused

FINGERPRINT = bytes(range(0xA0, 0xA8))


def sealed(fields: bytes, payload: bytes = b"") -> bytes:
    """A file with the right checksum. fields: bytes 0 to 15."""
    return fields + zlib.crc32(fields + payload).to_bytes(4, "little") + payload


def fields_of(fingerprint: bytes, height: int, width: int) -> bytes:
    """Bytes 0 to 15 of a file."""
    return b"MBT\x01" + fingerprint + height.to_bytes(2, "little") + width.to_bytes(2, "little")


@pytest.fixture(scope="module")
def stream(lite: Model) -> bytes:
    """The smallest real stream."""
    return codec.encode(lite, picture(1, 1))


def test_kinds() -> None:
    """Errors have the ten names of the specification, and say kind, byte and reason."""
    names = (
        "bad-magic unsupported-version unknown-model bad-dimensions too-large truncated trailing-data "
        "checksum-mismatch symbol-out-of-range bad-final-state"
    )
    assert [kind.value for kind in Kind] == names.split(), "the list of kinds is closed"
    message = str(BitstreamError(Kind.TOO_LARGE, 12, "why"))
    assert message == "too-large at byte 12: why", f"an error reads {message!r}"


def test_layout() -> None:
    """Every byte of a file is where the specification has it."""
    found = bitstream.pack(Stream(FINGERPRINT, height=0x0102, width=0x0304, payload=b"\x01\x02\x03"))
    fields = bytes.fromhex("4d4254 01 a0a1a2a3a4a5a6a7 0201 0403")
    expected = fields + zlib.crc32(fields + b"\x01\x02\x03").to_bytes(4, "little") + b"\x01\x02\x03"
    assert found == expected, f"the file is {found.hex(' ')}, not {expected.hex(' ')}"


@given(st.binary(min_size=8, max_size=8), st.integers(1, 512), st.integers(1, 65535), st.binary(max_size=99))
@example(FINGERPRINT, 65535, 512, b"")
@example(FINGERPRINT, 8192, 4096, b"")
def test_unpack_is_the_inverse_of_pack(fingerprint: bytes, height: int, width: int, payload: bytes) -> None:
    """A packed stream unpacks to itself, up to sides of 65535 and areas of 2^25 pixels."""
    original = Stream(fingerprint, height, width, payload)
    assert bitstream.unpack(bitstream.pack(original)) == original, "a stream changes on its way through bytes"


@pytest.mark.parametrize(
    ("data", "kind", "offset"),
    [
        (b"", Kind.TRUNCATED, 0),
        (b"MB", Kind.TRUNCATED, 2),
        (b"MX", Kind.BAD_MAGIC, 0),
        (b"MBX\x02", Kind.BAD_MAGIC, 0),
        (b"\x89PNG\r\n\x1a\n", Kind.BAD_MAGIC, 0),
        (b"MBT", Kind.TRUNCATED, 3),
        (b"MBT\x00", Kind.UNSUPPORTED_VERSION, 3),
        (b"MBT\x02" + bytes(99), Kind.UNSUPPORTED_VERSION, 3),
        (sealed(fields_of(FINGERPRINT, 0, 0))[:19], Kind.TRUNCATED, 19),
        (fields_of(FINGERPRINT, 0, 5) + b"none", Kind.BAD_DIMENSIONS, 12),
        (fields_of(FINGERPRINT, 5, 0) + b"none", Kind.BAD_DIMENSIONS, 12),
        (fields_of(FINGERPRINT, 0, 0) + b"none", Kind.BAD_DIMENSIONS, 12),
        (fields_of(FINGERPRINT, 8192, 4097) + b"none", Kind.TOO_LARGE, 12),
        (fields_of(FINGERPRINT, 65535, 65535) + b"none", Kind.TOO_LARGE, 12),
        (fields_of(FINGERPRINT, 8192, 4096) + b"none", Kind.CHECKSUM_MISMATCH, 16),
        (fields_of(FINGERPRINT, 1, 1) + b"none", Kind.CHECKSUM_MISMATCH, 16),
    ],
)
def test_refusals_and_their_order(data: bytes, kind: Kind, offset: int) -> None:
    """Bytes with several faults are refused for the first one of the documented order, where it lies."""
    with refused(kind, offset):
        bitstream.unpack(data)


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-1, 5), (65536, 1), (1, 65536), (8192, 4097)])
def test_a_picture_that_no_header_describes(height: int, width: int) -> None:
    """Packing sides outside 1 to 65535, or more than 2^25 pixels, is a ValueError, not a file."""
    with pytest.raises(ValueError, match=f"{width}×{height} pixels can't be coded"):
        bitstream.pack(Stream(FINGERPRINT, height, width, b""))


def refuses(model: Model, data: bytes) -> bool:
    """Whether decoding raises BitstreamError, at an offset in the data or at its end."""
    try:
        decode(model, data)
    except BitstreamError as error:
        return 0 <= error.offset <= len(data)
    return False


def test_all_damage_is_seen(lite: Model, stream: bytes) -> None:
    """A real stream with any one bit flipped, cut anywhere, or followed by anything, raises BitstreamError."""
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        assert refuses(lite, bytes(damaged)), f"bit {bit} of {8 * len(stream)} may be flipped unseen"
    for data in [stream[:length] for length in range(len(stream))] + [stream + bytes(n) for n in (1, 4, 8)]:
        assert refuses(lite, data), f"{len(data)} bytes in place of {len(stream)} are not noticed"


def check_payload(model: Model, height: int, width: int, payload: bytes) -> None:
    """Asserts that a payload under a right header gives a picture of that size or an error inside the payload."""
    data = sealed(fields_of(model.fingerprint, height, width), payload)
    try:
        shape = decode(model, data).shape
    except BitstreamError as error:
        offset = error.offset
    else:
        assert shape == (height, width, 3), f"{shape} from a header of {height}×{width}"
        return
    assert HEADER_BYTES <= offset <= len(data), f"offset {offset} isn't in the payload, which ends at {len(data)}"


@given(st.data())
def test_damage_under_a_right_checksum(lite: Model, stream: bytes, data: st.DataObject) -> None:
    """Flipped bits or random words under a right checksum give a picture of the right size, or BitstreamError."""
    payload = bytearray(stream[HEADER_BYTES:])
    for bit in data.draw(st.sets(st.integers(0, 8 * len(payload) - 1), min_size=1, max_size=3)):
        payload[bit // 8] ^= 1 << bit % 8
    check_payload(lite, 1, 1, bytes(payload))
    words = data.draw(st.lists(st.binary(min_size=4, max_size=4), max_size=40))
    check_payload(lite, data.draw(st.integers(1, 80)), data.draw(st.integers(1, 80)), b"".join(words))


def test_a_large_header_is_not_believed(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest picture with an empty payload is refused before any network runs."""

    def never(self: EntropyNetworks, z_hat: Tensor) -> Tensor:
        pytest.fail(f"h_s runs on {tuple(z_hat.shape)} hyper-latents that were never sent")

    monkeypatch.setattr(EntropyNetworks, "psi", never)
    for payload in (b"", bytes(8), (1 << 31).to_bytes(8, "little"), b"\x55" * 96):
        data = sealed(fields_of(lite.fingerprint, 8192, 4096), payload)
        assert refuses(lite, data), f"{len(payload)} bytes can't be a picture of 8192×4096"
    assert torch.is_grad_enabled(), "a refused stream should leave PyTorch's state alone"
