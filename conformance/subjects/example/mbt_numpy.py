"""The decoder of mbt2018 in NumPy and Python's standard library: an example of a program under test.

    pytest conformance --subject "cmd:python conformance/subjects/example/mbt_numpy.py"

It follows docs/specification.md, whose sections are named below, and shares nothing with the reference: int64 for
the entropy path, one position at a time; convolutions as their definition says; float64 for the synthesis. The
last part speaks the protocol of conformance/subjects/command.py.
"""

import bisect
import functools
import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Values = dict[str, Any]  # arrays and bytes by name
LOW = 1 << 31  # §5: the least state of the coder
Table = tuple[list[int], int]
"""§4: cdf and offset. Bin i has the slots cdf[i] to cdf[i + 1] - 1 and is symbol offset + i; the last escapes."""


class Rejected(Exception):
    """The input is nothing that an encoder wrote. The text is a kind of §7."""


# §1 Model
def read_safetensors(path: str) -> dict[str, Array]:
    """All tensors of a file: eight bytes of length, a header in JSON, then the tensors."""
    data = Path(path).read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = {name: entry for name, entry in json.loads(data[8:begin]).items() if name != "__metadata__"}
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        dtype = {"F32": "<f4", "I32": "<i4"}[entry["dtype"]]
        tensors[name] = np.frombuffer(data[begin + first : begin + last], dtype).reshape(entry["shape"])
    return tensors


def grid(v: Array, bits: int) -> Array:
    """The nearest multiple of 2^-bits, in these units."""
    units: Array = np.floor(v.astype(np.float64) * 2.0**bits + 0.5).astype(np.int64)
    return units


def make_tables(cdf: Array, length: Array, offset: Array) -> list[Table]:
    return [(row[:n].tolist(), int(first)) for row, n, first in zip(cdf, length, offset, strict=True)]


class Model:
    """The weights of one file, those of the entropy path in grid units, and all tables."""

    def __init__(self, model_file: str, gaussian_file: str) -> None:
        self.fingerprint = hashlib.sha256(Path(model_file).read_bytes()).digest()[:8]
        self.float, gaussian = read_safetensors(model_file), read_safetensors(gaussian_file)
        self.M, self.N = self.float["g_s.0.weight"].shape[:2]
        self.medians = grid(self.float["entropy_bottleneck.quantiles"][:, 0, 1], 10)
        layers = ["h_s.0", "h_s.2", "h_s.4", "context_prediction", *(f"entropy_parameters.{i}" for i in (0, 2, 4))]
        self.weight = {layer: grid(self.float[f"{layer}.weight"], 14) for layer in layers}
        self.bias = {layer: grid(self.float[f"{layer}.bias"], 24) for layer in layers}
        # the 12 taps before the centre
        taps = self.weight["context_prediction"].reshape(2 * self.M, self.M, 25)[:, :, :12]
        self.weight["context_prediction"] = taps.copy()
        parts = ("_quantized_cdf", "_cdf_length", "_offset")
        self.y_tables = make_tables(*(gaussian[part] for part in parts))
        self.z_tables = make_tables(*(self.float[f"entropy_bottleneck.{part}"] for part in parts))
        self.thresholds = gaussian["thresholds"].astype(np.int64)


# §2 Exact arithmetic, on arrays (C, H, W) or (C)
def saturate(units: Array) -> Array:
    return units.clip(-(1 << 22), (1 << 22) - 1)


def requantize(sums: Array) -> Array:
    return saturate((sums + (1 << 13)) >> 14)


def leaky_relu(units: Array) -> Array:
    return np.where(units < 0, (units * 1311 + (1 << 16)) >> 17, units)


def convolve(weight: Array, bias: Array, a: Array) -> Array:
    """3×3: every output gathers its neighbourhood."""
    _, height, width = a.shape
    padded, sums = np.pad(a, ((0, 0), (1, 1), (1, 1))), bias[:, None, None]
    for row, column in np.ndindex(3, 3):
        under = padded[:, row : row + height, column : column + width]
        sums = sums + np.tensordot(weight[:, :, row, column], under, 1)
    return sums


def transpose_convolve(weight: Array, bias: Array, a: Array) -> Any:
    """5×5, stride 2: every input scatters into a 5×5 patch of the output. Integers or floats."""
    _, height, width = a.shape
    sums = np.zeros((weight.shape[1], 2 * height + 3, 2 * width + 3), a.dtype)
    for row, column in np.ndindex(5, 5):
        over = sums[:, row : row + 2 * height : 2, column : column + 2 * width : 2]
        over += np.tensordot(weight[:, :, row, column].T, a, 1)
    return sums[:, 2 : 2 * height + 2, 2 : 2 * width + 2] + bias[:, None, None]


def hyper_synthesis(model: Model, z_hat: Array) -> Array:
    """(N, h, w) -> psi, (2M, 4h, 4w)."""
    a = leaky_relu(requantize(transpose_convolve(model.weight["h_s.0"], model.bias["h_s.0"], z_hat)))
    a = leaky_relu(requantize(transpose_convolve(model.weight["h_s.2"], model.bias["h_s.2"], a)))
    return requantize(convolve(model.weight["h_s.4"], model.bias["h_s.4"], a))


def dense(model: Model, layer: str, a: Array) -> Array:
    return requantize(model.weight[layer].reshape(-1, a.size) @ a + model.bias[layer])


# §3 Latents and their order
Choose = Callable[[int, int, Array, Array], Array]  # (row, column, index, mu) -> y_hat there, (M) all three


def visit(model: Model, k_z: Array, places: Iterable[tuple[int, ...]], choose: Choose) -> dict[str, Array]:
    """Entropy parameters place by place, each from the latents chosen before. Returns all stages, (C, h, w)."""
    z_hat = saturate(k_z.astype(np.int64) * 1024 + model.medians[:, None, None])
    psi = hyper_synthesis(model, z_hat)
    phi = np.zeros_like(psi)
    sigma, mu, index, y_hat = np.zeros((4, model.M, *psi.shape[1:]), np.int64)
    bordered = np.pad(y_hat, ((0, 0), (2, 0), (2, 2)))  # two rows above, two columns on either side
    for row, column in places:
        here = (slice(None), row, column)
        before = bordered[:, row : row + 3, column : column + 5].reshape(model.M, 15)[:, :12]
        phi[here] = dense(model, "context_prediction", before.ravel())
        a = np.concatenate([psi[here], phi[here]])
        a = leaky_relu(dense(model, "entropy_parameters.0", a))
        a = leaky_relu(dense(model, "entropy_parameters.2", a))
        sigma[here], mu[here] = dense(model, "entropy_parameters.4", a).reshape(2, model.M)
        index[here] = np.searchsorted(model.thresholds, sigma[here])  # how many are smaller
        y_hat[here] = choose(row, column, index[here], mu[here])
        bordered[:, row + 2, column + 2] = y_hat[here]
    return {"z_hat": z_hat, "psi": psi, "phi": phi, "sigma": sigma, "mu": mu, "index": index, "y_hat": y_hat}


# §5 Entropy coding
def intervals(symbol: int, table: Table) -> list[tuple[int, int, int]]:
    """What codes a symbol, in reading order: (start, freq, bits)."""
    cdf, offset = table
    escape, value = len(cdf) - 2, symbol - offset
    found = value if 0 <= value < escape else escape
    parts = [(cdf[found], cdf[found + 1] - cdf[found], 16)]
    if found == escape:
        raw = -2 * value - 1 if value < 0 else 2 * (value - escape)
        digits = [int(digit, 16) for digit in f"{raw:x}"[::-1]] if raw else []
        if len(digits) > 7:
            raise ValueError(f"symbol {symbol} is too far outside its table")
        parts += [(digit, 1, 4) for digit in (len(digits), *digits)]
    return parts


def rans_encode(symbols: Array, indexes: Array, **tables: Array) -> Values:
    """The last symbol goes in first. The stream is the state, then the words in the order of reading."""
    made, x, words = make_tables(**tables), LOW, []
    message = [part for s, i in zip(symbols.tolist(), indexes, strict=True) for part in intervals(s, made[i])]
    for start, freq, bits in reversed(message):
        if x >= freq << (63 - bits):
            words.append(x % 2**32)
            x >>= 32
        x = (x // freq << bits) + x % freq + start
    return {"stream": struct.pack(f"<Q{len(words)}I", x, *reversed(words))}


class Reader:
    """A stream that is being decoded."""

    def __init__(self, stream: bytes) -> None:
        if len(stream) < 8 or len(stream) % 4:
            raise Rejected("truncated")
        self.x = int.from_bytes(stream[:8], "little")
        self.words = np.frombuffer(stream[8:], "<u4").tolist()[::-1]
        if not LOW <= self.x < 1 << 63:
            raise Rejected("bad-final-state")

    def refill(self) -> None:
        if self.x < LOW:
            if not self.words:
                raise Rejected("truncated")
            self.x = self.x << 32 | self.words.pop()

    def digit(self) -> int:
        self.x, digit = divmod(self.x, 16)
        self.refill()
        return digit

    def symbol(self, table: Table) -> int:
        (cdf, offset), (high, slot) = table, divmod(self.x, 1 << 16)
        found = bisect.bisect_right(cdf, slot) - 1
        self.x = (cdf[found + 1] - cdf[found]) * high + slot - cdf[found]
        self.refill()
        if found == len(cdf) - 2:
            count = self.digit()
            if count > 7:
                raise Rejected("symbol-out-of-range")
            digits = [self.digit() for _ in range(count)]
            if digits and digits[-1] == 0:
                raise Rejected("symbol-out-of-range")
            raw = sum(digit * 16**j for j, digit in enumerate(digits))
            found = -(raw + 1) // 2 if raw % 2 else raw // 2 + found
        return offset + found

    def finish(self) -> None:
        if self.words or self.x != LOW:
            raise Rejected("trailing-data" if self.words else "bad-final-state")


def rans_decode(stream: bytes, indexes: Array, **tables: Array) -> Values:
    made, reader = make_tables(**tables), Reader(stream)
    symbols = [reader.symbol(made[i]) for i in indexes]
    reader.finish()
    return {"symbols": np.array(symbols, np.int32)}


# §6 Bytes
def parse(model: Model, data: bytes) -> tuple[int, int, bytes]:
    """Height, width and payload of a stream, checked in the order of §7."""
    fingerprint, height, width, checksum = struct.unpack("<8sHHI", data[4:20].ljust(16, b"\0"))
    for kind, broken in (
        ("bad-magic", data[:3] != b"MBT"[: len(data)]),
        ("unsupported-version", data[3:4] not in (b"", b"\x01")),
        ("truncated", len(data) < 20),
        ("bad-dimensions", height * width == 0),
        ("too-large", height * width > 1 << 25),
        ("checksum-mismatch", zlib.crc32(data[:16] + data[20:]) != checksum),
        ("unknown-model", fingerprint != model.fingerprint),
    ):
        if broken:
            raise Rejected(kind)
    return height, width, data[20:]


# The synthesis g_s: float, held to a tolerance
def synthesis(model: Model, y_hat: Array) -> Any:
    """(M, 4h, 4w) -> (3, 64h, 64w) float64."""

    def stored(name: str, minimum: float) -> Any:
        """A GDN's parameter v is kept as sqrt(v + 2^-36). The bound comes before the square: some are negative."""
        return np.maximum(model.float[name].astype(np.float64), (minimum + 2.0**-36) ** 0.5) ** 2 - 2.0**-36

    a = transpose_convolve(model.float["g_s.0.weight"], model.float["g_s.0.bias"], y_hat.astype(np.float64))
    for i in (1, 3, 5):
        norm = stored(f"g_s.{i}.beta", 1e-6)[:, None, None] + np.tensordot(stored(f"g_s.{i}.gamma", 0), a**2, 1)
        weight, bias = model.float[f"g_s.{i + 1}.weight"], model.float[f"g_s.{i + 1}.bias"]
        a = transpose_convolve(weight, bias, a * np.sqrt(norm))
    return a


# Whole paths
def exact_parameters(model: Model, k_z: Array, y_hat: Array) -> Values:
    stages = visit(model, k_z, np.ndindex(y_hat.shape[1:]), lambda i, j, index, mu: y_hat[:, i, j])
    return {name: stages[name].astype(np.int32) for name in ("z_hat", "psi", "phi", "sigma", "mu", "index")}


def exact_symbols(model: Model, k_z: Array, y: Array) -> Values:
    wanted, k = saturate(y.astype(np.float64) * 1024), np.zeros(y.shape, np.int64)

    def choose(row: int, column: int, index: Array, mu: Array) -> Array:
        k[:, row, column] = np.floor((wanted[:, row, column] - mu) / 1024 + 0.5)
        return saturate(k[:, row, column] * 1024 + mu)

    stages = visit(model, k_z, np.ndindex(y.shape[1:]), choose) | {"k": k}
    return {name: stages[name].astype(np.int32) for name in ("mu", "index", "k", "y_hat")}


def decode(model: Model, stream: bytes) -> Values:
    height, width, payload = parse(model, stream)
    reader, h, w = Reader(payload), -(-height // 64), -(-width // 64)
    k_z = np.array([reader.symbol(table) for table in model.z_tables for _ in range(h * w)])

    def choose(row: int, column: int, index: Array, mu: Array) -> Array:
        # np.int64 by name: NumPy's own integers have 32 bits on some machines
        k = np.array([reader.symbol(model.y_tables[i]) for i in index], np.int64)
        return saturate(k * 1024 + mu)

    wavefronts = sorted(np.ndindex(4 * h, 4 * w), key=lambda place: (place[1] + 3 * place[0], place[0]))
    units = visit(model, k_z.reshape(model.N, h, w), wavefronts, choose)["y_hat"]
    reader.finish()
    y_hat = (units / 1024).astype(np.float32)
    pixels = np.round(synthesis(model, y_hat)[:, :height, :width].clip(0, 1) * 255)
    return {"y_hat": y_hat, "image": pixels.astype(np.uint8).transpose(1, 2, 0)}


# §8 Latent buffers
def pack_raw(y_hat: Array, z_hat: Array) -> Values:
    header = struct.pack("<8i", 1, *y_hat.shape, 1, *z_hat.shape)
    return {"buffer": header + y_hat.astype("<i2").tobytes() + z_hat.astype("<i2").tobytes()}


def pack_zlib(y_hat: Array, z_hat: Array) -> Values:
    buffer = pack_raw(y_hat, z_hat)["buffer"]
    return {"buffer": buffer[:32] + zlib.compress(buffer[32:], 9)}


def shape_of(buffer: bytes) -> tuple[int, ...]:
    if len(buffer) < 32:
        raise Rejected("truncated")
    one, M, height, width, also_one, N, h, w = shape = struct.unpack("<8i", buffer[:32])
    if (one, also_one, height, width) != (1, 1, 4 * h, 4 * w) or min(shape) < 1:
        raise Rejected("bad-dimensions")
    if M * height * width + N * h * w > 1 << 26:
        raise Rejected("too-large")
    return shape


def latents(shape: tuple[int, ...], body: bytes) -> Values:
    count_y, count_z = int(np.prod(shape[:4])), int(np.prod(shape[4:]))
    if len(body) != 2 * (count_y + count_z):
        raise Rejected("truncated" if len(body) < 2 * (count_y + count_z) else "trailing-data")
    y_hat, z = np.split(np.frombuffer(body, "<i2").astype(np.float32), [count_y])
    return {"y_hat": y_hat.reshape(shape[1:4]), "z": z.reshape(shape[5:])}


def unpack_raw(buffer: bytes) -> Values:
    return latents(shape_of(buffer), buffer[32:])


def unpack_zlib(buffer: bytes) -> Values:
    shape, inflater = shape_of(buffer), zlib.decompressobj()
    try:
        body = inflater.decompress(buffer[32:], 2 * int(np.prod(shape[:4]) + np.prod(shape[4:])) + 1)
    except zlib.error as error:
        raise Rejected("checksum-mismatch") from error
    values = latents(shape, body)
    if inflater.unused_data or not inflater.eof:
        raise Rejected("trailing-data" if inflater.unused_data else "truncated")
    return values


# The protocol of conformance/subjects/command.py
BUFFERS = (pack_raw, pack_zlib, unpack_raw, unpack_zlib)
OPERATIONS = {f.__name__: f for f in (exact_parameters, exact_symbols, rans_encode, rans_decode, decode, *BUFFERS)}
CAPABILITIES = ["entropy-exact", "rans", "buffers", "decode", "rejection"]
GREETING = {"protocol": 1, "name": "mbt_numpy", "version": "1", "capabilities": CAPABILITIES}
load = functools.cache(Model)


def write(path: Path, value: Any) -> str:
    """Writes a value. Returns the name of the file: the path's, with the suffix that the value needs."""
    if isinstance(value, bytes):
        path.with_suffix(".bin").write_bytes(value)
        return f"{path.name}.bin"
    np.save(path, value)
    return f"{path.name}.npy"


def answer(request: Mapping[str, Any]) -> dict[str, object]:
    """One of result, unsupported, rejected and error."""
    if request["operation"] not in OPERATIONS:
        return {"unsupported": True}
    try:
        files = {name: Path(path) for name, path in request["inputs"].items()}
        inputs: Values = {name: np.load(f) if f.suffix == ".npy" else f.read_bytes() for name, f in files.items()}
        if request["model_file"]:
            inputs["model"] = load(request["model_file"], request["gaussian_file"])
        values = OPERATIONS[request["operation"]](**inputs)
        return {"result": {name: write(Path(request["folder"], name), value) for name, value in values.items()}}
    except Rejected as rejection:
        return {"rejected": str(rejection)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        reply = GREETING if "hello" in request else {"id": request["id"], **answer(request)}
        print(json.dumps(reply), flush=True)
