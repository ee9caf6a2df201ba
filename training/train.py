"""Trains one model: `python -m training.train training/lite-q4.toml --data PHOTOGRAPHS --out runs/lite-q4`.

Continues from `OUT/checkpoint.pt` if it exists, with exactly the results of an unbroken run: the batch and the
noise of a step depend on the seed and the step alone (`data`), and the checkpoint holds all the rest.
`OUT/log.jsonl` gets one line every `log_every` steps.
"""

import argparse
import io
import json
import math
import sys
import time
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from mbtref.bitstream import STRIDE_Z
from mbtref.files import write_whole
from mbtref.model import networks_of
from mbtref.networks import MBT2018
from training.data import Pixels, draw_batch, read_pictures, rng_of_step
from training.gradients import BoundsPassGradients
from training.objective import Loss, quantile_loss, rate_distortion, schedule


@dataclass(frozen=True, kw_only=True)
class Config:
    """One model's training: a TOML file with these keys, `lambda` without its underscore.

    Keys with a default may be left out.
    """

    quality: str
    """q1 ... q8, the name of λ on CompressAI's ladder."""
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

    It saves up to half the time on processors that have them. The last steps should be float32: a latent above
    64 has 8 bits before the point.
    """
    log_every: int
    """Steps for each line of the log."""
    checkpoint_every: int
    """Steps from one checkpoint to the next."""


def read_config(path: Path) -> Config:
    """Reads and checks a config.

    Raises OSError, or ValueError on an unknown or missing key, a wrong type or a crop that doesn't fit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    types = {field.name.rstrip("_"): field.type for field in fields(Config)}
    for key in sorted(values.keys() - types.keys()):
        raise ValueError(f"{path}: unknown key {key}")
    optional = {field.name for field in fields(Config) if field.default is not MISSING}
    for key in sorted(types.keys() - values.keys() - optional):
        raise ValueError(f"{path}: missing key {key}")
    for key, value in values.items():
        if type(value) is not types[key]:
            raise ValueError(f"{path}: {key} = {value!r} is of type {type(value).__name__}")
        if not isinstance(value, str) and key != "seed" and value <= 0:
            raise ValueError(f"{path}: {key} = {value!r} is not above zero")
    if values["crop"] % STRIDE_Z:
        raise ValueError(f"{path}: crop = {values['crop']} is not a multiple of {STRIDE_Z}")
    return Config(lambda_=values.pop("lambda"), **values)


def learning_rate(config: Config, step: int) -> float:
    """The learning rate of a step, see `schedule`."""
    return config.learning_rate * schedule(step, config.steps, config.warmup)


def initial(N: int, M: int, seed: int) -> MBT2018:
    """Networks with PyTorch's initial weights, drawn by `seed`. The process's random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MBT2018(N, M)


STATEFUL = ("net", "average", "optimizer", "quantile_optimizer")
"""The attributes of `Training` that a checkpoint holds by their `state_dict`."""
COUNTED = ("step", "seconds", "sums")
"""The attributes that a checkpoint holds as they are."""


class Training:
    """A model in training: all state that changes from step to step. A checkpoint holds it.

    net, average: the weights and their running average. optimizer, quantile_optimizer: one for each loss.
    step: steps done. seconds: the time they took. sums: (4,) float, the losses since the log's last line.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config, self.device = config, device
        self.step = 0
        self.seconds = 0.0
        self.sums = torch.zeros(len(Loss._fields), device=device)
        self.net = initial(config.N, config.M, config.seed).to(device)
        # the layout that CPUs and GPUs convolve fastest
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.net).requires_grad_(False)
        quantiles = self.net.entropy_bottleneck.quantiles
        self.weights = [p for p in self.net.parameters() if p is not quantiles]
        self.optimizer = torch.optim.Adam(self.weights, fused=True)
        self.quantile_optimizer = torch.optim.Adam([quantiles], lr=config.quantile_learning_rate)

    def start_from(self, model_file: Path) -> None:
        """Takes the weights of a model file. Raises OSError, or ValueError if they have another N or M."""
        networks = networks_of(load_file(model_file))
        if (networks.N, networks.M) != (self.config.N, self.config.M):
            raise ValueError(f"{model_file} has N={networks.N}, M={networks.M}, unlike the config")
        self.net.load_state_dict(networks.state_dict())
        self.average.load_state_dict(networks.state_dict())

    def save(self, path: Path) -> None:
        """Writes a checkpoint, whole or not at all."""
        state = {"config": asdict(self.config)}
        state |= {name: getattr(self, name).state_dict() for name in STATEFUL}
        state |= {name: getattr(self, name) for name in COUNTED}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Restores a checkpoint. Raises OSError, or ValueError if it was made with another config."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != asdict(self.config):
            raise ValueError(f"{path} was made with another config: choose another --out")
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        for name in COUNTED:
            setattr(self, name, state[name])

    def advance(self, pictures: Sequence[Pixels]) -> None:
        """Takes one step: a batch, then for each of the two losses its gradient and its optimiser.

        Raises RuntimeError if the gradient isn't finite, before any weight has changed.
        """
        config, prior = self.config, self.net.entropy_bottleneck
        rng = rng_of_step(config.seed, self.step)
        crops = torch.from_numpy(draw_batch(pictures, config.batch, config.crop, rng))
        x = crops.to(self.device).permute(0, 3, 1, 2).float() / 255

        self.optimizer.param_groups[0]["lr"] = learning_rate(config, self.step)
        self.optimizer.zero_grad()
        bfloat16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.step < config.bfloat16_steps)
        with bfloat16, BoundsPassGradients():
            loss = rate_distortion(self.net, x, config.lambda_, rng)
        torch.autograd.backward(loss.total)
        torch.nn.utils.clip_grad_norm_(self.weights, config.clip_norm, error_if_nonfinite=True)
        self.optimizer.step()

        self.quantile_optimizer.zero_grad()
        torch.autograd.backward(quantile_loss(prior), inputs=[prior.quantiles])
        self.quantile_optimizer.step()

        with torch.no_grad():
            # average <- decay · average + (1 - decay) · net
            for mean, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1 - config.ema_decay)
            self.sums += torch.stack(loss)
        self.step += 1

    def line_of_log(self) -> dict[str, float]:
        """Returns the means since the last line, and begins a new interval. psnr is the noisy pass's, in dB."""
        total, bpp_y, bpp_z, mse = (self.sums / self.config.log_every).tolist()
        self.sums.zero_()
        return {
            "step": self.step,
            "loss": total,
            "bpp_y": bpp_y,
            "bpp_z": bpp_z,
            "psnr": -10 * math.log10(mse),
            "learning_rate": learning_rate(self.config, self.step - 1),
            "seconds": round(self.seconds, 1),
        }


def cut_log(path: Path, lines: int) -> None:
    """Keeps the first lines of a log. Later lines were written after the checkpoint and will come again."""
    kept = path.read_text().splitlines(keepends=True)[:lines] if path.exists() else []
    write_whole(path, "".join(kept).encode())


def train(training: Training, pictures: Sequence[Pixels], out: Path, stop: int) -> None:
    """Trains until `stop` steps are done. Writes the log and the checkpoints into the folder `out`."""
    config = training.config
    cut_log(out / "log.jsonl", training.step // config.log_every)
    with (
        (out / "log.jsonl").open("a") as log,
        tqdm(total=stop, initial=training.step, desc=out.name, disable=None) as bar,
    ):
        while training.step < stop:
            started = time.perf_counter()
            training.advance(pictures)
            training.seconds += time.perf_counter() - started
            bar.update()
            if training.step % config.log_every == 0:
                line = training.line_of_log()
                print(json.dumps(line), file=log, flush=True)
                bar.set_postfix({key: f"{line[key]:.3f}" for key in ("loss", "bpp_y", "psnr")})
            if training.step % config.checkpoint_every == 0 or training.step == stop:
                training.save(out / "checkpoint.pt")


def prepare(options: argparse.Namespace) -> tuple[Training, list[Pixels]]:
    """The training, begun from a checkpoint, a model file or random weights, and the pictures.

    Raises OSError, or ValueError on a config, a picture, a model file or a checkpoint that can't be used.
    """
    config = read_config(options.config)
    pictures = read_pictures(options.data, config.crop)
    training = Training(config, torch.device(options.device))
    start = options.start or (config.start and options.config.parent / config.start)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    elif start:
        training.start_from(start)
    options.out.mkdir(parents=True, exist_ok=True)
    return training, pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, 2 if it can't begin, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="training.train", description="Trains one model.")
    parser.add_argument("config", type=Path, help="a TOML file such as training/lite-q4.toml")
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, .jpg or .png")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the checkpoint and the log")
    parser.add_argument("--start", type=Path, help="a model file to start from, in place of the config's")
    parser.add_argument(
        "--steps", type=int, help="stop after this many more steps; the schedule stays the config's"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    try:
        training, pictures = prepare(options)
    except (OSError, ValueError) as error:
        print(f"training.train: {error}", file=sys.stderr)
        return 2
    stop = training.config.steps if options.steps is None else training.step + options.steps
    try:
        train(training, pictures, options.out, min(stop, training.config.steps))
    except KeyboardInterrupt:
        print("training.train: stopped; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
