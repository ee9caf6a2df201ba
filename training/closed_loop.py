"""The end of a training: the entropy networks learn on the codec's own closed loop.

In the noisy pass, their contexts are y + noise. In a bitstream they differ: where sigma is small, nearly every k
is 0 and y_hat is mu itself. A decoder then knows less about y than the noise let through, and the networks are too
confident. So they are trained further here, on the y_hat of `mbtref.scan`. g_a, h_a and g_s don't change: pictures
stay the same, only their rate changes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mbtref import codec
from mbtref.exact import EntropyNetworks
from mbtref.networks import MBT2018
from mbtref.openloop.forward import parameters_of_y
from mbtref.openloop.likelihoods import gaussian_likelihoods
from mbtref.scan import scan
from training.config import Config
from training.data import Pixels, draw_batch, rng_of_step
from training.gradients import BoundsPassGradients
from training.objective import add_noise, schedule

STEPS = 1000  # unless told otherwise
LEARNING_RATE = 3e-4  # the highest
WARMUP = 50  # steps over which the learning rate rises to it


@torch.no_grad()
def closed_loop(net: MBT2018, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """A decoder's (y_hat, z_hat) with the networks as they are now. Shapes as y and z, float32."""
    entropy = EntropyNetworks(net.state_dict())
    y_units = codec.grid_units(y)
    z_hat = entropy.z_hat(codec.nearest_symbol(codec.grid_units(z) - entropy.medians))
    y_hat = scan(entropy, z_hat, lambda step: step.y_hat(codec.nearest_symbol(step.of(y_units) - step.mu)))
    return codec.channels_first(y_hat), codec.channels_first(z_hat)


def refine(net: MBT2018, pictures: Sequence[Pixels], config: Config, steps: int) -> None:
    """Trains h_s, context_prediction and entropy_parameters of net, and nothing else."""
    parts = (net.h_s, net.context_prediction, net.entropy_parameters)
    learning = [parameter.requires_grad_(True) for part in parts for parameter in part.parameters()]
    optimizer = torch.optim.Adam(learning, fused=True)
    bar = tqdm(range(steps), desc="closed loop", disable=None)
    for step in bar:
        # batches that the earlier training didn't draw
        rng = rng_of_step(config.seed, config.steps + step)
        x = draw_batch(pictures, config.batch, config.crop, rng)
        pixels = x[:, 0].numel()
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * schedule(step, steps, WARMUP)
        optimizer.zero_grad()
        bits_sigma, bits_mu = symbol_bits(net, x, rng)
        torch.autograd.backward((bits_sigma + bits_mu) / pixels)
        torch.nn.utils.clip_grad_norm_(learning, config.clip_norm, error_if_nonfinite=True)
        optimizer.step()
        bar.set_postfix(bpp_y=f"{bits_sigma.item() / pixels:.3f}")
    net.requires_grad_(False)


def symbol_bits(net: MBT2018, x: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Bits of a batch's symbols, two scalars: sigma learns from the first, mu from the second.

    The rate of k = round(y - mu) has a gradient for sigma, and it is the true rate. It has none for mu, which
    learns from the noisy residual instead. x: (B, 3, 64h, 64w) float in [0, 1].
    """
    with torch.no_grad():
        y = net.g_a(x)
        z = net.h_a(y)
    sigma, mu = parameters_of_y(net, *closed_loop(net, y, z))
    k = torch.round(y - mu).detach()
    noisy = add_noise(y, rng) - mu
    with BoundsPassGradients():
        bits_sigma = -torch.log2(gaussian_likelihoods(k, sigma)).sum()
        bits_mu = -torch.log2(gaussian_likelihoods(noisy, sigma.detach())).sum()
    return bits_sigma, bits_mu
