"""The look of figures: colours, type, one SVG for light and dark pages, and WebP for pixels.

A codec has one colour in all figures: mbt2018 is blue, JPEG green, WebP purple, VTM black, BPG grey,
bmshj2018-factorized orange. Latent buffers, which aren't streams, are red. Colour-blind readers can tell them
apart too (after Okabe and Ito 2008). Each has another one for dark pages; `svg` lets the reader's browser switch.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib
import matplotlib.colors
import PIL.Image
from matplotlib.figure import Figure

from mbtref.image import Image

P = ParamSpec("P")
T = TypeVar("T")

PAPER, DARK_PAPER = "#fff", "#14181c"
"""The ground of charts on the report page, around letters that lie over a line."""
INK, QUIET, RULE = "#1d2329", "#5b6570", "#d5dae0"
BLUE, RED, ORANGE, GREEN, PURPLE, GREY = (
    "#0072b2", "#c84e00", "#e08a00", "#008a66", "#a8508a", "#7d8790",
)  # fmt: skip
DARK = {
    INK: "#e8ebee", QUIET: "#a3adb8", RULE: "#39424c", BLUE: "#5ab4f0", RED: "#ff8a4c",
    ORANGE: "#ffc061", GREEN: "#3fcfa4", PURPLE: "#e39ac9", GREY: "#8d98a4",
}  # fmt: skip
"""The colour that replaces each on a dark page."""

STYLE: Any = {
    "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.labelsize": 9,
    "text.color": INK, "axes.titlecolor": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET,
    "xtick.color": QUIET, "ytick.color": QUIET, "grid.color": RULE, "grid.linewidth": 0.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False,
    "svg.fonttype": "none", "svg.hashsalt": "mbtref", "text.parse_math": False,
}  # fmt: skip

WIDE, NARROW = 8.0, 4.0
"""Widths of a chart in inches: beside a text, and on a phone, where its type stays as large."""
DPI = 130
"""Pixels of an inch of a chart as a PNG file."""
PHOTOGRAPH_QUALITY = 95
"""Of WebP: about 45 dB, far above the 30 dB of the reconstructions to be seen."""


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Makes a function draw with STYLE. matplotlib's own settings stay as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


class Chart(Figure):
    """A figure that a notebook shows."""

    def png(self) -> bytes:
        """A PNG file, the same each time."""
        file = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(file, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
        return file.getvalue()

    _repr_png_ = png


def svg(figure: Figure) -> str:
    """A figure as one SVG file that follows the reader's light or dark scheme, and the reader's font."""
    file = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser has a font for it
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    text = text[text.index("<svg") :]  # the text before it names outside addresses
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    for colour in DARK:
        text = text.replace(colour, f"var(--c{colour[1:]})")
    light = "".join(f"--c{colour[1:]}:{colour};" for colour in DARK)
    dark = "".join(f"--c{colour[1:]}:{other};" for colour, other in DARK.items())
    halo = "text{paint-order:stroke;stroke:var(--halo);stroke-width:2px}"
    style = (f"<style>:root{{{light}--halo:{PAPER};}}{halo}"
             f"@media (prefers-color-scheme:dark){{:root{{{dark}--halo:{DARK_PAPER};}}}}</style>")  # fmt: skip
    return text.replace(">", f">{style}", 1)


def gradient(colours: str) -> str:
    """A colour map of matplotlib, by its name, as the stops of a gradient in CSS."""
    return ",".join(matplotlib.colors.to_hex(matplotlib.colormaps[colours](stop / 16)) for stop in range(17))


def webp(pixels: Image, photograph: bool) -> bytes:
    """A WebP file of pixels, (H, W, 3) or (H, W) uint8: photographs at PHOTOGRAPH_QUALITY, others without loss."""
    file = io.BytesIO()
    kind: Any = {"quality": PHOTOGRAPH_QUALITY} if photograph else {"lossless": True}
    PIL.Image.fromarray(pixels).save(file, "WEBP", **kind)
    return file.getvalue()
