"""Damaged input for decoders that must agree: `python -m mbtref.suite.fuzz`."""
