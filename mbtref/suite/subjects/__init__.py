"""Implementations that the suite can check."""
