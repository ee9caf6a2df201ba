"""Speeds, as ratios of one run."""
