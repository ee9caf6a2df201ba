"""Measures speeds, as ratios within one run: `python -m benchmarks`."""
