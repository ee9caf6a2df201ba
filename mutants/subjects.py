"""Every mutant as a subject of the suite, by its name: `mutants.subjects:slope`."""

import importlib
from typing import Any

from mbtref.conformance.operations import OPERATIONS, Values
from mbtref.conformance.subjects.numpy_program import CAPABILITIES
from mbtref.conformance.subjects.protocol import Rejected, Subject, Unsupported
from mutants.gallery import MUTANTS
from mutants.mutant import DECODER, OF_DECODER, REFERENCE, install


class OneFileDecoder:
    """The one-file decoder, changed or not, without a process of its own."""

    name, version = "one-file decoder", "1"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self.stages = importlib.import_module(DECODER)
        self.models: dict[str, Any] = {}

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        from mbtref.conformance.subjects.data import gaussian_file, model_file

        answer = getattr(self.stages, operation, None)
        if answer is None:
            raise Unsupported(operation)
        if OPERATIONS[operation].needs_model:
            name = str(model)
            if name not in self.models:
                self.models[name] = self.stages.decoder.Model(model_file(name), gaussian_file())
            inputs = {"model": self.models[name], **inputs}
        try:
            values: Values = answer(**inputs)
        except self.stages.Rejected as rejected:
            raise Rejected(str(rejected)) from rejected
        return values


def __getattr__(name: str) -> Subject:
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name}; there are {', '.join(MUTANTS)}", name=name)
    mutant = MUTANTS[name]
    install(mutant)
    subject: Subject = (
        OneFileDecoder() if mutant.file in OF_DECODER else importlib.import_module(REFERENCE).Reference()
    )
    return subject
