"""Mistakes that are known, and tried: a message names the one that explains an answer wholly.

The stream of a wrong encoder is read as a decoder with the same mistake would read it. A wrong decoder is given a
stream as an encoder with the same mistake would write it. Pictures and indexes are made wrongly, and compared.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mbtref import decoder
from mbtref.decoder import Array, Model, Table
from mbtref.suite.operations import GRID, Values
from mbtref.suite.subjects import one_file

HEADER = 20
"""Bytes before the payload (specification, §6)."""
PIXELS = 1 << 13
"""Larger pictures aren't tried: small ones show the same mistakes."""
FEW = 0.01
"""Share of values that may go either way near ties."""
Guesses = Iterator[tuple[str, Array]]
"""Mistakes, and what each makes of right values."""
Code = Callable[[Sequence[Table], Array], Array]
"""(tables, symbols) -> the symbols that a stream has."""


def sides(stream: bytes) -> tuple[int, int]:
    """Height and width in the header of a stream."""
    height, width = (int.from_bytes(stream[at : at + 2], "little") for at in (12, 14))
    return height, width


def is_small(stream: bytes) -> bool:
    """Whether a stream is tried."""
    return len(stream) >= HEADER and 0 < math.prod(sides(stream)) <= PIXELS


def crc(data: bytes) -> int:
    """The right checksum of a stream."""
    return zlib.crc32(data[:16] + data[HEADER:])


def sealed(data: bytes, checksum: int) -> bytes:
    """A stream with another checksum."""
    return data[:16] + checksum.to_bytes(4, "little") + data[HEADER:]


def with_field(data: bytes, begin: int, field: bytes) -> bytes:
    """A stream with other bytes in its header, and the checksum of that."""
    changed = data[:begin] + field + data[begin + len(field) :]
    return sealed(changed, crc(changed))


HEADERS: Mapping[str, Callable[[bytes], bytes]] = {
    "height and width are exchanged": lambda data: with_field(data, 12, data[14:16] + data[12:14]),
    "height and width are big-endian": lambda data: with_field(data, 12, data[13:11:-1] + data[15:13:-1]),
    "the fingerprint is reversed": lambda data: with_field(data, 4, data[11:3:-1]),
    "the checksum is big-endian": lambda data: data[:16] + crc(data).to_bytes(4, "big") + data[HEADER:],
    "the checksum is that of the payload alone": lambda data: sealed(data, zlib.crc32(data[HEADER:])),
    "the checksum is that of the header alone": lambda data: sealed(data, zlib.crc32(data[:16])),
    "the checksum is that of all bytes, with zeros in its place": lambda data: sealed(
        data, zlib.crc32(data[:16] + bytes(4) + data[HEADER:])
    ),
}
"""What makes of a right stream one with a wrong header."""


class Layout(NamedTuple):
    """An order of the symbols in a stream, and tables for them. By default the right one."""

    order: Callable[[int, int], Iterable[tuple[int, ...]]] = decoder.wavefronts
    axes: tuple[int, ...] = (0, 1, 2)
    """Of k_z, in the order of its symbols."""
    table_axes: tuple[int, ...] = (0, 1, 2)
    tables_of_y: Callable[[Model, Array, Array], Array] = lambda model, index, mu: index
    z_tables: Callable[[list[Table]], list[Table]] = list


def behind(columns: int, sign: int = 1) -> Callable[[int, int], list[tuple[int, ...]]]:
    """An order in which a row begins so many columns behind the one above. sign: -1 takes the lowest row first."""
    return lambda *size: sorted(np.ndindex(*size), key=lambda at: (at[1] + columns * at[0], sign * at[0]))


LAYOUTS: Mapping[str, Layout] = {
    "symbols of y come row by row, not in the order of §3": Layout(np.ndindex),
    "symbols of a wavefront come from its lowest row upwards, not in the order of §3": Layout(behind(3, -1)),
    "a row begins two columns behind the one above, not in the order of §3": Layout(behind(2)),
    "a row begins four columns behind the one above, not in the order of §3": Layout(behind(4)),
    "symbols of z come position by position, not in the order of §3": Layout(axes=(1, 2, 0), table_axes=(1, 2, 0)),
    "symbols of z come position by position, and their tables don't": Layout(axes=(1, 2, 0)),
    "tables of y are looked up by mu, not by sigma (§4)": Layout(
        tables_of_y=lambda model, _, mu: np.searchsorted(model.thresholds, mu)
    ),
    "tables of y are looked up by |mu|, not by sigma (§4)": Layout(
        tables_of_y=lambda model, _, mu: np.searchsorted(model.thresholds, abs(mu))
    ),
    "all channels of z use the first of their tables": Layout(z_tables=lambda tables: tables[:1] * len(tables)),
}


def walk(model: Model, layout: Layout, k_z: Array, y_hat: Array, code: Code) -> Mapping[str, Array]:
    """All stages of a stream whose symbols are coded in a layout. k_z, y_hat: what it should hold."""
    ordered = k_z.transpose(layout.axes)
    channels = np.indices(k_z.shape)[0].transpose(layout.table_axes)
    tables = layout.z_tables(model.z_tables)
    symbols = code([tables[channel] for channel in channels.ravel()], ordered.ravel()).reshape(ordered.shape)

    def choose(row: int, column: int, index: Array, mu: Array) -> Array:
        k = (y_hat[:, row, column] - mu + GRID // 2) // GRID
        return decoder.saturate(
            code([model.y_tables[i] for i in layout.tables_of_y(model, index, mu)], k) * GRID + mu
        )

    return decoder.visit(model, symbols.transpose(np.argsort(layout.axes)), layout.order(*y_hat.shape[1:]), choose)


class Writer:
    """Codes symbols as they come."""

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self.tables: list[Table] = []

    def __call__(self, tables: Sequence[Table], symbols: Array) -> Array:
        self.tables += tables
        self.symbols += symbols.tolist()
        return symbols

    def stream(self, model: Model, height: int, width: int) -> bytes:
        return one_file.file_of(model, height, width, one_file.code(self.symbols, self.tables))


def is_whole(name: str, stream: bytes, layout: Layout) -> bool:
    """Whether a stream comes to its right end in a layout."""
    model, (h, w) = one_file.load(name), (-(-side // 64) for side in sides(stream))
    nothing = np.zeros((model.N, h, w), np.int64), np.zeros((model.M, 4 * h, 4 * w), np.int64)
    try:
        reader = decoder.Reader(stream[HEADER:])
        walk(model, layout, *nothing, lambda tables, _: np.array([*map(reader.symbol, tables)], np.int64))
        reader.finish()
    except decoder.Rejected:
        return False
    return True


def of_encoder(name: str, stream: bytes, height: int, width: int) -> Iterator[str]:
    """Mistakes that explain the stream of a picture of this size."""
    right = one_file.file_of(one_file.load(name), height, width, stream[HEADER:])
    yield from (mistake for mistake, wrong in HEADERS.items() if stream == wrong(right) != right)
    if is_small(right) and not is_whole(name, right, Layout()):
        yield from (mistake for mistake, layout in LAYOUTS.items() if is_whole(name, right, layout))


def to_decoder(name: str, stream: bytes) -> Iterator[tuple[str, bytes, Values]]:
    """Mistakes, the stream that a decoder with each would read, and the answer that it would give.

    stream: a right one.
    """
    if not is_small(stream):
        return
    yield from ((mistake, wrong(stream), one_file.decode(name, stream)) for mistake, wrong in HEADERS.items())
    model, held = one_file.load(name), one_file.latents(name, stream)
    for mistake, layout in LAYOUTS.items():
        writer = Writer()
        found = walk(model, layout, np.asarray(held["k_z"]), np.asarray(held["y_hat"]), writer)
        y_hat = (found["y_hat"] / GRID).astype(np.float32)
        yield mistake, writer.stream(model, *sides(stream)), {"y_hat": y_hat}


def index_by(name: str, sigma: Array, mu: Array) -> Guesses:
    """Of scales and means in grid units: indexes."""
    thresholds = one_file.load(name).thresholds
    right = np.searchsorted(thresholds, sigma)
    yield "it is looked up by mu, not by sigma", np.searchsorted(thresholds, mu)
    yield "it is looked up by |mu|, not by sigma", np.searchsorted(thresholds, abs(mu))
    yield "a scale at a threshold counts as above it, not below", np.searchsorted(thresholds, sigma, "right")
    scales = GRID * 0.11 * (256 / 0.11) ** (np.arange(63) / 63)
    yield "it names the next larger scale, as CompressAI's does", np.searchsorted(scales, sigma)
    yield "it is one too large", right + 1
    yield "it is one too small", right - 1


def picture_by(name: str, y_hat: Array, height: int, width: int) -> Guesses:
    """Of right latents: pictures (height, width, 3), or of another shape."""
    x = 255 * decoder.synthesis(one_file.load(name), y_hat).transpose(1, 2, 0)
    cut, right, scaled = x[:height, :width], x.clip(0, 255), (x[:height, :width] * 256 / 255).clip(0, 255)
    yield "samples are truncated, not rounded", np.floor(cut.clip(0, 255))
    yield "samples are rounded up", np.ceil(cut.clip(0, 255))
    yield "x_hat is multiplied by 256, not by 255", np.round(scaled)
    yield "x_hat is multiplied by 256, not by 255, and truncated", np.floor(scaled)
    yield "samples wrap, and aren't clipped", np.round(cut) % 256
    yield "samples are truncated and wrap", np.trunc(cut) % 256
    whole = np.round(right)
    shown = whole[:height, :width]
    yield "samples are blue, green, red", shown[..., ::-1]
    yield "planes are taken for pixels", shown.transpose(2, 0, 1).reshape(shown.shape)
    yield "rows and columns are exchanged", shown.transpose(1, 0, 2)
    yield "the picture is upside down", shown[::-1]
    yield "the picture is mirrored", shown[:, ::-1]
    yield "the crop is the bottom right, not the top left", whole[-height:, -width:]
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    yield "the crop is the middle, not the top left", whole[top : top + height, left : left + width]
    yield "it isn't cropped", whole
    rounded = 255 * decoder.synthesis(one_file.load(name), np.round(y_hat)).transpose(1, 2, 0)
    yield "g_s gets whole latents", np.round(rounded.clip(0, 255))[:height, :width]


def fitting(found: Array, guesses: Guesses, few: float = FEW) -> list[str]:
    """The mistake whose values are nearest to those that were found, or none. few: the share that may differ."""
    shares = ((np.mean(values != found), mistake) for mistake, values in guesses if values.shape == found.shape)
    share, mistake = min(shares, key=lambda pair: pair[0], default=(1, ""))
    return [mistake] if share <= few else []


def messages() -> Iterator[tuple[str, Values]]:
    """Messages of growing difficulty, each with something new, as `rans_encode` takes them."""
    cdf = np.array([[0, 30000, 40000, 65000, 65536, 0], [0, 1, 2, 65534, 65535, 65536]], np.int32)
    tables = {"cdf": cdf, "length": np.array([5, 6], np.int32), "offset": np.array([-1, 3], np.int32)}
    for what, symbols, indexes in (
        ("no symbols", [], []),
        ("one symbol", [0], [0]),
        ("eight symbols of two tables", [-1, 0, 1, 1, 3, 5, 6, 4], [0, 0, 0, 0, 1, 1, 1, 1]),
        ("many words", 40 * [5, 0, 6, -1], 40 * [1, 0, 1, 0]),
        ("an escape without digits", [2], [0]),
        ("an escape above its table, of one digit", [5], [0]),
        ("an escape below its table, of one digit", [-3], [0]),
        ("an escape of two digits", [60], [0]),
        ("an escape of seven digits", [1 << 26], [0]),
    ):
        yield what, {"symbols": np.array(symbols, np.int32), "indexes": np.array(indexes, np.int32), **tables}
