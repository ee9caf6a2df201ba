"""Names that the command line accepts. Nothing has to be loaded to know them."""

METRICS = {"zoo-q": "mse", "zoo-msssim-q": "ms-ssim"}
"""The beginnings of zoo models' names, each with the metric of the training."""
QUALITIES = range(1, 9)
ZOO = tuple(f"{prefix}{quality}" for prefix in METRICS for quality in QUALITIES)
"""CompressAI's published checkpoints."""
MEASURES = {
    "bitstream": ("bpp_bitstream", "psnr_bitstream"),
    "theoretical": ("bpp_theoretical", "psnr"),
    "zlib": ("bpp_buffer_zlib", "psnr"),
}
"""The rates to compare, each with the fields of `Record` for rate and PSNR."""
PAGE = "index.html"
"""Name of the report in its folder."""
KODAK_URL = "http://r0k.us/graphics/kodak/kodak"
"""Rich Franzen's copy of the Kodak Lossless True Color Image Suite."""
