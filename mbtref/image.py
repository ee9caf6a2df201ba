"""Pictures: files and arrays, arrays and padded tensors, PSNR.

A picture is a uint8 array (H, W, 3), RGB. Its tensor is (1, 3, H', W') float32 in [0, 1]. The last column and row
are replicated until both sides are multiples of 64; cropping takes the top left.
"""

import hashlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import torch
import torch.nn.functional as F
from torch import Tensor

from mbtref import bitstream
from mbtref.files import write_whole
from mbtref.model import STRIDE_Z

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, H and W at least 1."""


def read(path: Path) -> Image:
    """A picture file as upright RGB. Pillow converts other modes, such as grey, palette and CMYK.

    16-bit grey (modes I;16 and I) keeps its upper eight bits; Pillow would clip it to 255.

    Raises OSError if the file can't be read. Raises ValueError if it isn't a picture, is damaged or too large, has
    samples of more than 16 bits, or has a pixel that isn't opaque: the caller must choose the colour behind it.
    """
    with path.open("rb") as data, warnings.catch_warnings(action="ignore"):
        try:
            with PIL.Image.open(data) as file:
                bitstream.check_dimensions(file.height, file.width)
                file.load()
                picture = PIL.ImageOps.exif_transpose(file)
        except PIL.UnidentifiedImageError as error:
            raise ValueError(f"{path}: not a picture that Pillow reads") from error
        except Exception as error:  # each format's reader has its own errors for a damaged file
            raise ValueError(f"{path}: damaged, or it can't be coded: {error}") from error
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise ValueError(f"{path}: has transparent pixels; flatten it on a background colour first")
    if picture.mode.startswith(("I", "F")):
        samples = np.asarray(picture)
        if samples.dtype.kind == "f" or samples.min() < 0 or samples.max() >= 2**16:
            raise ValueError(f"{path}: has samples of more than 16 bits; convert it to 8 bits first")
        picture = PIL.Image.fromarray((samples >> 8).astype(np.uint8))
    return np.array(picture.convert("RGB"))


def write_png(path: Path, image: Image) -> None:
    """Writes a picture as PNG, whole or not at all. Raises OSError."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def check(image: Image) -> None:
    """Raises ValueError if this isn't a picture."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"a picture is a uint8 array (H, W, 3); this is a {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a picture is a uint8 array (H, W, 3); this is {image.dtype} {image.shape}")


def sha256(image: Image) -> str:
    """The identity of a picture, independent of its file: SHA-256 of its samples in C order, 64 hex digits."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def to_tensor(image: Image) -> Tensor:
    """The unpadded tensor of a picture: (H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


def pad(x: Tensor) -> Tensor:
    """Replicates the last column and row up to multiples of STRIDE_Z. (B, C, H, W) -> (B, C, H', W')."""
    h, w = x.shape[-2:]
    return F.pad(x, (0, -w % STRIDE_Z, 0, -h % STRIDE_Z), mode="replicate")


def to_image(x_hat: Tensor) -> Image:
    """The nearest picture: (3, H, W) float, clamped to [0, 1] -> (H, W, 3) uint8."""
    return (x_hat.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 MSE. a, b: floats in [0, 1] of one shape. inf if equal."""
    mse = torch.mean((a.double() - b.double()) ** 2).item()
    return -10 * math.log10(mse) if mse > 0 else math.inf
