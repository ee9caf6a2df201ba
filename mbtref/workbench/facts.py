"""Published facts about mbt2018, as data with their sources.

- `zoo-checkpoints`: the names, hashes and dimensions of CompressAI's published checkpoints;
- `notebook-figures`: their figures for kodim20, and the staircase of qualities 3 to 6;
- `kodak-published-rd`: published rate and distortion curves, means over the 24 Kodak pictures.
"""

import functools
import json
from pathlib import Path
from typing import Any


@functools.cache
def facts(name: str) -> dict[str, Any]:
    """The content of one of these files. name: without the suffix."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text("utf-8"))
    return content


def published_curves() -> dict[str, dict[str, Any]]:
    """Published curves by name. Each has `source`, `description` and lists of one length: `bpp`, `psnr-rgb` in dB.
    Some also have `ms-ssim-rgb`, a mean of numbers up to 1, and `encoding_time` and `decoding_time` in seconds.
    """
    curves: dict[str, dict[str, Any]] = facts("kodak-published-rd")["curves"]
    return curves
