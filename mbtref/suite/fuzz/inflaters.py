"""Deflated buffers whose kind depends on the inflater, so that either of two answers is right (specification, §8).

The reference inflates with zlib. An inflater of a decoder's own may have another answer in these cases alone:

- *truncated* in place of *checksum-mismatch*, or the reverse, near a fault. The one that says *truncated* must say
  *checksum-mismatch* once NEAR bytes follow or fewer, whatever they are: the bytes that are there hold the fault.
- *checksum-mismatch* where a distance is too far back: beyond the window of the header or, after the values,
  beyond the beginning. zlib sees it too if it has no more than that window, and is asked byte by byte.
"""

import math
import struct
import zlib
from collections.abc import Callable, Sequence

from mbtref.errors import Kind

BEGIN = 34
"""Bytes of a buffer up to the deflated data: the shapes, the header of zlib. No inflater misses one of them."""
NEAR = 2
"""Bytes that an inflater may miss before it sees a fault."""
ALL, SOME = range(256), (0x00, 0x55, 0xAA, 0xFF)
"""Values of a byte that follows. zlib, which is quick, is asked about all."""
Says = Callable[[bytes], str]
"""What a decoder says of a buffer: a kind, or anything else."""


def either_is_right(buffer: bytes, zlib_says: Says, other_says: Says) -> bool:
    """Whether two different answers to a buffer are both right."""
    ours, theirs = zlib_says(buffer), other_says(buffer)
    if theirs == Kind.CHECKSUM_MISMATCH and is_too_far_back(buffer):
        return True
    late, values = (zlib_says, ALL) if ours == Kind.TRUNCATED else (other_says, SOME)
    kinds = {Kind.TRUNCATED, Kind.CHECKSUM_MISMATCH}
    return len(buffer) > BEGIN and {ours, theirs} == kinds and is_certain(buffer, late, values, NEAR)


def is_certain(buffer: bytes, says: Says, values: Sequence[int], more: int) -> bool:
    """Whether a decoder says checksum-mismatch once so many bytes follow or fewer, whatever they are."""
    answers = ((longer, says(longer)) for longer in (buffer + bytes([value]) for value in values))
    return all(
        kind == Kind.CHECKSUM_MISMATCH
        or (kind == Kind.TRUNCATED and more > 1 and is_certain(longer, says, values, more - 1))
        for longer, kind in answers
    )


def is_too_far_back(buffer: bytes) -> bool:
    """Whether a distance in the values, or right after them, reaches beyond the window or the beginning."""
    shapes, rest = struct.unpack_from("<8i", buffer.ljust(BEGIN)), buffer[BEGIN - 2 :]
    inflater = zlib.decompressobj(wbits=0)  # with the window of the header
    try:
        for _ in range(2 * (math.prod(shapes[:4]) + math.prod(shapes[4:])) + 1):
            if not inflater.decompress(rest, 1):
                break
            rest = inflater.unconsumed_tail
    except zlib.error as error:
        return "too far back" in str(error)
    return False
