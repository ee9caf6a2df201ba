"""The judge of a subject's streams: the one-file decoder, which shares no code with any encoder under test."""

import functools

from mbtref import decoder
from mbtref.conformance.operations import Values
from mbtref.conformance.subjects import numpy_stages
from mbtref.conformance.subjects.data import gaussian_file, model_file
from mbtref.conformance.subjects.protocol import Rejected


@functools.cache
def model(name: str) -> decoder.Model:
    """An embedded model, read once a run."""
    return decoder.Model(model_file(name), gaussian_file())


def decode(name: str, stream: bytes) -> Values:
    """The latents and the picture of a stream, as the operation `decode` gives them. Raises Rejected."""
    try:
        return numpy_stages.decode(model(name), stream)
    except decoder.Rejected as rejected:
        raise Rejected(str(rejected)) from rejected
