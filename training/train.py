"""Trains one model: `python -m training.train training/lite-q4.toml --data PHOTOGRAPHS --out runs/lite-q4`.

If `OUT/checkpoint.pt` exists, it continues from there, with exactly the results of an unbroken run. The batch and
the noise of a step depend on the seed and the step alone (`data`), and the checkpoint holds everything else.
`OUT/log.jsonl` gets one line every `log_every` steps.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from mbtref.files import write_whole
from mbtref.model import networks_of
from mbtref.networks import MBT2018
from training.command import refusing
from training.config import Config, read_rounds
from training.data import Pixels, draw_batch, read_pictures, rng_of_step
from training.gradients import BoundsPassGradients
from training.objective import Loss, quantile_loss, rate_distortion, schedule


def initial(N: int, M: int, seed: int) -> MBT2018:
    """Networks with PyTorch's initial weights, drawn by `seed`. The global random generator isn't changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MBT2018(N, M)


STATEFUL = ("net", "average", "optimizer", "quantile_optimizer")
COUNTED = ("step", "seconds", "sums")
"""The attributes of `Training` that a checkpoint holds: by their `state_dict`, or as they are."""


class Training:
    """A model in training: all state that changes from step to step, which a checkpoint holds.

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
        """Takes one step: draws a batch, then takes the gradient step of each of the two losses.

        Raises RuntimeError if the gradient isn't finite, before any weight has changed.
        """
        config, prior = self.config, self.net.entropy_bottleneck
        rng = rng_of_step(config.seed, self.step)
        x = draw_batch(pictures, config.batch, config.crop, rng).to(self.device)
        rate = config.learning_rate * schedule(self.step, config.steps, config.warmup)
        self.optimizer.param_groups[0]["lr"] = rate
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
        line = {"step": self.step, "loss": total, "bpp_y": bpp_y, "bpp_z": bpp_z, "psnr": -10 * math.log10(mse)}
        return line | {"learning_rate": self.optimizer.param_groups[0]["lr"], "seconds": round(self.seconds, 1)}


def train(training: Training, pictures: Sequence[Pixels], out: Path, stop: int) -> None:
    """Trains until `stop` steps are done. Writes the log and the checkpoints into the folder `out`."""
    config, log = training.config, out / "log.jsonl"
    # later lines were written after the checkpoint and will be written again
    kept = log.read_text().splitlines(keepends=True) if log.exists() else []
    write_whole(log, "".join(kept[: training.step // config.log_every]).encode())
    with tqdm(total=stop, initial=training.step, desc=out.name, disable=None) as bar:
        while training.step < stop:
            started = time.perf_counter()
            training.advance(pictures)
            training.seconds += time.perf_counter() - started
            bar.update()
            if training.step % config.log_every == 0:
                line = training.line_of_log()
                with log.open("a") as file:
                    print(json.dumps(line), file=file)
                bar.set_postfix({key: f"{line[key]:.3f}" for key in ("loss", "bpp_y", "psnr")})
            if training.step % config.checkpoint_every == 0 or training.step == stop:
                training.save(out / "checkpoint.pt")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit status: 0, 2 if it can't begin, 130 if it was interrupted."""
    parser = argparse.ArgumentParser("training.train", description="Trains one model.")
    parser.add_argument("config", type=Path, help="a TOML file such as training/lite-q4.toml")
    parser.add_argument("--round", type=int, default=1, help="which of the config's rounds; default: the first")
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, .jpg or .png")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the checkpoint and the log")
    parser.add_argument("--steps", type=int, help="stop after this many more steps; the schedule stays the same")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    with refusing(parser):
        rounds = dict(enumerate(read_rounds(options.config), 1))
        if options.round not in rounds:
            raise ValueError(f"{options.config} has no round {options.round}: choose 1 to {len(rounds)}")
        config = rounds[options.round]
        pictures = read_pictures(options.data, config.crop)
        training = Training(config, torch.device(options.device))
        if (checkpoint := options.out / "checkpoint.pt").exists():
            training.load(checkpoint)
        elif config.start:
            training.start_from(options.config.parent / config.start)
        options.out.mkdir(parents=True, exist_ok=True)
    stop = config.steps if options.steps is None else min(config.steps, training.step + options.steps)
    try:
        train(training, pictures, options.out, stop)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped; the same command continues from the last checkpoint\n")


if __name__ == "__main__":
    main()
