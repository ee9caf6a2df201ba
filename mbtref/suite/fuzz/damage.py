"""Damaged input for decoders: golden streams and buffers with some edits.

A seed fixes the sequence of inputs on every machine, until a vector is added. TARGETS has the kinds of input.
"""

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

from mbtref import rans
from mbtref.bitstream import DIMENSIONS_AT, HEADER_BYTES
from mbtref.suite.check import ZLIB_AT
from mbtref.suite.generate import malformed, streams
from mbtref.suite.generate.deflate import stored_block
from mbtref.suite.subjects.reference import load
from mbtref.suite.vectors import frozen

SMALLEST = 7
"""How many vectors of each operation are edited, of those that must be taken."""
BLOCKS_MAX = 9
"""A stream of more blocks of 64×64 pixels keeps its state and no words, so it ends early and takes no time."""

UNITS = {
    n: [v.to_bytes(n, "little") for v in (0, 1, 2 ** (8 * n - 1) - 1, 2 ** (8 * n - 1), 2 ** (8 * n) - 1)]
    for n in (1, 4)
}
"""Interesting bytes and words, by their length."""
STATES = (0, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
SIDES = (0, 1, 63, 64, 65, 128, 129, 512, 4096, 8192, 32768, 65535)
NUMBERS = (-(2**31), -1, 0, 1, 2, 3, 4, 8, 48, 64, 2**13, 2**20, 2**26, 2**31 - 1)
Fields = Sequence[tuple[int, str, Sequence[int]]]
"""Places in a header, the format of each, and interesting values."""
RANS: Fields = [(0, "<Q", STATES)]
STREAM: Fields = [(DIMENSIONS_AT, "<H", SIDES), (DIMENSIONS_AT + 2, "<H", SIDES), (HEADER_BYTES, "<Q", STATES)]
BUFFER: Fields = [(at, "<i", NUMBERS) for at in range(0, ZLIB_AT, 4)]


class Question(NamedTuple):
    """What all decoders are asked."""

    vector: str
    """Id of the golden vector whose input was edited."""
    operation: str
    model: str | None
    inputs: dict[str, Any]
    """The stream or the buffer comes first."""

    @property
    def data(self) -> bytes:
        """The stream or the buffer."""
        return bytes(next(iter(self.inputs.values())))


def seeds(operation: str, refused: bool) -> list[Question]:
    """All vectors that must be refused, or the smallest ones that must be taken."""
    found = [v for v in frozen().vectors if v.operation == operation and bool(v.rejected) is refused]
    found.sort(key=lambda vector: sum(len(file.content) for file in vector.input_files.values()))
    chosen = found if refused else found[:SMALLEST]
    return [Question(vector.id, operation, vector.model, dict(vector.inputs)) for vector in chosen]


def edit(random: Random, data: bytes, other: bytes, fields: Fields) -> bytes:
    """data with one part replaced, sometimes by the end of other."""
    length = random.choice((1, 4, 4))
    a = random.randrange(0, len(data) + 1, length)
    b = random.randrange(a, len(data) + 1, length)
    at, form, values = random.choice(fields)
    field, unit = struct.pack(form, random.choice(values)), random.choice(UNITS[length])
    parts = (
        (a, a + 1, bytes(byte ^ 1 << random.randrange(8) for byte in data[a : a + 1])),
        (a, a + length, unit),
        (a, a + length, random.randbytes(length)),
        (a, a, unit),
        (a, a, data[a:b]),
        (a, a + length, b""),
        (a, b, b""),
        (a, len(data), b""),
        (a, len(data), other[b:]),
        (at, at + len(field), field),
    )
    begin, end, part = random.choice(parts)
    return data[:begin] + part + data[end:]


# Last steps of making an input: (random, seed, its edited bytes) -> the bytes of the input


def as_it_is(random: Random, seed: Question, data: bytes) -> bytes:
    return data


def sealed(random: Random, seed: Question, data: bytes) -> bytes:
    """A stream with the right checksum, except one in eight."""
    if len(data) < HEADER_BYTES:
        return data
    height, width = struct.unpack_from("<HH", data, DIMENSIONS_AT)
    if -(-height // 64) * -(-width // 64) > BLOCKS_MAX:
        data = data[: HEADER_BYTES + rans.FLUSHED]
    return malformed.seal(data) if random.randrange(8) else data


def deflated(random: Random, seed: Question, data: bytes) -> bytes:
    """A buffer with a stored body, since builds of zlib deflate differently. Half of them are edited once more."""
    whole = data[:ZLIB_AT] + stored_block(data[ZLIB_AT:][: 2**16 - 1])
    return edit(random, whole, data, BUFFER) if random.randrange(2) else whole


def symbol(random: Random) -> int:
    """-1, 0 or 1, and rarely one as far out as an escape reaches."""
    return random.choice((-1, 1)) * random.getrandbits(1 if random.randrange(32) else random.randrange(28))


def latents(random: Random, seed: Question, data: bytes) -> bytes:
    """A stream of 64×64 pixels for the model of the seed."""
    model = load(str(seed.model))
    k_z, k = (
        np.array([symbol(random) for _ in range(channels * side**2)], np.int32).reshape(-1, side, side)
        for channels, side in ((model.networks.N, 1), (model.networks.M, 4))
    )
    return streams.stream(model, k_z, k)


class Target(NamedTuple):
    """A kind of inputs. share: per cent. seeds: the operation whose vectors are edited."""

    share: int
    operation: str
    seeds: str
    fields: Fields
    finish: Callable[[Random, Question, bytes], bytes]


TARGETS = {
    "rans": Target(32, "rans_decode", "rans_decode", RANS, as_it_is),
    "stream": Target(30, "decode", "decode", STREAM, sealed),
    "latents": Target(3, "decode", "decode", STREAM, latents),
    "raw": Target(15, "unpack_raw", "unpack_raw", BUFFER, as_it_is),
    "deflated": Target(10, "unpack_zlib", "unpack_zlib", BUFFER, as_it_is),
    "inflated": Target(10, "unpack_zlib", "unpack_raw", BUFFER, deflated),
}


def questions(seed: int) -> Iterator[tuple[str, Question]]:
    """The endless sequence of a seed: the name of a target, and a question."""
    sources = {
        name: [seeds(target.seeds, refused) for refused in (False, True)] for name, target in TARGETS.items()
    }
    shares = [target.share for target in TARGETS.values()]
    for number in itertools.count():
        random = Random(f"{seed}/{number}")
        (name,) = random.choices(list(TARGETS), shares)
        target, group = TARGETS[name], random.choice(sources[name])
        source = random.choice(group)
        data = source.data
        for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
            data = edit(random, data, random.choice(group).data, target.fields)
        made = {next(iter(source.inputs)): target.finish(random, source, data)}
        yield name, source._replace(operation=target.operation, inputs={**source.inputs, **made})
