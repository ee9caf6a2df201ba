"""Zoo models: each checkpoint is the right one or refused in a line, and only whole files stay in the cache."""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

import mbtref
from mbtref import codec, planes
from mbtref.making import complete as making
from mbtref.making.complete import export
from mbtref.suite import kodak
from mbtref.suite.folders import HOME_VARIABLE
from mbtref.workbench import notebook, picturefiles, zoo
from mbtref.workbench.facts import facts, published_curves
from mbtref.workbench.zoo import QUALITIES, ZOO
from tests import oracle
from tests.support import RECORD, Terminal, picture, saved, serving, varied_networks, write_png

State = dict[str, Tensor]
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


def compressai_state(N: int, M: int, seed: int) -> State:
    """The state dict of CompressAI's model after `update`, with its tables, as one finds it in a checkpoint."""
    networks = varied_networks(N, M, seed)
    net = oracle.compressai("models.google").JointAutoregressiveHierarchicalPriors(N, M)
    net.load_state_dict({**making.constants(networks), **networks.state_dict()})
    net.update()
    state: State = net.state_dict()
    return state


def put(folder: Path, quality: int, data: bytes) -> Path:
    """Writes a checkpoint under the name that a published one with these bytes would have."""
    path = folder / f"mbt2018-{quality}-{hashlib.sha256(data).hexdigest()[:8]}.pth.tar"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="session")
def states() -> dict[int, State]:
    """State dicts for q3 to q6, of models so small that they cost nothing."""
    return {quality: compressai_state(3, 5, quality) for quality in range(3, 7)}


@pytest.fixture(scope="session")
def little(states: dict[int, State]) -> State:
    """One of them."""
    return states[3]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty at first. No test reaches out."""
    monkeypatch.setitem(facts("zoo-checkpoints"), "root_url", NOWHERE)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home" / "zoo"


Publish = Callable[..., None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Makes files the published ones of their qualities, for as long as the test runs."""

    def publish(*paths: Path) -> None:
        files = list(facts("zoo-checkpoints")["mse"])
        for path in paths:
            files[int(path.name.split("-")[1]) - 1] = path.name
        monkeypatch.setitem(facts("zoo-checkpoints"), "mse", files)

    return publish


@pytest.fixture
def published(tmp_path: Path, little: State, publish: Publish) -> Iterator[tuple[str, Path]]:
    """The URL of a local server, and the checkpoint in its folder that stands for that of zoo-q4."""
    folder = tmp_path / "served"
    folder.mkdir()
    path = put(folder, 4, saved(little))
    publish(path)
    with serving(folder) as url:
        yield url, path


def inside(folder: Path) -> list[str]:
    """The names of all files in a folder, which may not exist."""
    return sorted(path.name for path in folder.glob("*"))


def test_names() -> None:
    """The names are those of the published files, with the hash that each file name carries."""
    expected = [f"zoo-{metric}q{quality}" for metric in ("", "msssim-") for quality in range(1, 9)]
    assert list(ZOO) == expected, f"other names: {ZOO}"
    metadata = {"metric": "mse", "quality": "q4", "source_file": "mbt2018-4-456e2af9.pth.tar", "lambda": "0.013"}
    expected_entry = ("zoo-q4", "mbt2018-4-456e2af9.pth.tar", "456e2af9", (192, 192), metadata)
    assert zoo.entry("zoo-q4") == expected_entry, "not zoo-q4"
    assert zoo.entry("zoo-msssim-q2").file == "mbt2018-ms-ssim-2-c41cb208.pth.tar", "not zoo-msssim-q2"
    assert "lambda" not in zoo.entry("zoo-msssim-q2").metadata, "the λ of MSE isn't that of MS-SSIM"


def test_a_checkpoint_of_the_published_size(tmp_path: Path, publish: Publish, cache: Path) -> None:
    """A checkpoint of the published size is downloaded once and becomes a model with its weights."""
    state = compressai_state(192, 320, 5)
    published = put(tmp_path, 5, saved(state))
    publish(published)
    with serving(tmp_path) as url:
        model = zoo.load("zoo-q5", url=url)
    assert inside(cache) == sorted([published.name, "zoo-q5.safetensors"]), f"the cache has {inside(cache)}"
    assert zoo.load("zoo-q5").fingerprint == model.fingerprint, "the second load gives another model"
    assert zoo.entry("zoo-q5").width == (model.networks.N, model.networks.M), "not the published width"
    known = {"metric": "mse", "quality": "q5", "source_file": published.name}
    assert known.items() <= model.metadata.items(), f"the model file says {dict(model.metadata)}"
    for key, tensor in model.networks.state_dict().items():
        if key not in ("entropy_bottleneck.quantiles", "context_prediction.weight"):
            assert torch.equal(tensor, state[key]), f"{key} isn't the checkpoint's"
    encoded = codec.encode_latents(model, picture(40, 60))
    assert torch.equal(codec.decode_latents(model, [encoded.data]), encoded.y_hat), "the latents don't come back"


def test_commands_take_zoo_names(
    published: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal,
) -> None:  # fmt: skip
    """Encode downloads the model that it names; then inspect, decode and eval find it without a network."""
    url, _ = published
    original, stream, out = tmp_path / "a.png", tmp_path / "a.mbt", tmp_path / "b.png"
    write_png(original, picture(40, 70))
    terminal.fails(1, NOWHERE, "encode", original, "-o", stream, "--model", "zoo-q4")
    assert not stream.exists(), "a stream of no model was written"
    monkeypatch.setitem(facts("zoo-checkpoints"), "root_url", url)
    terminal.prints("encode", original, "-o", stream, "--model", "zoo-q4")
    monkeypatch.setitem(facts("zoo-checkpoints"), "root_url", NOWHERE)
    assert "model        zoo-q4," in terminal.prints("inspect", stream), "the model isn't found by its fingerprint"
    for options in ((), ("--model", "zoo-q4")):
        terminal.prints("decode", stream, "-o", out, *options)
        expected = mbtref.decode(zoo.load("zoo-q4"), stream.read_bytes())
        assert np.array_equal(picturefiles.read(out), expected), "not the picture that the library decodes"
    shown = terminal.prints("eval", original, "--model", "zoo-q4,lite-q4")
    assert "| zoo-q4  |      1 |" in shown, f"zoo-q4 isn't evaluated:\n{shown}"


def test_a_wrong_download_is_not_kept(published: tuple[str, Path], cache: Path, terminal: Terminal) -> None:
    """A file of another hash, one that the server lacks, and no server are one line, and nothing is kept."""
    url, path = published
    path.write_bytes(path.read_bytes() + b"\0")
    for name, source, reason in (
        ("zoo-q4", url, "damaged or another file; nothing was kept"),
        ("zoo-q3", url, "404"),
        ("zoo-q4", NOWHERE, f"{NOWHERE}/{path.name}: "),
    ):
        terminal.fails(1, reason, "zoo", "fetch", name, "--url", source)
    assert inside(cache) == [], f"the cache has {inside(cache)}"


def of_another_machine(data: bytes) -> bytes:
    """The model file of a machine that rounds one count of a table the other way."""
    state = safetensors.torch.load(data)
    row = state["entropy_bottleneck._quantized_cdf"][0]
    row[int(row.diff().argmax()) + 1] -= 1
    metadata = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["mbt2018"])
    bare = safetensors.torch.save(state)
    metadata["tensors_sha256"] = hashlib.sha256(bare[8 + int.from_bytes(bare[:8], "little") :]).hexdigest()
    return safetensors.torch.save(state, {"mbt2018": json.dumps(metadata)})


def test_a_model_file_is_the_checkpoints(
    published: tuple[str, Path], little: State, publish: Publish, cache: Path
) -> None:
    """A cached model file that is damaged, or of another checkpoint, is made anew; a right one is left alone.

    So is a copy from another machine. A cached checkpoint that is damaged makes no model.
    """
    url, path = published
    model = zoo.load("zoo-q4", url=url)
    file = cache / "zoo-q4.safetensors"
    whole = file.read_bytes()
    other = path.parent / "other.safetensors"
    assert export(varied_networks(3, 5, seed=1), other, {}).fingerprint != model.fingerprint, (
        "it would prove nothing"
    )
    at = whole.index(little["g_a.0.weight"].numpy().tobytes())
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for wrong in (b"", whole[:-1], flipped, other.read_bytes()):
        file.write_bytes(wrong)
        assert zoo.load("zoo-q4").fingerprint == model.fingerprint, "a wrong file was taken"
        assert file.read_bytes() == whole, "the wrong file is still there"
    theirs = of_another_machine(whole)
    file.write_bytes(theirs)
    assert zoo.load("zoo-q4").fingerprint == hashlib.sha256(theirs).digest()[:8], "a copied file isn't used"
    newer = put(path.parent, 4, saved(little | {"g_a.0.bias": torch.ones(3)}))
    publish(newer)
    digest = hashlib.sha256(newer.read_bytes()).hexdigest()
    found = zoo.load("zoo-q4", url=url).metadata["source_sha256"]
    assert found == digest, "the file of an old checkpoint was taken"
    file.unlink()
    (cache / newer.name).write_bytes(newer.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{newer.name}: its SHA-256 is .* damaged"):
        zoo.load("zoo-q4")
    assert not file.exists(), "a damaged checkpoint was imported"


def test_local_weights(
    little: State, publish: Publish, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
    terminal: Terminal,
) -> None:  # fmt: skip
    """A local file is the published one if its hash says so, else another model, which has to be of its width.

    It is refused if its name lies; on the command line another model is said to be one.
    """
    path = put(tmp_path, 4, saved(little))
    publish(path)
    published = zoo.load("zoo-q4", path)
    assert inside(cache) == ["zoo-q4.safetensors"], f"the cache has {inside(cache)}"
    with pytest.raises(ValueError, match=f"{path.name}: this is the checkpoint of zoo-q4, not of zoo-q5"):
        zoo.load("zoo-q5", path)
    copy = path.rename(tmp_path / "copy.pth")
    assert zoo.load("zoo-q4", copy).fingerprint == published.fingerprint, "the name of a file is part of its model"

    own = tmp_path / "own.pth"
    own.write_bytes(saved(little | {"g_a.0.bias": torch.ones(3)}))
    with pytest.raises(ValueError, match=r"own\.pth: N=3 M=5, but zoo-q4 has N=192 M=192"):
        zoo.load("zoo-q4", own)
    monkeypatch.setitem(facts("zoo-checkpoints")["dimensions"], "q1-q4", {"N": 3, "M": 5})
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    model = zoo.load("zoo-q4", own)
    assert model.name == f"zoo-q4-{digest[:8]}", f"a checkpoint of one's own is called {model.name}"
    assert "quality" not in model.metadata, "nothing is known of a checkpoint of one's own"
    assert zoo.load("zoo-q4").fingerprint == published.fingerprint, "it stands for the published one"
    original, stream = tmp_path / "a.png", tmp_path / "a.mbt"
    write_png(original, picture(20, 30))
    encode = ("encode", original, "-o", stream, "--model", "zoo-q4", "--weights")
    assert terminal.ends(0, *encode, copy)[1] == "", "the published checkpoint is taken for another"
    terminal.fails(0, f"own.pth isn't the published checkpoint of zoo-q4: the model is {model.name}", *encode, own)
    assert model.name in terminal.prints("inspect", stream), "the stream's model isn't found"
    terminal.prints("eval", original, "--model", "zoo-q4", "--weights", own)
    terminal.fails(1, "a.png: not a checkpoint", *encode, original)

    own.replace(path)
    with pytest.raises(ValueError, match=f"{path.name}: its SHA-256 is {digest}"):
        zoo.load("zoo-q4", path)


def test_an_unknown_fingerprint_is_found_nowhere(tmp_path: Path, cache: Path, terminal: Terminal) -> None:
    """A stream of a model that was never here is refused as such, with or without a cache."""
    model = export(varied_networks(3, 5), tmp_path / "model.safetensors", {})
    stream = tmp_path / "a.mbt"
    stream.write_bytes(mbtref.encode(model, picture(20, 30)))
    for _ in range(2):
        terminal.fails(1, "unknown-model", "decode", stream, "-o", tmp_path / "a.png")
        terminal.prints("inspect", stream)
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "zoo-q4.safetensors").write_bytes(b"damaged")


def test_fetch_and_list(published: tuple[str, Path], cache: Path, terminal: Terminal) -> None:
    """Fetch brings checkpoint and model file, list shows them; what is there isn't fetched again."""
    url, path = published
    for source in (url, NOWHERE):
        shown = terminal.prints("zoo", "fetch", "zoo-q4", "--url", source)
        assert "zoo-q4: N=3 M=5" in shown, f"the line should say what came: {shown}"
    assert inside(cache) == sorted([path.name, "zoo-q4.safetensors"]), f"the cache has {inside(cache)}"
    lines = dict(line.split(maxsplit=1) for line in terminal.prints("zoo", "list").splitlines())
    assert lines["zoo-q4"].split() == [path.name, "checkpoint", "model", "file"], f"shown: {lines['zoo-q4']}"
    assert lines["zoo-q5"].split()[1:] == ["-", "-"], f"shown: {lines['zoo-q5']}"


# notebook-check


@torch.no_grad()
def notebook_figures(state: State, x: Tensor) -> dict[str, Any]:
    """What the notebook's own lines give, run with CompressAI's model; rounded as they are printed."""
    google = oracle.compressai("models.google")
    model = google.JointAutoregressiveHierarchicalPriors.from_state_dict(state).eval()
    height, width = x.shape[2:]
    pixels = height * width
    x_pad = F.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate")
    out = model(x_pad)
    x_hat = out["x_hat"][..., :height, :width].clamp(0.0, 1.0)
    psnr = -10 * math.log10(F.mse_loss(x, x_hat).item())
    bits_y, bits_z = (float((-torch.log2(out["likelihoods"][key])).sum().item()) for key in "yz")
    y = model.g_a(x_pad)
    z_hat, _ = model.entropy_bottleneck(model.h_a(y))
    y_hat = model.gaussian_conditional.quantize(y, "dequantize")
    y_int, z_int = (latent.to(torch.int16).numpy() for latent in (y_hat, z_hat))
    header = struct.pack("<8i", *y_int.shape, *z_int.shape)
    body = y_int.tobytes() + z_int.tobytes()
    drift = (
        (model.g_s(torch.from_numpy(y_int).float())[..., :height, :width].clamp(0, 1) - x_hat).abs().max().item()
    )
    return {
        "N": model.N,
        "M": model.M,
        "downsampling_factor": model.downsampling_factor,
        "y_shape": list(y_hat.shape),
        "z_shape": list(z_hat.shape),
        "y_range": [int(y_hat.min()), int(y_hat.max())],
        "z_range": [int(z_hat.min()), int(z_hat.max())],
        "psnr": round(psnr, 2),
        "bpp_theoretical": round((bits_y + bits_z) / pixels, 4),
        "bpp_y": round(bits_y / pixels, 4),
        "bpp_z": round(bits_z / pixels, 4),
        "bpp_buffer_zlib": round(8 * (len(header) + len(zlib.compress(body, 9))) / pixels, 4),
        "bpp_buffer_raw": round(8 * len(header + body) / pixels, 4),
        "raw_bytes": len(header + body),
        "max_drift": drift,
    }


@pytest.fixture
def kodim20(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small picture that stands for all of Kodak."""
    folder = tmp_path / "kodak"
    folder.mkdir()
    write_png(folder / "kodim20.png", picture(60, 100))
    digest = hashlib.sha256(picture(60, 100).tobytes()).hexdigest()
    monkeypatch.setattr(kodak, "PIXELS", {"kodim20.png": digest})
    monkeypatch.setenv(kodak.FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def figures(states: dict[int, State]) -> dict[str, Any]:
    """The facts that the notebook would have given for the test's own checkpoints and picture."""
    x = planes.to_tensor(picture(60, 100))
    pages = {quality: notebook_figures(state, x) for quality, state in states.items()}
    names = ("bpp_theoretical", "bpp_buffer_zlib", "psnr")
    staircase = [{"quality": q} | {name: page[name] for name in names} for q, page in pages.items()]
    return {"q4": pages[4], "staircase": staircase}


def rows(text: str) -> dict[str, str]:
    """The last column of the printed table, by model and figure."""
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| zoo")
    ]
    return {f"{model} {name}": mark for model, name, _, _, mark in cells}


def test_notebook_check(
    states: dict[int, State], figures: dict[str, Any], kodim20: Path, publish: Publish, tmp_path: Path,
    cache: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal,
) -> None:  # fmt: skip
    """Figures as CompressAI gives them are right; one that is off by a unit of its last digit is wrong."""
    publish(*[put(tmp_path, quality, saved(state)) for quality, state in states.items()])
    known = facts("notebook-figures")
    for key, value in figures.items():
        monkeypatch.setitem(known, key, value)
    shown = terminal.prints("notebook-check", "--weights-from", tmp_path)
    assert list(rows(shown).values()) == ["✓"] * (15 + 4 * 3), f"not every figure is shown and right:\n{shown}"
    assert "27 right, 0 wrong, 0 not run" in shown, f"the count is wrong:\n{shown}"
    assert inside(cache) == [], "the check of the notebook needs no model file"

    q4 = figures["q4"]
    low, high = q4["z_range"]
    off = {"bpp_z": q4["bpp_z"] + 1e-4, "psnr": q4["psnr"] - 0.01, "max_drift": 1e-9, "z_range": [low, high + 1]}
    monkeypatch.setitem(known, "q4", q4 | off)
    step = figures["staircase"][1]
    monkeypatch.setitem(known, "staircase", [step | {"bpp_buffer_zlib": step["bpp_buffer_zlib"] + 1e-4}])
    shown, _ = terminal.ends(1, "notebook-check", "--weights-from", tmp_path)
    wrong = {name for name, mark in rows(shown).items() if mark == "✗"}
    assert wrong == {f"zoo-q4 {name}" for name in (*off, "staircase bpp_buffer_zlib")}, f"wrong ones are {wrong}"


def test_notebook_check_not_run(
    little: State, publish: Publish, kodim20: Path, cache: Path, terminal: Terminal
) -> None:
    """Without weights or picture a figure is not run, never right. If none is run, the status is 1."""
    missing = "mbtref zoo fetch zoo-q3,zoo-q4,zoo-q5,zoo-q6,zoo-q1,zoo-q2,zoo-q7,zoo-q8"
    for advice in (missing, "mbtref kodak fetch"):
        shown, errors = terminal.ends(1, "notebook-check", "--kodak")
        assert errors == "mbtref: nothing was checked\n", f"it should say so: {errors!r}"
        assert list(rows(shown).values()) == ["not run"] * (27 + 16), (
            f"something was run, or isn't shown:\n{shown}"
        )
        assert advice in shown, f"no advice:\n{shown}"
        cache.mkdir(parents=True, exist_ok=True)
        publish(*[put(cache, quality, saved(little)) for quality in QUALITIES])
        (kodim20 / "kodim20.png").unlink(missing_ok=True)
    assert "zoo fetch" not in shown, f"the weights are there:\n{shown}"


def test_notebook_check_refuses_wrong_files(
    little: State, publish: Publish, kodim20: Path, tmp_path: Path, terminal: Terminal
) -> None:
    """Weights of another hash or wrong pixels are one line that names the file, and status 1."""
    path = put(tmp_path, 3, saved(little))
    publish(path)
    path.write_bytes(path.read_bytes() + b"\0")
    terminal.fails(1, f"{path.name}: its SHA-256 is", "notebook-check", "--weights-from", tmp_path)
    write_png(kodim20 / "kodim20.png", picture(60, 101))
    terminal.fails(1, "kodim20.png: the pixels", "notebook-check")


def test_kodak_means(
    little: State, publish: Publish, kodim20: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    terminal: Terminal,
) -> None:  # fmt: skip
    """With --kodak the means of real streams are held to the published curve, model by model."""
    path = put(tmp_path, 2, saved(little))
    publish(path)
    model = zoo.load("zoo-q2", path)
    data = mbtref.encode(model, picture(60, 100))
    x = planes.to_tensor(picture(60, 100))
    psnr = planes.psnr(planes.to_tensor(mbtref.decode(model, data)), x)
    curve = published_curves()[notebook.PUBLISHED]
    for bpp, marks in ((8 * len(data) / 6000, {"✓"}), (8 * len(data) / 6000 * 1.03, {"✓", "✗"})):
        monkeypatch.setitem(curve, "bpp", [bpp] * 8)
        monkeypatch.setitem(curve, "psnr-rgb", [psnr] * 8)
        shown, _ = terminal.ends("✗" in marks, "notebook-check", "--kodak", "--weights-from", tmp_path)
        assert {mark for name, mark in rows(shown).items() if name.startswith("zoo-q2")} == marks, shown
        assert rows(shown)["zoo-q2 Kodak psnr"] == "✓", shown


@pytest.mark.parametrize(
    ("bpp", "ratio", "right"),
    [(0.9, 0.982, True), (0.9, 0.979, False), (0.9, 1.002, True), (0.9, 1.003, False),
     (0.1, 1.004, True), (0.1, 1.005, False)],
)  # fmt: skip
def test_kodak_tolerances(bpp: float, ratio: float, right: bool) -> None:
    """A stream may cost 1.7 % less than CompressAI's, or 12 bytes and 0.2 % more; its PSNR is within 0.02 dB."""
    record = replace(RECORD, psnr_bitstream=33.06, psnr_bitstream_8bit=33.05, bpp_bitstream=ratio * bpp)
    rate, near = notebook.against_published("zoo-q4", bpp, 33.075, [record])
    assert rate.right == right, f"{ratio} of the rate: {rate}"
    assert near.right, f"0.015 dB are allowed: {near}"
    for psnr in (33.09, 33.02):
        _, far = notebook.against_published("zoo-q4", bpp, psnr, [record])
        assert not far.right, f"0.03 dB are too much: {far}"
