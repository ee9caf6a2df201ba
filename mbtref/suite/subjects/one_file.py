"""The one-file decoder as a subject, `--subject numpy`, and as the reference decoder that the suite itself asks.

Beside decoding, which is `mbtref.decoder`, there are single stages, the encoder of §5 and the buffers of §8.
It needs NumPy alone, and shares no code with the reference or any other encoder under test.
"""

import functools
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from mbtref import decoder
from mbtref.decoder import Array
from mbtref.suite.operations import GRID, Values
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.subjects.protocol import Methods, Rejected


@functools.cache
def load(model: str) -> decoder.Model:
    """A model of the vectors, read once a run."""
    return decoder.Model(model_file(model), gaussian_file())


class OneFile(Methods):
    """The one-file decoder."""

    name, version = "one-file decoder", "1"
    capabilities = ("entropy-exact", "rans", "buffers", "decode", "rejection", "reproducible")

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        try:
            return super().call(operation, model, inputs)
        except decoder.Rejected as rejected:
            raise Rejected(str(rejected)) from rejected

    # §§2 to 4 Single stages
    def exact_parameters(self, model: str, k_z: Array, y_hat: Array) -> Values:
        places = np.ndindex(y_hat.shape[1:])
        stages = decoder.visit(load(model), k_z, places, lambda i, j, index, mu: y_hat[:, i, j])
        return {name: stages[name].astype(np.int32) for name in ("z_hat", "psi", "phi", "sigma", "mu", "index")}

    def exact_symbols(self, model: str, k_z: Array, y: Array) -> Values:
        # saturated while it is float: int64 doesn't hold every float32
        wanted = np.floor(decoder.saturate(y.astype(np.float64) * GRID)).astype(np.int64)
        k = np.zeros(y.shape, np.int64)

        def choose(row: int, column: int, index: Array, mu: Array) -> Array:
            k[:, row, column] = (wanted[:, row, column] - mu + GRID // 2) // GRID
            return decoder.saturate(k[:, row, column] * GRID + mu)

        stages = decoder.visit(load(model), k_z, np.ndindex(y.shape[1:]), choose) | {"k": k}
        return {name: stages[name].astype(np.int32) for name in ("mu", "index", "k", "y_hat")}

    # §§1 to 7 and 9 Whole streams
    def decode(self, model: str, stream: bytes) -> Values:
        y_hat, picture = decoder.decode(load(model), stream)
        return {"y_hat": (y_hat / GRID).astype(np.float32), "image": picture}

    def decode_reproducible(self, model: str, stream: bytes) -> Values:
        return {"image": decoder.decode(load(model), stream)[1]}

    # §5 Entropy coding
    def rans_encode(self, symbols: Array, indexes: Array, **tables: Array) -> Values:
        by_index = decoder.make_tables(**tables)
        return {"stream": code(symbols.tolist(), [by_index[i] for i in indexes])}

    def rans_decode(self, stream: bytes, indexes: Array, **tables: Array) -> Values:
        by_index, reader = decoder.make_tables(**tables), decoder.Reader(stream)
        symbols = [reader.symbol(by_index[i]) for i in indexes]
        reader.finish()
        return {"symbols": np.array(symbols, np.int32)}

    # §8 Latent buffers
    def pack_raw(self, y_hat: Array, z_hat: Array) -> Values:
        header = struct.pack("<8i", 1, *y_hat.shape, 1, *z_hat.shape)
        return {"buffer": header + y_hat.astype("<i2").tobytes() + z_hat.astype("<i2").tobytes()}

    def pack_zlib(self, y_hat: Array, z_hat: Array) -> Values:
        buffer = bytes(self.pack_raw(y_hat, z_hat)["buffer"])
        return {"buffer": buffer[:32] + zlib.compress(buffer[32:], 9)}

    def unpack_raw(self, buffer: bytes) -> Values:
        return unpack(shape_of(buffer), buffer[32:])

    def unpack_zlib(self, buffer: bytes) -> Values:
        shape, inflater = shape_of(buffer), zlib.decompressobj()
        try:
            body = inflater.decompress(buffer[32:], 2 * int(np.prod(shape[:4]) + np.prod(shape[4:])))
        except zlib.error as error:
            raise Rejected("checksum-mismatch") from error
        try:
            longer = inflater.decompress(inflater.unconsumed_tail, 1)
        except zlib.error:  # the fault lies behind a byte too many
            longer = bytes(1)
        values = unpack(shape, body + longer)
        if inflater.unused_data or not inflater.eof:
            raise Rejected("trailing-data" if inflater.unused_data else "truncated")
        return values


def code(symbols: Sequence[int], tables: Iterable[decoder.Table]) -> bytes:
    """Codes the last symbol first. The stream is the state, then the words in the order of reading.

    tables: one for each symbol.
    """
    x, words = 1 << 31, []
    message = [part for symbol, table in zip(symbols, tables, strict=True) for part in intervals(symbol, table)]
    for start, freq, bits in reversed(message):
        if x >= freq << (63 - bits):
            words.append(x % 2**32)
            x >>= 32
        x = (x // freq << bits) + x % freq + start
    return struct.pack(f"<Q{len(words)}I", x, *reversed(words))


def file_of(model: decoder.Model, height: int, width: int, payload: bytes) -> bytes:
    """The header of §6, and a payload."""
    fields = struct.pack("<3sB8sHH", b"MBT", 1, model.fingerprint, height, width)
    return fields + struct.pack("<I", zlib.crc32(fields + payload)) + payload


def intervals(symbol: int, table: decoder.Table) -> list[tuple[int, int, int]]:
    """The intervals that code a symbol, in reading order: (start, freq, bits)."""
    cdf, offset = table
    escape, value = len(cdf) - 2, symbol - offset
    place = value if 0 <= value < escape else escape
    parts = [(cdf[place], cdf[place + 1] - cdf[place], 16)]
    if place == escape:
        raw = -2 * value - 1 if value < 0 else 2 * (value - escape)
        digits = [int(digit, 16) for digit in f"{raw:x}"[::-1]] if raw else []
        if len(digits) > 7:
            raise ValueError(f"symbol {symbol} is too far outside its table")
        parts += [(digit, 1, 4) for digit in (len(digits), *digits)]
    return parts


def shape_of(buffer: bytes) -> tuple[int, ...]:
    """The eight numbers of a latent buffer's header, checked. Raises Rejected."""
    if len(buffer) < 32:
        raise Rejected("truncated")
    one, M, height, width, also_one, N, h, w = shape = struct.unpack("<8i", buffer[:32])
    if (one, also_one, height, width) != (1, 1, 4 * h, 4 * w) or min(shape) < 1:
        raise Rejected("bad-dimensions")
    if M * height * width + N * h * w > 1 << 26:
        raise Rejected("too-large")
    return shape


def unpack(shape: tuple[int, ...], body: bytes) -> Values:
    """The latents in the bytes after the header, inflated. Raises Rejected."""
    count_y, count_z = int(np.prod(shape[:4])), int(np.prod(shape[4:]))
    if len(body) != 2 * (count_y + count_z):
        raise Rejected("truncated" if len(body) < 2 * (count_y + count_z) else "trailing-data")
    y_hat, z = np.split(np.frombuffer(body, "<i2").astype(np.float32), [count_y])
    return {"y_hat": y_hat.reshape(shape[1:4]), "z": z.reshape(shape[5:])}


MOST_PIXELS = 1 << 20
"""No picture of the suite has more. A subject's stream of more would take its decoder hours."""
REFERENCE_DECODER = OneFile()
"""Asked by the suite. Its answers to `exact_parameters` and `exact_symbols` are the right ones."""


@functools.lru_cache(maxsize=4)
def decode(model: str, stream: bytes) -> Values:
    """The latents and the picture of a stream, as the operation `decode` gives them. Raises Rejected."""
    height, width = (int.from_bytes(stream[at : at + 2], "little") for at in (12, 14))
    if stream.startswith(b"MBT") and height * width > MOST_PIXELS:
        raise Rejected("too-large")
    return REFERENCE_DECODER.call("decode", model, {"stream": stream})


def latents(model: str, stream: bytes) -> Values:
    """What a stream holds, as `exact_parameters` takes it: k_z, and y_hat in grid units. Raises Rejected."""
    y_hat = np.asarray(decode(model, stream)["y_hat"]) * GRID
    h, w = (side // 4 for side in y_hat.shape[1:])
    reader = decoder.Reader(decoder.parse(load(model), stream)[2])
    k_z = [reader.symbol(table) for table in load(model).z_tables for _ in range(h * w)]
    return {"k_z": np.array(k_z, np.int32).reshape(-1, h, w), "y_hat": y_hat.astype(np.int32)}
