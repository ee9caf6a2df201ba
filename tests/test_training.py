"""Training: it learns, it resumes as if unbroken, its log becomes a table, and its commands speak plainly."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mbtref import Model, load
from mbtref.making.complete import export as export_model
from mbtref.modelfile import SERIES
from mbtref.networks import MBT2018
from mbtref.openloop.forward import forward_pass, parameters_of_y
from mbtref.openloop.likelihoods import logits
from training import export, linear, log, train, widen
from training.closed_loop import symbol_bits
from training.config import read_rounds
from training.data import draw_batch, read_pictures, rng_of_step
from training.objective import TAIL_LOGIT, quantile_loss, rate_distortion, schedule

STEPS = 24
CONFIG = f"""
quality = "q4"
N = 4
M = 5
lambda = 0.013
seed = 7
steps = {STEPS}
batch = 2
crop = 64
learning_rate = 1e-2
warmup = 2
quantile_learning_rate = 1e-1
clip_norm = 1.0
ema_decay = 0.5
log_every = 4
checkpoint_every = 10
"""

Command = Callable[[list[str]], None]
Runner = Callable[..., Path]
Refused = Callable[..., None]


def status(command: Command, *arguments: object) -> int:
    """The exit status of a command."""
    try:
        command([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Asserts that a command ends with status 2 and one line that holds the complaint."""

    def check(complaint: str, command: Command, *arguments: object) -> None:
        ended, said = status(command, *arguments), capsys.readouterr().err
        found = (ended, said.count("\n"), complaint in said)
        assert found == (2, 1, True), f"expected status 2 and {complaint!r} in one line, got {ended} and {said!r}"

    return check


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three smooth pictures, 80 by 96 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((96, 80), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Runner:
    """Trains with CONFIG into a folder of the given name, and returns the folder."""
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)

    def runner(name: str, *options: object) -> Path:
        out = tmp_path / name
        ended = status(train.main, config, "--data", pictures, "--out", out, *options)
        assert ended == 0, f"training into {name} with {options} ended with status {ended}"
        return out

    return runner


def checkpoint(run: Path) -> dict[str, dict[str, Tensor]]:
    state: dict[str, dict[str, Tensor]] = torch.load(run / "checkpoint.pt", weights_only=True)
    return state


def read_log(run: Path) -> list[dict[str, float]]:
    """The lines of the log, without the seconds, which differ each time."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_bfloat16_steps(run: Runner, tmp_path: Path) -> None:
    """The steps before `bfloat16_steps` run in 16-bit floats, with nearly float32's losses; the others don't."""
    losses = {}
    for count in (0, 4, STEPS):
        (tmp_path / "tiny.toml").write_text(f"{CONFIG}bfloat16_steps = {count}\n" if count else CONFIG)
        losses[count] = [line["loss"] for line in read_log(run(f"{count} of {STEPS}"))]
    assert losses[STEPS][0] == losses[4][0] != losses[0][0], f"steps 1 to 4 are 16-bit in two of three: {losses}"
    assert losses[STEPS][1] != losses[4][1], f"step 5 is 16-bit in one run and float32 in the other: {losses}"
    assert losses[4][0] == pytest.approx(losses[0][0], rel=0.01), f"16-bit floats change the loss: {losses}"


@pytest.mark.parametrize("broken_at", [4, 6, 9])
def test_resumed_equals_unbroken(run: Runner, broken_at: int) -> None:
    """A run broken off and resumed ends with the weights, the averages and the log of an unbroken one.

    Lines that a killed run wrote after its last checkpoint, even half a line, are dropped.
    """
    broken = run("broken", "--steps", broken_at)
    with (broken / "log.jsonl").open("a") as file:
        file.write('{"step": 12, "loss": 0}\n{"step": 16, "lo')
    run("broken", "--steps", 1)
    run("broken")
    ours, theirs = checkpoint(broken), checkpoint(unbroken := run("unbroken"))
    for part in ("net", "average"):
        for name, tensor in theirs[part].items():
            error = (ours[part][name] - tensor).abs().max()
            assert error == 0, f"{part} {name} is off by {error:g}: the checkpoint lacks something that changes"
    assert read_log(broken) == read_log(unbroken), "the log of the resumed run is another one"


def test_failed_checkpoint_leaves_the_last(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stopped by Ctrl-C, even while it writes, leaves the last checkpoint as it was."""
    out = run("interrupted", "--steps", "4")
    before = (out / "checkpoint.pt").read_bytes()
    (config,) = read_rounds(out.parent / "tiny.toml")
    training = train.Training(config, torch.device("cpu"))
    monkeypatch.setattr("os.replace", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        training.save(out / "checkpoint.pt")
    assert (out / "checkpoint.pt").read_bytes() == before, "half a checkpoint took the last one's place"
    left = sorted(path.name for path in out.iterdir())
    assert left == ["checkpoint.pt", "log.jsonl"], f"a temporary file stayed behind: {left}"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("batch = 2", "", "missing 1 required keyword-only argument: 'batch'"),
        ("batch = 2", "batch = 2\nbatches = 2", "unexpected keyword argument 'batches'"),
        ("lambda = 0.013", "lambda = 1", "lambda = 1 is of type int"),
        ("crop = 64", "crop = 100", "crop = 100 is not a multiple of 64"),
        ("batch = 2", "batch = 0", "batch = 0 is not above zero"),
        ("batch = 2", "batch =", "Invalid value"),
        ("crop = 64", "crop = 128", "smaller than a crop of 128"),
        ("batch = 2", 'batch = 2\nstart = "nowhere.safetensors"', "nowhere.safetensors"),
        ("batch = 2", "batch = 2\nrounds = 3", "not iterable"),
        ("batch = 2", "batch = 2\nrounds = []", "has no round 1"),
    ],
)
def test_bad_config(tmp_path: Path, pictures: Path, refused: Refused, old: str, new: str, complaint: str) -> None:
    """A config that can't be used ends with status 2 and one line that says why."""
    config = tmp_path / "bad.toml"
    config.write_text(CONFIG.replace(old, new))
    refused(complaint, train.main, config, "--data", pictures, "--out", tmp_path / "out")


def test_rounds(run: Runner, pictures: Path, refused: Refused) -> None:
    """A round has the keys of its own table and those above it; a checkpoint of another round isn't continued."""
    out = run("second", "--steps", 1)
    config = out.parent / "tiny.toml"
    config.write_text(f"{CONFIG}[[rounds]]\nsteps = 8\n[[rounds]]\nsteps = {STEPS}\nlambda = 0.025\n")
    found = [(each.steps, each.lambda_, each.crop) for each in read_rounds(config)]
    assert found == [(8, 0.013, 64), (STEPS, 0.025, 64)], f"the rounds have steps, lambda and crop {found}"
    refused("another config", train.main, config, "--data", pictures, "--out", out, "--round", 2)
    end = read_log(run("first"))[-1]["step"]
    assert end == 8, f"round 1 ended at step {end}, not 8"
    refused("choose 1 to 2", train.main, config, "--data", pictures, "--out", out, "--round", 3)


def test_batch_depends_on_seed_and_step_alone() -> None:
    """A step's batch is the same whenever it is drawn, and another step's or another seed's is another."""
    pictures = [np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)]
    draw = {key: draw_batch(pictures, 2, 64, rng_of_step(*key)) for key in ((1, 5), (1, 6), (2, 5), (5, 1))}
    assert torch.equal(draw[1, 5], draw_batch(pictures, 2, 64, rng_of_step(1, 5))), "not repeatable"
    for key in ((1, 6), (2, 5), (5, 1)):
        assert not torch.equal(draw[1, 5], draw[key]), f"(1, 5) and {key} drew the same batch"


def test_learning_rate_rises_then_falls_to_zero() -> None:
    """The schedule's peak comes at the end of the warm-up, and its end is zero."""
    shares = [schedule(step, 1000, 100) for step in range(1001)]
    assert 90 <= int(np.argmax(shares)) <= 100, f"the peak is at step {np.argmax(shares)}, not 100"
    assert 0.97 < max(shares) <= 1, f"the peak is {max(shares)}, not about 1"
    assert math.isclose(shares[-1], 0, abs_tol=1e-12), f"the learning rate ends at {shares[-1]}, not zero"


def test_loss_is_rate_plus_weighted_distortion() -> None:
    """The loss is bpp + λ · 255² · MSE, and every parameter but the quantiles gets a gradient from it."""
    net = MBT2018(4, 5)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    loss = rate_distortion(net, x, 0.02, rng_of_step(1, 1))
    expected = loss.bpp_y + loss.bpp_z + 0.02 * 65025 * loss.mse
    assert torch.isclose(loss.total, expected), f"the loss is {loss.total}, its parts make {expected}"
    torch.autograd.backward(loss.total)
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == {"entropy_bottleneck.quantiles"}, f"without a gradient: {without}"


def test_quantile_loss_finds_the_tails() -> None:
    """The auxiliary loss brings the quantiles to the tails of the density."""
    prior = MBT2018(4, 5).entropy_bottleneck
    optimizer = torch.optim.Adam([prior.quantiles], lr=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        torch.autograd.backward(quantile_loss(prior), inputs=[prior.quantiles])
        optimizer.step()
    reached = logits(prior, prior.quantiles)
    target = torch.tensor([-TAIL_LOGIT, 0, TAIL_LOGIT]).expand_as(reached)
    assert torch.allclose(reached, target, atol=1.0), f"logits of the quantiles: {reached}, not {target[0]}"


def exported(run: Path, pictures: Path, model_file: Path, *options: object) -> Model:
    """The model that `training.export` makes of a run."""
    words = (run, model_file, "--data", pictures, *(options or ("--steps", 0)))
    assert status(export.main, *words) == 0, "export ended with an error"
    return load(model_file)


def test_export_writes_the_averaged_weights(run: Runner, pictures: Path, tmp_path: Path) -> None:
    """Training lowers the loss by half at least. Its model file has the averaged weights, and is a start again."""
    out = run("exported")
    lines = read_log(out)
    scratch, last_loss = lines[0]["loss"], lines[-1]["loss"]
    assert last_loss < scratch / 2, f"{STEPS} steps brought the loss from {scratch:.3f} to {last_loss:.3f} only"
    model = exported(out, pictures, tmp_path / "start.safetensors")
    expected = {"quality": "q4", "lambda": "0.013"}
    assert model.metadata == expected, f"metadata: {model.metadata}"
    written = model.networks.state_dict()["g_a.0.weight"]
    average, last = (checkpoint(out)[part]["g_a.0.weight"] for part in ("average", "net"))
    assert torch.equal(written, average), "g_a.0.weight isn't the average"
    assert not torch.equal(written, last), "g_a.0.weight is the last step's, not the average"

    (tmp_path / "tiny.toml").write_text(f'{CONFIG}start = "start.safetensors"\n')
    first = read_log(run("after", "--steps", 4))[0]["loss"]
    assert first < scratch, f"the first loss from a model file is {first:.3f}, from scratch {scratch:.3f}"


def test_closed_loop_learns_the_rate_alone(run: Runner, pictures: Path, tmp_path: Path) -> None:
    """The end of training lowers the bits of the symbols and leaves the transforms and the prior of z alone."""
    out = run("loop")
    before = exported(out, pictures, tmp_path / "before.safetensors")
    after = exported(out, pictures, tmp_path / "after.safetensors", "--steps", 12)
    x = draw_batch(read_pictures(pictures, 64), 8, 64, rng_of_step(1, 0))
    first, last = (symbol_bits(model.networks, x, rng_of_step(1, 1))[0].item() for model in (before, after))
    assert last < first, f"the symbols of a batch cost {last:.1f} bits after it, {first:.1f} before"
    old, new = (model.networks.state_dict() for model in (before, after))
    moved = {key.split(".")[0] for key in old if not torch.equal(old[key], new[key])}
    expected = {"h_s", "context_prediction", "entropy_parameters"}
    assert moved == expected, f"{sorted(moved)} moved, only {sorted(expected)} should"


def test_compact_weights_are_half_floats(run: Runner, pictures: Path, tmp_path: Path) -> None:
    """Compact weights are those of 16-bit floats, next to the trained ones; what the context's mask hides is 0."""
    out = run("compact")
    whole = exported(out, pictures, tmp_path / "whole.safetensors").networks.state_dict()
    cut = exported(out, pictures, tmp_path / "cut.safetensors", "--steps", 0, "--compact").networks
    hidden = cut.context_prediction.weight[:, :, cut.context_prediction.mask == 0]
    assert not hidden.any(), "a weight that no decoder reads is there"
    for name, weight in cut.named_parameters():
        exact = whole[name] * cut.context_prediction.mask if name == "context_prediction.weight" else whole[name]
        normal = exact.abs() >= torch.finfo(torch.float16).smallest_normal
        expected = torch.where(normal, exact.half().float(), weight)
        assert torch.equal(weight, expected), f"{name} isn't the nearest float with ten bits of mantissa"
        error = (weight - exact).abs()
        assert (error <= exact.abs() * 2**-11).all(), f"{name} moved by more than half a unit of its last bit"


@pytest.mark.parametrize(("N", "M"), [(48, 80), (52, 64), (50, 97), (48, 64)])
def test_widened_begins_as_the_narrow_one(N: int, M: int) -> None:
    """A widened model's first pass is the narrow one's in all that the old channels make, up to float rounding."""
    narrow = load("lite-q3").networks
    wide = widen.widen(narrow, N, M, seed=1)
    x = torch.rand(1, 3, 128, 64, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def made(net: MBT2018) -> dict[str, Tensor]:
        found = forward_pass(net, x)
        sigma, mu = parameters_of_y(net, found.y_hat, found.z_hat)
        return {"y": net.g_a(x), "z_hat": found.z_hat, "x_hat": found.x_hat, "sigma": sigma, "mu": mu}

    after = made(wide)
    for name, old in made(narrow).items():
        error = (after[name][:, : old.shape[1]] - old).abs().max()
        assert error <= 1e-3, f"{name}: off by {error:g}; a new channel feeds an old one, or a weight is misplaced"
    assert M == 64 or after["y"][:, 64:].std() > 0.01, (
        "the new channels of y are silent: nothing can learn from them"
    )


def test_widened_model_learns_with_all_its_channels(tmp_path: Path, pictures: Path, refused: Refused) -> None:
    """Training goes on from a widened model, and soon the picture takes something from the new channels of y.

    Fewer channels than before are refused.
    """
    start, config = tmp_path / "wide.safetensors", tmp_path / "wide.toml"
    narrow = tmp_path / "narrow.safetensors"
    export_model(MBT2018(4, 5).eval().requires_grad_(False), narrow, {"quality": "q4"})
    assert status(widen.main, narrow, start, "--M", "7") == 0, "widening ended with an error"
    assert load(start).metadata == {"quality": "q4"}, "the wide model lost its metadata"
    refused("choose at least these", widen.main, start, tmp_path / "out.safetensors", "--M", 6)
    assert not (tmp_path / "out.safetensors").exists(), "a narrower model was written"
    config.write_text(CONFIG.replace("M = 5", 'M = 7\nstart = "wide.safetensors"'))
    ended = status(train.main, config, "--data", pictures, "--out", tmp_path, "--steps", "2")
    assert ended == 0, "training ended with an error"
    new_inputs = checkpoint(tmp_path)["net"]["g_s.0.weight"][5:]
    assert new_inputs.abs().amax(dim=(1, 2, 3)).min() > 0, "g_s still ignores a new channel of y"


def test_linear_bound(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """M numbers hold pictures of M dimensions and no more: flat blocks of any colour have three."""
    colours = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(colours.repeat(16, axis=0).repeat(16, axis=1)).save(tmp_path / "flat.png")

    def bound(folder: Path, numbers: str) -> list[float]:
        linear.main([str(folder), str(folder), "--M", numbers])
        return [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()[2:]]

    two, three = bound(tmp_path, "2,3")
    assert three > 100 > 60 > two, f"two numbers give {two} dB of flat blocks, three {three} dB"
    (whole,) = bound(pictures, "768")
    assert whole > 100, f"all 768 numbers of a block give {whole} dB"


def test_the_small_table(tmp_path: Path, refused: Refused) -> None:
    """The table has each round's lines in steps of EVERY; steps and seconds count on; PSNR is a moving mean."""
    for name, lines in (("a", 2 * log.EVERY), ("b", 8 * log.EVERY), ("empty", 0)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "log.jsonl").open("w") as file:
            for i in range(1, lines + 1):
                line = {"step": 50 * i, "psnr": 25 + i / 10, "seconds": 250 * i, "bpp_y": 0.5, "bpp_z": 0.01}
                print(json.dumps(line), file=file)
    assert status(log.main, tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c.csv") == 0, "no table"
    rows = log.read(tmp_path / "c.csv")
    found = [(row["round"], row["step"], row["seconds"]) for row in rows]
    ends = [1, *range(log.EVERY, 10 * log.EVERY + 1, log.EVERY)]
    expected = [(1 + (end > 2 * log.EVERY), 50 * end, 250 * end) for end in ends]
    assert found == expected, f"rounds, steps and seconds are {found}"
    assert rows[1]["psnr"] == pytest.approx(25 + (1 + log.EVERY) / 20), "not the mean of all lines before"
    last = [25 + i / 10 for i in range(1, 8 * log.EVERY + 1)][-log.SMOOTHING :]
    assert rows[-1]["psnr"] == pytest.approx(sum(last) / len(last), abs=1e-3), "not the mean of SMOOTHING lines"
    assert {row["bpp"] for row in rows} == {0.51}, "not the rate of y and z"
    refused("is empty", log.main, tmp_path / "empty", "-o", tmp_path / "d.csv")


def test_card_says_what_was_measured(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card has the Kodak figures, schedules and costs, the gain over published codecs, and the prose.

    An evaluation that lacks a model or a figure is refused.
    """
    card = pytest.importorskip("training.card")
    points = {
        "JPEG": [(0.4, 27), (0.5, 29)],
        "WebP": [(0.5, 31), (0.4, 30)],  # not sorted
        "mbt2018": [(0.1, 28), (0.2, 30)],  # ends before
    }
    monkeypatch.setattr(card, "read_published", lambda: {name: card.curve(each) for name, each in points.items()})
    means = []
    for i, name in enumerate((*SERIES["lite"], *SERIES["wide"])):
        rate, psnr = 0.35 + 0.1 * i, 29.0 + i
        means.append({"model": name, "psnr": psnr + 0.1, "bpp_theoretical": rate / 0.9, "bpp_bitstream": rate,
                      "psnr_bitstream": psnr, "msssim": 0.9, "msssim_bitstream": 0.99})  # fmt: skip
    evaluation, out = tmp_path / "kodak.json", tmp_path / "card.md"
    for lacking, complaint in (([], "lacks 'lite-q3'"), ([{"model": m["model"]} for m in means], "lacks 'msssim")):
        evaluation.write_text(json.dumps({"means": lacking}))
        refused(complaint, card.main, evaluation, "-o", out)
    evaluation.write_text(json.dumps({"means": means}))
    assert status(card.main, evaluation, "-o", out) == 0, "the card ended with an error"
    text = re.sub(" +", " ", out.read_text())
    for expected in (
        "| | bitstream | | | theoretical | | | over theoretical | PSNR / dB at the bitstream's rate | | |",
        "| model | bpp | PSNR / dB | MS-SSIM / dB | bpp | PSNR / dB | MS-SSIM / dB | % | JPEG (gain) |",
        # JPEG and WebP at 0.45 bpp last
        "| lite-q4 | 0.4500 | 30.00 | 20.00 | 0.5000 | 30.10 | 10.00 | −10.00 "
        "| 28.00 (+2.00) | 30.50 (-0.50) | outside |",
        "| lite-q4 | 64 | 0.013 | 7500 | 0.0005 | 1 | 4 | 0.7 | an earlier lite-q4 |",
        "| wide-q5 | 128 | 0.025 | 75000 | 0.0004 | 0.5 | 45 | 3.5 | lite-q5-M128 |",  # three rounds
        "| BD-rate against | lite | wide |",
        "](card-training.png)",
        "](card-kodak.png)",
        "## Aims and limits",
    ):
        assert expected in text, f"{expected!r} is not in the card:\n{text}"
    for name in ("card-training.png", "card-kodak.png"):
        png = (tmp_path / name).read_bytes()
        assert int.from_bytes(png[16:20], "big") > 800, f"{name} is narrow"
