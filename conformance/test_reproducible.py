"""REPRODUCIBLE: the streams of the Kodak pictures, by hash. The rest of this capability is among the vectors."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from mbtref.suite.cases import ask, failed
from mbtref.suite.kodak import cases, picture
from mbtref.suite.subjects.protocol import Subject


@pytest.mark.parametrize("record", cases("REPRODUCIBLE-3"))
def test_streams(subject: Subject, record: Mapping[str, Any]) -> None:
    """A Kodak picture is encoded to the stream with this SHA-256."""
    image = {"image": picture(str(record["image"]))}
    stream = ask(subject, "encode_reproducible", str(record["model"]), image)["stream"]
    assert isinstance(stream, bytes)
    digest = hashlib.sha256(stream).hexdigest()
    if digest != record["stream_sha256"]:
        failed(
            f"the stream has {len(stream)} bytes and the SHA-256 {digest}, expected {record['bytes']} bytes and "
            f"{record['stream_sha256']}\ncatches: a latent that is rounded otherwise on another machine"
        )
