"""Vectors of the model `edge`, and likelihoods: values that the other models reach rarely or never."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mbtref import Model
from mbtref.exact import CONTEXT_TAPS, interleave, leaky_relu, windows
from mbtref.grid import EXACT, LIMIT, ONE, WEIGHT_BITS, requantize
from mbtref.networks import GDN, MBT2018
from mbtref.openloop.likelihoods import LIKELIHOOD_MIN
from mbtref.scan import Step, scan
from mbtref.suite.generate import edge, streams
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.exact import MOST, assert_saturates, spread
from mbtref.suite.generate.implementations import Changed, in_float64
from mbtref.suite.generate.registry import EDGE, LITE, vector
from mbtref.suite.generate.textures import SIZES, picture, scatter
from mbtref.suite.pictures import tensor
from mbtref.suite.subjects.reference import units_in
from mbtref.suite.subjects.tensors import I32
from mbtref.tables import SCALES

TIE = 1 << WEIGHT_BITS - 1
"""Half of a grid unit, in units of a sum."""
LEAKY_TIE = 1 << 16
"""LeakyReLU gives half a grid unit at the odd multiples of this number: 1311 · 2^16 / 2^17."""


def sums(model: Model, k_z: I32, y_hat: I32) -> Iterator[tuple[str, Tensor]]:
    """Each layer of the entropy path and its sums, (1, H, W, C), teacher-forced.

    k_z: (N, h, w) symbols; y_hat: (M, 4h, 4w) grid units.
    """
    networks = model.entropy
    a = networks.z_hat(units_in(k_z))
    for name, layer in (("h_s.0", networks.h_s_0), ("h_s.2", networks.h_s_2)):
        total = interleave(layer(windows(a).flatten(3)))
        yield name, total
        a = leaky_relu(requantize(total))
    psi = networks.h_s_4(windows(a).flatten(3))
    yield "h_s.4", psi
    around = windows(units_in(y_hat), 5)
    phi = networks.context(torch.cat([around[..., row, column, :] for row, column in CONTEXT_TAPS], -1))
    yield "context_prediction", phi
    a = torch.cat([requantize(psi), requantize(phi)], -1)
    for i, layer in enumerate((networks.head_0, networks.head_2, networks.head_4)):
        total = layer(a)
        yield f"entropy_parameters.{2 * i}", total
        a = leaky_relu(requantize(total))


def symbols_for(scales: npt.NDArray[np.int64], shape: tuple[int, int]) -> I32:
    """k_z, (N, h, w), whose S (see `edge`) are these, row by row; the last channel is scattered."""
    h, w = shape
    k_z = scatter(*np.indices((edge.N, h, w)), 60) % 9 - 4
    k_z[0], k_z[1] = np.divmod(np.resize(scales, shape), edge.COARSE)
    return k_z.astype(np.int32)


# The float networks


def roots_off(networks: MBT2018) -> MBT2018:
    """Computes in float64, with all square roots of GDNs off by 2^-18."""
    for layer in networks.modules():
        if isinstance(layer, GDN):
            layer.register_forward_hook(lambda layer, inputs, output: output * (1 + 2.0**-18))
    return in_float64(networks)


@vector("TRANSFORM-1", "TRANSFORM-3", models=EDGE)
def gdn(case: Case) -> None:
    """a GDN's beta or gamma without its lower bound, or bounded after the square; the pedestal left out"""
    y = case.ask("g_a", {"x": tensor(picture(SIZES["square"], 1))})["y"]
    case.but(requirement="TRANSFORM-3").ask("g_s", {"y_hat": np.round(y.array)})


@vector("TRANSFORM-1", "TRANSFORM-3", models=EDGE)
def roots(case: Case) -> None:
    """square roots of 16 to 18 correct bits: cut off, or by two steps of Newton's from a guess"""
    # of inputs of one value a channel, these show an error of the roots most, compared with errors of sums
    x, y_hat = np.zeros((3, 64, 64), np.float32), np.zeros((edge.M, 4, 4), np.float32)
    x[1], x[2], y_hat[1], y_hat[4] = -9 / 512, -111 / 512, 1024, -1024
    wrong = Changed({case.model_name: case.model}, roots_off, torch.float64)
    for requirement, operation, inputs in (
        ("TRANSFORM-1", "g_a", {"x": x}), ("TRANSFORM-3", "g_s", {"y_hat": y_hat}),
    ):  # fmt: skip
        ((output, right),) = case.but(requirement=requirement).ask(operation, inputs).items()
        off = float(np.abs(wrong.call(operation, case.model_name, inputs)[output] - right.array).max())
        limit = case.out.new.entries[-1]["tolerance"][output]["absolute"]
        assert off > limit, f"roots off by 2^-18 move {output} of {case.name} by {off:.2g}, not above {limit}"


@vector("FLOAT-1", models=EDGE)
def unmasked(case: Case) -> None:
    """a context model whose mask isn't applied, since other files hold it masked"""
    z_hat = (scatter(*np.indices((edge.N, 1, 2)), 61) % 9 - 4).astype(np.float32)
    y_hat = (scatter(*np.indices((edge.M, 4, 8)), 62) % 9 - 4).astype(np.float32)
    case.ask("parameters", {"z_hat": z_hat, "y_hat": y_hat}, outputs=("psi", "phi"))


@vector("FLOAT-3")
def small_scales(case: Case) -> None:
    """a scale not bounded by 0.11, or by another number; no floor of a likelihood; one tail alone"""
    sigma, distance = (a.ravel() for a in np.meshgrid(np.arange(80, 144), np.arange(-4, 4), indexing="ij"))
    values = {"sigma": sigma / ONE, "mu": scatter(sigma, distance, 63) / 2**16 - 0.5}
    values["y"] = values["mu"] + distance + (scatter(sigma, distance, 64) / 2**16 - 0.5) * 0.75
    shaped = {key: values[key].astype(np.float32).reshape(8, 8, 8) for key in ("y", "mu", "sigma")}
    p = case.ask("gaussian_likelihoods", shaped)["y_likelihoods"]
    assert p.array.min() == np.float32(LIKELIHOOD_MIN), "no likelihood at its floor"


@vector("FLOAT-1", models=LITE[:1])
def negative_scales(case: Case) -> None:
    """the absolute value of a scale, which the context of common latents doesn't make negative"""
    n, m = case.model.networks.N, case.model.networks.M
    latents = {"z_hat": spread((n, 1, 1), 100, 71), "y_hat": spread((m, 4, 4), 8, 72)}
    answer = case.ask("parameters", {name: v.astype(np.float32) for name, v in latents.items()}, ("sigma", "mu"))
    assert answer["sigma"].array.min() < -1, f"{case.name} has no scale below -1"


def of_scales(case: Case, residuals: npt.NDArray[np.int64], scales: Sequence[float]) -> None:
    """Asks for the likelihoods of 16 residuals under each of four scales."""
    residual, sigma = np.meshgrid(residuals, scales, indexing="ij")
    values = {"y": residual, "mu": np.zeros_like(residual), "sigma": sigma}
    case.ask("gaussian_likelihoods", {key: v.astype(np.float32).reshape(4, 4, 4) for key, v in values.items()})


@vector("FLOAT-3")
def negative_scales_of_likelihoods(case: Case) -> None:
    """the absolute value of a scale in place of the bound of 0.11"""
    of_scales(case, np.arange(-8, 8), [-8, -1, -0.25, 0])


@vector("FLOAT-3")
def large_scales(case: Case) -> None:
    """a scale bounded from above too, by 32 to 1024 or the 256 of the tables"""
    of_scales(case, np.arange(-8, 8) * 16, [40, 100, 300, 1500])


@vector("FLOAT-3")
def tied_likelihoods(case: Case) -> None:
    """y - mu on a tie rounded up or away from zero, not to even"""
    grid = np.meshgrid(np.arange(-8, 8) / 2, [0.25, 1, 2, 8], indexing="ij")
    residual, sigma = (a.astype(np.float32) for a in grid)
    mu = (spread((*residual.shape, 1), 40, 70) / 8).astype(np.float32).reshape(residual.shape)
    values = {"y": mu + residual, "mu": mu, "sigma": sigma}
    case.ask("gaussian_likelihoods", {key: value.reshape(4, 4, 4) for key, value in values.items()})


@vector("FLOAT-3", models=EDGE)
def improbable(case: Case) -> None:
    """no floor of a likelihood of z, or another; a tail computed as a difference of numbers near 1"""
    medians = case.model.networks.entropy_bottleneck.medians.numpy()
    # far on the lower side alone: on the upper side float32 loses the digits of 1 - p
    z_hat = (np.arange(-63, 1, dtype=np.float32) + medians).reshape(edge.N, 8, 8)
    p = case.ask("factorized_likelihoods", {"z_hat": z_hat})["z_likelihoods"].array
    assert p.min() == np.float32(LIKELIHOOD_MIN), f"no likelihood of {case.name} at its floor"
    small = (p < 1e-6).mean() > (p == p.min()).mean()
    assert small, f"no small likelihood of {case.name} above its floor"


# The integer networks


@vector("EXACT-1", models=EDGE)
def thresholds(case: Case) -> None:
    """a threshold one off, or a scale at a threshold given the next table: all 63, one below, at and one above"""
    limits = case.model.gaussian.thresholds.astype(np.int64)
    inputs = {"k_z": symbols_for(limits, (7, 9)), "y_hat": spread((edge.M, 28, 36), 2 * ONE, 65)}
    answer = case.ask("exact_parameters", inputs)
    missing = set((limits[:, None] + [-1, 0, 1]).ravel().tolist()) - set(answer["sigma"].array.ravel().tolist())
    assert not missing, f"{case.name} has no scales {sorted(missing)}"


@vector("EXACT-1", models=EDGE)
def saturated(case: Case) -> None:
    """sums that leave 2^52 in 32 bits or in float32; a stage that doesn't saturate, or to another limit"""
    h, w = 2, 2
    parity = np.indices((edge.M, 4 * h, 4 * w)).sum(0)
    y_hat = np.where(parity % 2, -LIMIT, LIMIT - 1).astype(np.int32)
    y_hat[:, 4:] = np.where(scatter(*np.indices((edge.M, 4, 8)), 66) % 2, -LIMIT, LIMIT - 1)
    k_z = np.where(np.indices((edge.N, h, w)).sum(0) % 2, -MOST + 1, MOST - 1).astype(np.int32)
    k_z[:, 1] = spread((edge.N, 1, w), 4000, 67)[:, 0]
    answer = case.ask("exact_parameters", {"k_z": k_z, "y_hat": y_hat})
    totals = dict(sums(case.model, k_z, y_hat))
    for layer, total in totals.items():
        assert_saturates(requantize(total).numpy(), f"{layer} of {case.name}")
    largest = max(float(total.abs().max()) for total in totals.values())
    assert EXACT / 2 < largest < EXACT, f"the largest sum of {case.name} is {largest:.3g}"
    for stage in ("z_hat", "psi", "phi", "sigma"):
        assert_saturates(answer[stage].array, f"{stage} of {case.name}")


@vector("EXACT-1", models=EDGE)
def ties(case: Case) -> None:
    """halves rounded to even or away from zero: in sums, in LeakyReLU, in medians and weights"""
    scales = np.array([-1024, -3072, 1024, 3072, -5, 7, -2048, 640, 1001, -1001, 3, 2]) * edge.COARSE
    k_z = symbols_for(scales, (3, 4))
    k_z[1] = [[0] * 4, [0] * 4, [1, 1, 3, 5]]
    y_hat = (spread((edge.M, 12, 16), 3, 68) * ONE // 2).astype(np.int32)
    case.ask("exact_parameters", {"k_z": k_z, "y_hat": y_hat})
    for layer, total in sums(case.model, k_z, y_hat):
        units = requantize(total)
        if layer not in ("h_s.4", "context_prediction", "entropy_parameters.4"):
            odd = {int(v) // LEAKY_TIE % 4 for v in units[(units < 0) & (units % (2 * LEAKY_TIE) == LEAKY_TIE)]}
            assert odd == {1, 3}, f"LeakyReLU after {layer} of {case.name} has ties {odd} of 1 and 3"
        if layer.startswith(("h_s.4", "entropy_parameters")):
            tied = total[total % (2 * TIE) == TIE]
            assert tied.min() < 0 < tied.max(), f"sums of {layer} of {case.name} have no ties of both signs"


# Closed loop


@vector("EXACT-2", models=EDGE)
def tiny(case: Case) -> None:
    """y - mu + 1/2 in floats, where a tiny negative y vanishes beside mu; y saturated late, or one unit off"""
    k_z, half = symbols_for(np.array([102400, 102200]), (1, 2)), ONE // 2
    y = np.zeros((edge.M, 4, 8), np.float32)
    y[0, :, :4] = np.resize(np.array([-1e-38, -1e-45, 0, 1e-38], np.float32), (4, 4))
    # mu[0] is -half and 1 - half: one unit more or less of these moves k
    y[0, 3, 3], y[0, 3, 7] = 3e38, -3e38
    y[1, 0, 0], y[1, 0, 1], y[2, 0, 0], y[2, 0, 1] = 3e38, -3e38, LIMIT / ONE, -LIMIT / ONE - 1
    answer = case.ask("exact_symbols", {"k_z": k_z, "y": y})
    mu, k = answer["mu"].array[0], answer["k"].array[0]
    assert np.array_equal(np.unique(mu[:, :4]), [-half]), f"mu[0] of {case.name} isn't -1/2"
    assert np.array_equal(np.unique(mu[:, 4:]), [1 - half]), f"mu[0] of {case.name} isn't one unit above -1/2"
    assert np.array_equal(k[0, :4], [0, 0, 1, 1]), f"k[0] of {case.name} doesn't fall below a tie"
    assert (k[3, 3], k[3, 7]) == (LIMIT // ONE, -LIMIT // ONE), f"k[0] of {case.name} isn't that of the limits"


@vector("EXACT-2", models=EDGE)
def tied_latents(case: Case) -> None:
    """k rounded to even, away from zero or down; open-loop latents in the context; mu of another position"""
    k_z = symbols_for(np.array([102400, 40, 5000, 900, 131072, 77]), (2, 3))
    y = (spread((edge.M, 8, 12), 16, 69) / 2).astype(np.float32)
    difference = y * ONE - case.ask("exact_symbols", {"k_z": k_z, "y": y})["mu"].array
    tied = difference[difference % ONE == ONE // 2]
    assert tied.min() < 0 < tied.max(), f"k of {case.name} has no ties of both signs"


# Streams


@vector("DECODE-1", models=EDGE, folder="streams/{name}")
def every_bin(case: Case) -> None:
    """a count of a Gaussian table one off, in any of the 64: each is read on one side or the other"""
    model = case.model
    counts = np.array([(len(table.cdf) - 1) // 2 + 1 for table in model.gaussian.tables])
    limits = model.gaussian.thresholds.astype(np.int64)
    scales, got = list(limits), np.zeros(SCALES, np.int64)
    got[:-1] += 32
    got[1:] += 16
    middles = np.array([*limits - 2, limits[-1] + 1000])
    for table, wanted in enumerate(counts):
        scales += [middles[table]] * int(max(0, -(-(wanted - got[table]) // 48)))
    w = 26  # 35 positions in a wavefront
    h = -(-len(scales) // w)
    k_z = symbols_for(np.array(scales), (h, w))
    unread = [list(range(0, len(table.cdf) - 1, 2)) for table in model.gaussian.tables]
    k = np.zeros((edge.M, 4 * h, 4 * w), np.int32)

    def choose(step: Step) -> Tensor:
        chosen = torch.zeros_like(step.mu)
        for place, index in np.ndenumerate(model.index(step.sigma).numpy()):
            table, bins = model.gaussian.tables[index], unread[index]
            chosen[place] = table.offset + bins.pop() if bins else 0
        k[:, step.rows.numpy(), step.columns.numpy()] = chosen[0].T.int().numpy()
        return step.y_hat(chosen)

    scan(model.entropy, model.entropy.z_hat(units_in(k_z)), choose)
    left = {table: len(bins) for table, bins in enumerate(unread) if bins}
    assert not left, f"{case.name} doesn't read so many bins of its tables: {left}"
    case.ask("decode", {"stream": streams.stream(model, k_z, k)}, outputs=("y_hat",))


# `edge` has these streams too, after those of all other models
for make in (streams.far_symbols, streams.scattered_symbols):
    vector("DECODE-1", models=EDGE)(make)


@vector("DECODE-1", models=EDGE, folder="streams/{name}")
def shown(case: Case) -> None:
    """a GDN's beta or gamma without its lower bound, or bounded after the square; the pedestal left out"""
    case.ask("decode", {"stream": case.encode(picture(SIZES["square"], 1))})
