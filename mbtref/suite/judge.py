"""The judge of a subject's streams: the one-file decoder, which shares no code with any encoder under test."""

import functools

import numpy as np

from mbtref import decoder
from mbtref.suite.operations import GRID, Values
from mbtref.suite.subjects import numpy_stages
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.subjects.protocol import Rejected


@functools.cache
def model(name: str) -> decoder.Model:
    """A model of the vectors, read once a run."""
    return decoder.Model(model_file(name), gaussian_file())


@functools.lru_cache(maxsize=4)
def decode(name: str, stream: bytes) -> Values:
    """The latents and the picture of a stream, as the operation `decode` gives them. Raises Rejected."""
    try:
        return numpy_stages.decode(model(name), stream)
    except decoder.Rejected as rejected:
        raise Rejected(str(rejected)) from rejected


def latents(name: str, stream: bytes) -> Values:
    """What a stream holds, as `exact_parameters` takes it: k_z, and y_hat in grid units. Raises Rejected."""
    y_hat = np.asarray(decode(name, stream)["y_hat"]) * GRID
    h, w = (side // 4 for side in y_hat.shape[1:])
    reader = decoder.Reader(decoder.parse(model(name), stream)[2])
    k_z = [reader.symbol(table) for table in model(name).z_tables for _ in range(h * w)]
    return {"k_z": np.array(k_z, np.int32).reshape(-1, h, w), "y_hat": y_hat.astype(np.int32)}


def exact(operation: str, name: str, inputs: Values) -> Values:
    """The right answer to `exact_parameters` or `exact_symbols`."""
    answer: Values = getattr(numpy_stages, operation)(model(name), **inputs)
    return answer
