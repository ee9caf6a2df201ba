"""A model's training as a TOML file: the keys of `Config`, and a table [[rounds]] for each round of several.

A round's table holds what differs from the keys above it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from mbtref.bitstream import STRIDE_Z


@dataclass(frozen=True, kw_only=True)
class Config:
    """One round of training. In the file, `lambda` has no underscore, and keys with a default may be left out."""

    quality: str
    """q1 ... q8, CompressAI's name of λ."""
    N: int
    """Channels of the transforms and of z."""
    M: int
    """Channels of y."""
    lambda_: float
    """loss = bpp + λ · 255² · MSE."""
    start: str = ""
    """A model file to start from, relative to the config; "" starts from scratch."""
    seed: int
    steps: int
    """Where the learning rate reaches zero and training ends."""
    batch: int
    """Crops in a step."""
    crop: int
    """Side of a crop in pixels, a multiple of STRIDE_Z."""
    learning_rate: float
    """Peak of the learning rate."""
    warmup: int
    """Steps over which the learning rate rises to its peak."""
    quantile_learning_rate: float
    """Constant learning rate of the auxiliary loss."""
    clip_norm: float
    """A longer gradient is shortened to this norm."""
    ema_decay: float
    """Weight of the past in the averaged weights."""
    bfloat16_steps: int = 0
    """The networks of the first steps run in 16-bit floats, and the weights stay float32.

    It saves up to half the time on processors with such floats. The last steps should be float32: a latent above
    64 has 8 bits before the point.
    """
    log_every: int
    """Steps for each line of the log."""
    checkpoint_every: int
    """Steps from one checkpoint to the next."""


def read_rounds(path: Path) -> list[Config]:
    """The rounds of a training, at least one.

    Raises OSError, or ValueError on an unknown or missing key, a wrong type or a crop that doesn't fit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        rounds = values.pop("rounds", [{}])
        if not isinstance(rounds, list) or not rounds or not all(isinstance(each, dict) for each in rounds):
            raise ValueError("rounds are tables, each under [[rounds]]")
        return [checked(values | each) for each in rounds]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def checked(values: Mapping[str, Any]) -> Config:
    """The config of a round. Raises ValueError as `read_rounds` does."""
    types = {field.name.rstrip("_"): field.type for field in fields(Config)}
    optional = {field.name for field in fields(Config) if field.default is not MISSING}
    for problem, keys in (("unknown", values.keys() - types), ("missing", types.keys() - values - optional)):
        if keys:
            raise ValueError(f"{problem} key {min(keys)}")
    for key, value in values.items():
        if type(value) is not types[key]:
            raise ValueError(f"{key} = {value!r} is of type {type(value).__name__}")
        if not isinstance(value, str) and key != "seed" and value <= 0:
            raise ValueError(f"{key} = {value!r} is not above zero")
    if values["crop"] % STRIDE_Z:
        raise ValueError(f"crop = {values['crop']} is not a multiple of {STRIDE_Z}")
    return Config(**{"lambda_" if key == "lambda" else key: value for key, value in values.items()})
