"""Measures speeds, as ratios within one run."""
