"""A model's training as a TOML file: the keys of `Config`, and a table [[rounds]] for each round of several.

A round's table holds what differs from the keys above it.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from mbtref.bitstream import STRIDE_Z


@dataclass(frozen=True, kw_only=True)
class Config:
    """One round of training. In the file, `lambda` has no underscore, and keys with a default may be left out."""

    quality: str  # q1 ... q8, CompressAI's name of λ
    N: int  # channels of the transforms and of z
    M: int  # channels of y
    lambda_: float  # loss = bpp + λ · 255² · MSE
    start: str = ""  # a model file to start from, relative to the config; "" starts from scratch
    seed: int
    steps: int  # where the learning rate reaches zero and training ends
    batch: int  # crops in a step
    crop: int  # side of a crop in pixels, a multiple of STRIDE_Z
    learning_rate: float  # the highest
    warmup: int  # steps over which the learning rate rises to it
    quantile_learning_rate: float  # of the auxiliary loss, constant
    clip_norm: float  # a longer gradient is shortened to this norm
    ema_decay: float  # weight of the past in the averaged weights
    bfloat16_steps: int = 0
    """The networks of the first steps run in 16-bit floats, and the weights stay float32.

    It saves up to half the time on processors with such floats. The last steps should be float32: a latent above
    64 has 8 bits before the point.
    """
    log_every: int  # steps for each line of the log
    checkpoint_every: int  # steps from one checkpoint to the next

    def __post_init__(self) -> None:
        for field in fields(self):
            key, value = field.name.rstrip("_"), getattr(self, field.name)
            if type(value) is not field.type:
                raise ValueError(f"{key} = {value!r} is of type {type(value).__name__}")
            if isinstance(value, int | float) and value <= 0 and key != "seed" and value != field.default:
                raise ValueError(f"{key} = {value!r} is not above zero")
        if self.crop % STRIDE_Z:
            raise ValueError(f"crop = {self.crop} is not a multiple of {STRIDE_Z}")


def read_rounds(path: Path) -> list[Config]:
    """The rounds of a training, at least one.

    Raises OSError, or ValueError on an unknown or missing key, a wrong type or a crop that doesn't fit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        rounds = [values | each for each in values.pop("rounds", [{}])]
        return [Config(**{"lambda_" if key == "lambda" else key: each[key] for key in each}) for each in rounds]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
