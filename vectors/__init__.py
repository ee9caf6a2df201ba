"""Golden data, its manifest, and `vectors.generate`, which makes both."""
