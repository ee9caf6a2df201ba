"""Questions that stand in no file: drawn from the seed of a run, and judged by the one-file decoder.

A subject that looks answers up among the vectors has none for them.
"""

from collections.abc import Iterator

import numpy as np

from mbtref import decoder
from mbtref.decoder import Array
from mbtref.suite.cases import Question
from mbtref.suite.operations import GRID, OPERATIONS, Values
from mbtref.suite.questions import TOLERANCE, Known, right
from mbtref.suite.subjects import one_file

MODELS = ("lite-q3", "lite-q4", "lite-q5", "lite-q6")


class Drawn:
    """Inputs of questions: a method for each operation whose answer the one-file decoder knows.

    model: its name, or None if the operation needs none. random: where all values come from.
    """

    def __init__(self, model: str | None, random: np.random.Generator) -> None:
        self.random = random
        self.N, self.M, self.h, self.w = random.integers(1, 3, 4).tolist()
        if model:
            self.model = one_file.load(model)
            self.N, self.M = self.model.N, self.model.M
        self.k_z = random.integers(-4, 5, (self.N, self.h, self.w), np.int32)
        self.units = random.normal(0, 4 * GRID, (self.M, 4 * self.h, 4 * self.w)).astype(np.int32)

    def g_s(self) -> Values:
        return {"y_hat": (self.units / GRID).astype(np.float32)}

    def exact_parameters(self) -> Values:
        return {"k_z": self.k_z, "y_hat": self.units}

    def exact_symbols(self) -> Values:
        return {"k_z": self.k_z, "y": (self.units / GRID).astype(np.float32)}

    def rans_encode(self) -> Values:
        """A message of 200 symbols, some of which need an escape, with five tables."""
        length = self.random.integers(3, 20, 5, np.int32)
        cdf = np.zeros((5, length.max()), np.int32)
        for row, n in zip(cdf, length, strict=True):
            row[1 : n - 1] = np.sort(self.random.choice(np.arange(1, 1 << 16), n - 2, replace=False))
            row[n - 1] = 1 << 16
        offset, indexes = self.random.integers(-9, 9, 5, np.int32), self.random.integers(0, 5, 200, np.int32)
        symbols = self.random.integers(-40, 40, 200, np.int32)
        return {"symbols": symbols, "indexes": indexes, "cdf": cdf, "length": length, "offset": offset}

    def rans_decode(self) -> Values:
        message = dict(self.rans_encode())
        stream = right("rans_encode", None, message)
        del message["symbols"]
        return {**stream, **message}

    def pack_raw(self) -> Values:
        return {"y_hat": self.units.astype(np.float32), "z_hat": (1000.75 * self.k_z).astype(np.float32)}

    pack_zlib = pack_raw

    def unpack_raw(self) -> Values:
        return right("pack_raw", None, self.pack_raw())

    def unpack_zlib(self) -> Values:
        return right("pack_zlib", None, self.pack_raw())

    def decode(self) -> Values:
        """A stream of k_z and of symbols of y drawn on the way. The picture is a part of its last blocks."""
        symbols = self.k_z.ravel().tolist()
        tables = [table for table in self.model.z_tables for _ in range(self.h * self.w)]

        def choose(row: int, column: int, index: Array, mu: Array) -> Array:
            k = self.random.integers(-3, 4, self.M, np.int64)
            symbols.extend(k.tolist())
            tables.extend(self.model.y_tables[i] for i in index)
            return decoder.saturate(k * GRID + mu)

        decoder.visit(self.model, self.k_z, decoder.wavefronts(4 * self.h, 4 * self.w), choose)
        height, width = (64 * side - int(self.random.integers(64)) for side in (self.h, self.w))
        return {"stream": one_file.file_of(self.model, height, width, one_file.code(symbols, tables))}

    decode_reproducible = decode


ASKED = tuple(operation for operation in OPERATIONS if hasattr(Drawn, operation))


def questions(operation: str, seed: int) -> Iterator[Known]:
    """A question about each of MODELS, or one if the operation needs no model. seed: at least 0."""
    for model in MODELS if OPERATIONS[operation].needs_model else (None,):
        drawn = Drawn(model, np.random.default_rng([seed, *f"{operation} {model}".encode()]))
        inputs: Values = getattr(drawn, operation)()
        due = right(operation, model, inputs)
        yield Known(Question(operation, model, inputs), due, TOLERANCE.get(operation, {}))
