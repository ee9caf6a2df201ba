"""The entropy coder: byte for byte that of CompressAI, and by definition where that library fails.

CompressAI's coder writes before its buffer for fewer than three coding steps, keeps a frequency in 16 bits, so
that one of 65536 becomes 0, and counts the digits of an escape from 2^28 on with a shift too far.
"""

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbtref import rans
from mbtref.errors import BitstreamError, Kind
from mbtref.making.modelfile import to_arrays
from mbtref.rans import Table, Tables
from tests import oracle
from tests.support import refused

Message = tuple[list[int], list[int], Tables]
"""Symbols, the table of each, and the tables."""

FARTHEST = 1 << 27
"""The first distance from a table that is too far: an escaped value is twice it and below 2^28."""
ONLY_ESCAPE = Table((0, 1 << 16), 3)
EVEN = Table((0, 1 << 14, 1 << 15, 1 << 16), -1)
"""Symbols -1 and 0 at two bits each, one bit for an escape."""
EVENS = Tables([EVEN])
RARE = Table((0, 1, 1 << 16), 0)
"""Symbol 0 twice brings the state to 2^47, the very limit at which a word has to go."""


@st.composite
def messages(draw: st.DrawFn, least_bins: int = 1, most_symbols: int = 200) -> Message:
    """Messages under random tables, with symbols in them, around them and far outside."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        inner = draw(st.sets(st.integers(1, (1 << 16) - 1), min_size=least_bins - 1, max_size=40))
        found.append(Table((0, *sorted(inner), 1 << 16), draw(st.integers(-1000, 1000))))
    indexes = draw(st.lists(st.integers(0, len(found) - 1), max_size=most_symbols))
    symbols = []
    for index in indexes:
        cdf, offset = found[index]
        inside = st.integers(offset - 20, offset + len(cdf) + 20)
        outside = st.integers(offset - FARTHEST, offset + len(cdf) - 3 + FARTHEST)
        symbols.append(draw(inside | outside))
    return symbols, indexes, Tables(found)


def decode(data: bytes, message: Message) -> list[int]:
    """The symbols of a whole stream."""
    decoder = rans.Decoder(data)
    symbols = decoder.pop(message[1], message[2])
    decoder.finish()
    return [int(symbol) for symbol in symbols]


@given(messages(least_bins=2).filter(lambda message: len(message[0]) >= 3))
def test_compressai_has_the_same_bytes(message: Message) -> None:
    """Encoding gives CompressAI's bytes, and each library decodes them to the same symbols."""
    symbols, indexes, found = message
    data = rans.encode(symbols, indexes, found)
    library = oracle.compressai("ans")
    # padded rows, lengths, offsets
    arrays = [array.tolist() for array in to_arrays(found).values()]
    theirs = library.RansEncoder().encode_with_indexes(symbols, indexes, *arrays)
    assert data == theirs, f"{len(data)} bytes, CompressAI has {len(theirs)} for the same symbols and tables"
    read = library.RansDecoder().decode_with_indexes(data, indexes, *arrays)
    assert read == symbols, "CompressAI reads other symbols from our stream"
    assert decode(data, message) == symbols, "we read other symbols from CompressAI's stream"


@given(messages(most_symbols=4))
@example(([], [], EVENS))
@example(([3 + FARTHEST - 1], [0], Tables([ONLY_ESCAPE])))
@example(([0, 0], [0, 0], Tables([RARE])))
def test_bytes_follow_from_the_definition(message: Message) -> None:
    """Short streams, one-bin tables and the farthest escapes give the bytes that counting labels gives."""
    symbols, indexes, found = message
    data = rans.encode(symbols, indexes, found)
    steps = [label for s, i in zip(symbols, indexes, strict=True) for label in oracle.labels(s, found[i])]
    assert data == oracle.ans_encode(steps), "the stream isn't the one that the definition of ANS gives"
    assert decode(data, message) == symbols, "the stream doesn't decode to its own symbols"


@pytest.mark.parametrize(
    ("symbols", "indexes", "message"),
    [
        *(([s], [0], f"symbol {s} is too far outside table 0") for s in (1 + FARTHEST, -2 - FARTHEST)),
        *(([s], [0], f"symbol {s} is too far outside table 0") for s in (10**18, -(10**18))),
        ([0, 0], [0], "2 symbols have 1 indexes"),
    ],
)
def test_a_callers_mistake_is_named(symbols: list[int], indexes: list[int], message: str) -> None:
    """A symbol whose escape would need an eighth digit, and one without a table, are a ValueError."""
    with pytest.raises(ValueError, match=message):
        rans.encode(symbols, indexes, EVENS)


POSITION = 20
"""Where the streams below begin in their file."""
SYMBOLS = [0, -1, 0] * 20
STREAM = rans.encode(SYMBOLS, [0] * len(SYMBOLS), EVENS)


OTHER_END = oracle.ans_encode(oracle.labels(0, EVEN) * len(SYMBOLS), first=oracle.ANS_LOW + 1)
"""The stream of an encoder that didn't begin at 2^31."""


def escape(count: int) -> bytes:
    """The stream of an escape that has this many digits."""
    digits = [oracle.digit_label(1)] * count
    return oracle.ans_encode([oracle.Label(1 << 15, 1 << 15, 16), oracle.digit_label(count), *digits])


@pytest.mark.parametrize(
    ("data", "kind", "offset"),
    [
        *((STREAM[:length], Kind.TRUNCATED, length) for length in (0, 7, 9, len(STREAM) - 4)),
        (bytes(8), Kind.BAD_FINAL_STATE, 0),
        (STREAM + bytes(4), Kind.TRAILING_DATA, len(STREAM)),
        (OTHER_END, Kind.BAD_FINAL_STATE, len(OTHER_END)),
        (escape(8), Kind.SYMBOL_OUT_OF_RANGE, 8),
        (escape(15), Kind.SYMBOL_OUT_OF_RANGE, 12),
    ],
)
def test_a_broken_stream_is_refused_where_it_breaks(data: bytes, kind: Kind, offset: int) -> None:
    """A broken stream is refused for what it is, at the byte where a decoder sees it."""
    with refused(kind, POSITION + offset):
        decoder = rans.Decoder(data, POSITION)
        decoder.pop([0] * len(SYMBOLS), EVENS)
        decoder.finish()


@pytest.mark.parametrize(
    ("data", "kind", "offset"),
    [
        ((rans.LOWER + 1).to_bytes(8, "little"), Kind.BAD_FINAL_STATE, 8),
        (rans.LOWER.to_bytes(12, "little"), Kind.TRAILING_DATA, 8),
    ],
)
def test_a_stream_of_no_symbols_is_checked(data: bytes, kind: Kind, offset: int) -> None:
    """The last state and the words that are left are looked at, though nothing is read."""
    decoder = rans.Decoder(data, POSITION)
    assert decoder.pop([], EVENS).size == 0, "no symbols are asked for"
    with refused(kind, POSITION + offset):
        decoder.finish()


@given(st.binary(max_size=64), st.lists(st.integers(1, 1000), min_size=1, max_size=9))
def test_arbitrary_bytes_give_symbols_or_an_error(data: bytes, bins: list[int]) -> None:
    """Whatever the bytes, decoding ends, with symbols in range or with a BitstreamError inside the stream."""
    table = Table((*accumulate(bins, initial=0), 1 << 16), 0)
    try:
        symbols, offset = decode(data, ([], [0] * 100, Tables([table]))), 0
    except BitstreamError as error:
        symbols, offset = [], error.offset
    assert 0 <= offset <= len(data), f"an error at byte {offset} of {len(data)}"
    assert all(-FARTHEST <= s < len(bins) + FARTHEST for s in symbols), "a symbol that no encoder can have coded"


def test_the_limits_of_the_state_are_accepted() -> None:
    """First states 2^31 and 2^63 - 1 are both in range."""
    for state in (1 << 31, (1 << 63) - 1):
        assert rans.Decoder(state.to_bytes(8, "little")).offset == 8, f"state {state} isn't read as two words"
