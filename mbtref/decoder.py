"""The whole decoder of mbt2018 in one file, with NumPy and Python's standard library alone.

    python -m mbtref.decoder picture.mbt picture.png --model mbtref/data/lite-q4.safetensors

It follows docs/specification.md section by section and shares nothing with the reference. The entropy path is
int64, one position at a time. Convolutions follow their definition. The picture is float64. Surprises first:

- Integer arithmetic alone decides which bits are read (§§1 to 5). So the latents are right or wrong, never nearly
  right. Any language with 64-bit integers gives the same latents.
- A decoder makes no tables (§4). They are data, in the model file and in the file of Gaussian tables beside it.
- Only the last step, from latents to a picture (§9), is float.
"""

import argparse
import bisect
import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


# §1 Model
def read_safetensors(path: str | Path) -> dict[str, Array]:
    """All tensors of a file: eight bytes of length, a header in JSON, then the tensors."""
    data = Path(path).read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            dtype = {"F32": "<f4", "I32": "<i4"}[entry["dtype"]]
            tensors[name] = np.frombuffer(data[begin + first : begin + last], dtype).reshape(entry["shape"])
    return tensors


def grid(v: Array, bits: int) -> Array:
    """The nearest multiple of 2^-bits, in units of 2^-bits."""
    units: Array = np.floor(v.astype(np.float64) * 2.0**bits + 0.5).astype(np.int64)
    return units


class Model:
    """The weights of one file, all tables, and the weights of the entropy path in grid units."""

    def __init__(self, model_file: str | Path, gaussian_file: str | Path) -> None:
        self.fingerprint = hashlib.sha256(Path(model_file).read_bytes()).digest()[:8]
        self.float, gaussian = read_safetensors(model_file), read_safetensors(gaussian_file)
        self.M, self.N = self.float["g_s.0.weight"].shape[:2]
        self.medians = saturate(grid(self.float["entropy_bottleneck.quantiles"][:, 0, 1], 10))
        layers = ["h_s.0", "h_s.2", "h_s.4", "context_prediction", *(f"entropy_parameters.{i}" for i in (0, 2, 4))]
        self.weight = {layer: grid(self.float[f"{layer}.weight"], 14) for layer in layers}
        self.bias = {layer: grid(self.float[f"{layer}.bias"], 24) for layer in layers}
        # the context model uses 12 of its 25 taps: the ones before the centre
        taps = self.weight["context_prediction"].reshape(2 * self.M, self.M, 25)
        self.weight["context_prediction"] = taps[:, :, :12].copy()
        parts = ("_quantized_cdf", "_cdf_length", "_offset")
        self.z_tables = make_tables(*(self.float[f"entropy_bottleneck.{part}"] for part in parts))
        self.y_tables = make_tables(*(gaussian[part] for part in parts))
        self.thresholds = gaussian["thresholds"].astype(np.int64)


# §2 Exact arithmetic, on arrays (C, H, W) or (C) of activations in units of 2^-10
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
    """h_s: (N, h, w) -> psi, (2M, 4h, 4w)."""
    a = leaky_relu(requantize(transpose_convolve(model.weight["h_s.0"], model.bias["h_s.0"], z_hat)))
    a = leaky_relu(requantize(transpose_convolve(model.weight["h_s.2"], model.bias["h_s.2"], a)))
    return requantize(convolve(model.weight["h_s.4"], model.bias["h_s.4"], a))


def dense(model: Model, layer: str, a: Array) -> Array:
    """One position: all inputs of a layer -> its outputs."""
    return requantize(model.weight[layer].reshape(-1, a.size) @ a + model.bias[layer])


# §3 Latents and their order
Choose = Callable[[int, int, Array, Array], Array]
"""(row, column, index, mu) -> y_hat of this position. index, mu and y_hat: (M)."""


def wavefronts(height: int, width: int) -> list[tuple[int, ...]]:
    """All positions (row, column) of y in coding order."""
    return sorted(np.ndindex(height, width), key=lambda place: (place[1] + 3 * place[0], place[0]))


def visit(model: Model, k_z: Array, places: Iterable[tuple[int, ...]], choose: Choose) -> dict[str, Array]:
    """Entropy parameters, position by position, from the latents chosen before. Returns all stages, (C, h, w)."""
    z_hat = saturate(k_z.astype(np.int64) * 1024 + model.medians[:, None, None])
    psi = hyper_synthesis(model, z_hat)
    phi = np.zeros_like(psi)
    sigma, mu, index, y_hat = np.zeros((4, model.M, *psi.shape[1:]), np.int64)
    bordered = np.pad(y_hat, ((0, 0), (2, 0), (2, 2)))  # two rows above, two columns on either side
    for row, column in places:
        here = (slice(None), row, column)
        before = bordered[:, row : row + 3, column : column + 5].reshape(model.M, 15)[:, :12]
        phi[here] = dense(model, "context_prediction", before.ravel())
        a = leaky_relu(dense(model, "entropy_parameters.0", np.concatenate([psi[here], phi[here]])))
        a = leaky_relu(dense(model, "entropy_parameters.2", a))
        sigma[here], mu[here] = dense(model, "entropy_parameters.4", a).reshape(2, model.M)
        index[here] = np.searchsorted(model.thresholds, sigma[here])  # the number of smaller thresholds
        y_hat[here] = choose(row, column, index[here], mu[here])
        bordered[:, row + 2, column + 2] = y_hat[here]
    return {"z_hat": z_hat, "psi": psi, "phi": phi, "sigma": sigma, "mu": mu, "index": index, "y_hat": y_hat}


# §4 Tables
Table = tuple[list[int], int]
"""cdf and offset. Bin i has the slots cdf[i] to cdf[i + 1] - 1 and is symbol offset + i. The last bin escapes."""


def make_tables(cdf: Array, length: Array, offset: Array) -> list[Table]:
    """The tables in the arrays of a file."""
    return [(row[:n].tolist(), int(first)) for row, n, first in zip(cdf, length, offset, strict=True)]


# §5 Entropy coding
class Reader:
    """Reads the symbols of a payload."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) < 8 or len(payload) % 4:
            raise Rejected("truncated")
        self.x = int.from_bytes(payload[:8], "little")
        self.words = np.frombuffer(payload[8:], "<u4").tolist()[::-1]
        if not 1 << 31 <= self.x < 1 << 63:
            raise Rejected("bad-final-state")

    def refill(self) -> None:
        if self.x < 1 << 31:
            if not self.words:
                raise Rejected("truncated")
            self.x = self.x << 32 | self.words.pop()

    def digit(self) -> int:
        self.x, digit = divmod(self.x, 16)
        self.refill()
        return digit

    def symbol(self, table: Table) -> int:
        (cdf, offset), (high, slot) = table, divmod(self.x, 1 << 16)
        value = bisect.bisect_right(cdf, slot) - 1
        self.x = (cdf[value + 1] - cdf[value]) * high + slot - cdf[value]
        self.refill()
        if value == len(cdf) - 2:
            count = self.digit()
            if count > 7:
                raise Rejected("symbol-out-of-range")
            digits = [self.digit() for _ in range(count)]
            if digits and digits[-1] == 0:
                raise Rejected("symbol-out-of-range")
            raw = sum(digit * 16**j for j, digit in enumerate(digits))
            value = -(raw + 1) // 2 if raw % 2 else raw // 2 + value
        return offset + value

    def finish(self) -> None:
        if self.words or self.x != 1 << 31:
            raise Rejected("trailing-data" if self.words else "bad-final-state")


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


# §7 Errors
class Rejected(Exception):
    """No encoder writes such a stream. The text is a kind of §7."""


# §9 The picture
def synthesis(model: Model, y_hat: Array) -> Any:
    """g_s: (M, 4h, 4w) -> x_hat, (3, 64h, 64w) float64."""

    def stored(name: str, minimum: float) -> Any:
        """A GDN stores v as sqrt(v + 2^-36). Some stored values are negative: the bound precedes the square."""
        return np.maximum(model.float[name].astype(np.float64), (minimum + 2.0**-36) ** 0.5) ** 2 - 2.0**-36

    a = transpose_convolve(model.float["g_s.0.weight"], model.float["g_s.0.bias"], y_hat.astype(np.float64))
    for i in (1, 3, 5):
        norm = stored(f"g_s.{i}.beta", 1e-6)[:, None, None] + np.tensordot(stored(f"g_s.{i}.gamma", 0), a**2, 1)
        weight, bias = model.float[f"g_s.{i + 1}.weight"], model.float[f"g_s.{i + 1}.bias"]
        a = transpose_convolve(weight, bias, a * np.sqrt(norm))
    return a


# The whole decoder
def decode(model: Model, data: bytes) -> tuple[Array, Array]:
    """A stream -> its latents y_hat, (M, 4h, 4w) in units of 2^-10, and its picture, (H, W, 3) uint8.

    Raises Rejected.
    """
    height, width, payload = parse(model, data)
    reader, h, w = Reader(payload), -(-height // 64), -(-width // 64)
    k_z = np.array([reader.symbol(table) for table in model.z_tables for _ in range(h * w)])

    def choose(row: int, column: int, index: Array, mu: Array) -> Array:
        # np.int64, since NumPy's default integers have 32 bits on some machines
        k = np.array([reader.symbol(model.y_tables[i]) for i in index], np.int64)
        return saturate(k * 1024 + mu)

    y_hat = visit(model, k_z.reshape(model.N, h, w), wavefronts(4 * h, 4 * w), choose)["y_hat"]
    reader.finish()
    pixels = np.round(synthesis(model, y_hat / 1024)[:, :height, :width].clip(0, 1) * 255)
    return y_hat, pixels.astype(np.uint8).transpose(1, 2, 0)


def png(picture: Array) -> bytes:
    """The bytes of a .png file with unfiltered rows. picture: (H, W, 3) uint8."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a sample, RGB
    rows = np.pad(picture.reshape(height, 3 * width), ((0, 0), (1, 0))).tobytes()
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def main() -> None:
    parser = argparse.ArgumentParser(description="Decode an .mbt stream to a PNG picture.")
    parser.add_argument("stream", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="the model file, .safetensors")
    parser.add_argument("--tables", type=Path, help="default: gaussian.safetensors beside the model file")
    args = parser.parse_args()
    try:
        model = Model(args.model, args.tables or args.model.with_name("gaussian.safetensors"))
        args.picture.write_bytes(png(decode(model, args.stream.read_bytes())[1]))
    except Rejected as rejection:
        sys.exit(f"{args.stream}: {rejection}")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"decoder.py: {error}")


if __name__ == "__main__":
    main()
