"""Names that the command line takes, known without loading what they stand for."""

METRICS = {"zoo-q": "mse", "zoo-msssim-q": "ms-ssim"}
"""What the name of a zoo model begins with, and what its models were trained for."""
QUALITIES = range(1, 9)
ZOO = tuple(f"{prefix}{quality}" for prefix in METRICS for quality in QUALITIES)
"""CompressAI's published checkpoints."""
MEASURES = {
    "bitstream": ("bpp_bitstream", "psnr_bitstream"),
    "theoretical": ("bpp_theoretical", "psnr"),
    "zlib": ("bpp_buffer_zlib", "psnr"),
}
"""Rate and PSNR of a record, by what is compared."""
KODAK_URL = "http://r0k.us/graphics/kodak/kodak"
"""Rich Franzen's copy of the Kodak Lossless True Color Image Suite."""
