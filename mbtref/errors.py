"""The faults of bytes: one exception with a closed list of kinds.

A caller's mistake is a ValueError. A bad stream is always a BitstreamError.
"""

from enum import StrEnum


class Kind(StrEnum):
    """Why a stream was refused. The value is the name used in the specification and the vectors."""

    BAD_MAGIC = "bad-magic"
    UNSUPPORTED_VERSION = "unsupported-version"
    UNKNOWN_MODEL = "unknown-model"
    BAD_DIMENSIONS = "bad-dimensions"
    TOO_LARGE = "too-large"
    TRUNCATED = "truncated"
    TRAILING_DATA = "trailing-data"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    SYMBOL_OUT_OF_RANGE = "symbol-out-of-range"
    BAD_FINAL_STATE = "bad-final-state"


class BitstreamError(Exception):
    """Bytes that can't be decoded.

    kind: the rule that they break. offset: the byte of the stream at which the decoder saw it.
    """

    def __init__(self, kind: Kind, offset: int, explanation: str) -> None:
        super().__init__(kind, offset, explanation)
        self.kind = kind
        self.offset = offset
        self.explanation = explanation

    def __str__(self) -> str:
        return f"{self.kind} at byte {self.offset}: {self.explanation}"
