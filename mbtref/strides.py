"""How many pixels a latent covers, in either direction."""

STRIDE_Y = 2**4
"""Pixels of x per column of y: g_a halves the resolution four times."""
STRIDE_Z = STRIDE_Y * 2**2
"""Pixels of x per column of z: h_a halves it twice more. Pictures are padded to a multiple of it."""
