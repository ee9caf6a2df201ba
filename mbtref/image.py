"""Pictures as arrays: uint8 (H, W, 3), RGB. `planes` makes a tensor of one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, H and W at least 1."""


def check(image: object) -> None:
    """Raises ValueError, which says what to do, if this isn't a picture."""
    if not isinstance(image, np.ndarray):
        found = f"a {type(image).__name__}"
    elif image.shape[2:] != (3,) or 0 in image.shape or image.dtype != np.uint8:
        found = f"{image.dtype} {image.shape}"
    else:
        return
    raise ValueError(f"a picture is a uint8 array (H, W, 3); this is {found}: {fix_of(image)}")


def fix_of(image: object) -> str:
    """How to make a picture of something else."""
    if isinstance(image, PIL.Image.Image):
        return "give numpy.array(picture.convert('RGB'))"
    if isinstance(image, str | Path):
        return "read the file with mbtref.workbench.picturefiles.read(pathlib.Path(...))"
    if not isinstance(image, np.ndarray):
        return "make a NumPy array of it"
    match image.shape:
        case shape if 0 in shape:
            return "it has no pixels"
        case (_, _) | (_, _, 1):
            return "if it is grey, give numpy.dstack([picture] * 3)"
        case (_, _, 4):
            return "flatten the alpha channel on a background; if all of it is opaque, give picture[..., :3]"
        case (_, _, 3):
            return fix_of_samples(image)
        case (3, _, _):
            return "if channels come first, give picture.transpose(1, 2, 0)"
        case (_, _, _, _):
            return "give one picture; encode_batch takes a list of them"
    return "it needs three axes, the last of them red, green, blue"


def fix_of_samples(image: npt.NDArray[np.generic]) -> str:
    """How to make uint8 of other samples."""
    if image.dtype.kind not in "iuf":
        return "its samples aren't numbers from 0 to 255"
    if not 0 <= image.min() <= image.max():
        return "its samples must be 0 or more, and finite"
    if image.dtype.kind == "f" and image.max() <= 1:
        return "if its range is 0 to 1, give (255 * picture).round().astype(numpy.uint8)"
    if image.max() <= 255:
        return "if its range is 0 to 255, give picture.round().astype(numpy.uint8)"
    if image.dtype.kind in "iu" and image.max() < 2**16:
        return "if it has 16 bits, give (picture >> 8).astype(numpy.uint8)"
    return "scale its samples to 0 to 255"
