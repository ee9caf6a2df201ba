"""Streams of zlib (RFC 1950 and 1951) made block by block: the same bytes for every build of zlib, and wrong ones.

A block is a text of its bits in the order of the stream.
"""

import struct
import zlib
from collections.abc import Iterable

MATCH = 285
"""The symbol of 258 bytes that are already there. Here they repeat the last two."""
END = 256
"""The symbol at the end of a block."""
TWO_BYTES_BACK = "00001"
TO_WHOLE_BYTE = "|"
"""In place of the bits that fill up a byte."""


def number(value: int, count: int) -> str:
    """Bits from the lowest one on."""
    return f"{value:0{count}b}"[::-1]


def stored(body: bytes, last: bool = False) -> str:
    """A block of bytes as they are, fewer than 2^16."""
    lengths = number(len(body), 16) + number(len(body) ^ 0xFFFF, 16)
    return number(last, 3) + TO_WHOLE_BYTE + lengths + "".join(number(byte, 8) for byte in body)


def fixed(symbols: Iterable[int], last: bool = False) -> str:
    """A block of the fixed Huffman code. symbols: bytes, and MATCH."""
    bits = ""
    for symbol in (*symbols, END):
        if symbol < 144:
            bits += f"{symbol + 0x30:08b}"
        elif symbol < END:
            bits += f"{symbol - 144 + 0x190:09b}"
        elif symbol < 280:
            bits += f"{symbol - END:07b}"
        else:
            bits += f"{symbol - 280 + 0xC0:08b}" + TWO_BYTES_BACK
    return number(last, 1) + number(1, 2) + bits


def dynamic(body: bytes, last: bool = False) -> str:
    """A block of a Huffman code of its own: 8 bits for the end and for each byte but 255. It has no distances."""
    assert 255 not in body, "the code lacks the byte 255"
    counts = number(0, 5) + number(0, 5) + number(1, 4)
    # five lengths, of which 0 and 8 occur, and have a bit each: 255 times 8, 0 for the byte 255, 8 for the end
    lengths = number(0, 9) + number(1, 3) + number(1, 3) + "1" * 255 + "01" + "0"
    return number(last, 1) + number(2, 2) + counts + lengths + "".join(f"{byte:08b}" for byte in (*body, 255))


def joined(*blocks: str) -> bytes:
    bits = ""
    for part in "".join(blocks).split(TO_WHOLE_BYTE):
        bits += part + "0" * (-len(bits + part) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def header(window: int = 7, level: int = 0, method: int = 8, dictionary: bool = False) -> bytes:
    """The two bytes before a deflate stream. window: of 2^(8 + window) bytes. level: 0 to 3."""
    first, flags = window << 4 | method, level << 6 | dictionary << 5
    return bytes([first, flags | -(first << 8 | flags) % 31])


def zlib_stream(body: bytes, *blocks: str, begin: bytes = header()) -> bytes:
    """A stream whose blocks inflate to body."""
    return begin + joined(*blocks) + struct.pack(">I", zlib.adler32(body))


def stored_block(body: bytes) -> bytes:
    """A zlib stream of one stored block. body: less than 2^16 bytes."""
    return zlib_stream(body, stored(body, last=True))
