"""The one-file decoder as a subject in this process: for the fuzzer, and for mutants of it."""

import functools
from types import ModuleType
from typing import Any

from mbtref.suite.operations import OPERATIONS, Values
from mbtref.suite.subjects import numpy_stages
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.subjects.numpy_program import CAPABILITIES
from mbtref.suite.subjects.protocol import Rejected, Unsupported


class OneFile:
    """The one-file decoder. stages: the module of its operations, if it isn't `numpy_stages`."""

    name, version = "one-file decoder", "1"
    capabilities = CAPABILITIES

    def __init__(self, stages: ModuleType = numpy_stages) -> None:
        self.stages: Any = stages
        self.model = functools.cache(lambda name: self.stages.decoder.Model(model_file(name), gaussian_file()))

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        """See `protocol.Subject`."""
        answer = getattr(self.stages, operation, None)
        if answer is None:
            raise Unsupported(operation)
        given = {"model": self.model(model)} if OPERATIONS[operation].needs_model else {}
        try:
            values: Values = answer(**given, **inputs)
        except self.stages.Rejected as rejected:
            raise Rejected(str(rejected)) from rejected
        return values
