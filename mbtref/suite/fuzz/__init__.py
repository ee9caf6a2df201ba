"""Damaged input for two decoders that must agree: `python -m mbtref.suite.fuzz`."""
