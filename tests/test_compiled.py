"""The loops of the entropy coder: compiled or not, they give the same bytes, symbols and errors."""

import importlib.util

import pytest

from tests.support import output_of

CHILD = """
import hashlib
import numpy as np
from mbtref import BitstreamError, rans
from mbtref.compiled import COMPILES
from mbtref.tables import load_gaussian

assert COMPILES is {compiles}, "the loops run in the other way"
random = np.random.default_rng(2)
tables = rans.Tables((*load_gaussian().tables, rans.Table((0, 1 << 16), 5)))
indexes = random.integers(0, len(tables), 20_000)
symbols = np.round(random.standard_t(1, len(indexes)) * 0.2 * 1.13**indexes).astype(np.int64).clip(-(2**26), 2**26)
data = rans.encode(symbols, indexes, tables)
print(hashlib.sha256(data).hexdigest())
for spoiled in (data, data[:-4], data + data[:4], *(random.bytes(400) for _ in range(50))):
    try:
        decoder = rans.Decoder(spoiled)
        print(hashlib.sha256(decoder.pop(indexes, tables).tobytes()).hexdigest())
        decoder.finish()
    except BitstreamError as error:
        print(error)
print(rans.encode([], [], tables))
"""


def answers(compiles: bool) -> str:
    """What a process prints that compiles its loops, or doesn't."""
    return output_of("-c", CHILD.format(compiles=compiles), more={"NUMBA_DISABLE_JIT": str(int(not compiles))})


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="not run: numba isn't installed")
def test_compiled_loops_give_the_same() -> None:
    """Streams, symbols and refusals are those of plain Python."""
    plain = answers(False)
    for kind in ("truncated", "symbol-out-of-range"):
        assert kind in plain, f"no stream was refused as {kind}: cut or change other bytes"
    assert answers(True) == plain, "a compiled loop gives another result"
