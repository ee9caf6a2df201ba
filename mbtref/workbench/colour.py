"""Colour profiles: pictures of other colour spaces become sRGB."""

import io

import numpy as np
import PIL.Image
from PIL import ImageCms

from mbtref.workbench.declared import Refused

GRID = np.stack(np.unravel_index(np.arange(16**3), (16, 16, 16)), -1).astype(np.uint8)[None] * 17
"""(1, 4096, 3) uint8: colours from all of RGB."""


def to_srgb(picture: PIL.Image.Image, profile: bytes, bits: int) -> PIL.Image.Image:
    """An opaque picture in sRGB. profile: an ICC profile. bits: of a sample in the picture's file.

    A profile that moves no colour of a grid by more than one level is sRGB, and leaves the samples as they are. A
    grey picture may have an RGB profile.

    Raises Refused if the profile is damaged or for another kind of picture, and for 16 bits with another profile
    than sRGB, since their upper eight don't suffice.
    """
    mode = picture.mode
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "L" and source.profile.xcolor_space == "RGB ":
            mode = "RGB"
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception as error:
        raise Refused(f"its colour profile can't be used: {error}; convert it to sRGB first") from error
    probe = PIL.Image.fromarray(GRID).convert(mode)
    before, after = (np.asarray(each).astype(np.int16) for each in (probe.convert("RGB"), transform.apply(probe)))
    if np.abs(after - before).max() <= 1:
        return picture
    if bits > 8:
        raise Refused("has 16 bits and a colour profile; convert it to 8-bit sRGB first")
    return transform.apply(picture.convert(mode))
