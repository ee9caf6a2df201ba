"""mbtref: the reference codec of mbt2018 (Minnen, Ballé and Toderici 2018)."""

from mbtref.codec import decode, encode
from mbtref.errors import BitstreamError, Kind
from mbtref.weights import Model, load

__all__ = ["BitstreamError", "Kind", "Model", "decode", "encode", "load"]
