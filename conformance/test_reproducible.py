"""REPRODUCIBLE: the streams of the Kodak pictures, by hash. The rest of this capability is among the vectors."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from mbtref.suite.cases import WrongAnswer, ask, kodak_cases, kodak_picture
from mbtref.suite.subjects.protocol import Subject


@pytest.mark.parametrize(
    "record", kodak_cases("REPRODUCIBLE-3", catches="a latent that is rounded otherwise on another machine")
)
def test_streams(subject: Subject, record: Mapping[str, Any]) -> None:
    """A Kodak picture is encoded to the stream with this SHA-256."""
    image = {"image": kodak_picture(record["image"])}
    stream = bytes(ask(subject, "encode_reproducible", record["model"], image)["stream"])
    digest = hashlib.sha256(stream).hexdigest()
    if digest != record["stream_sha256"]:
        due = f"{record['bytes']} bytes and {record['stream_sha256']}"
        raise WrongAnswer(f"the stream has {len(stream)} bytes and the SHA-256 {digest}, expected {due}")
