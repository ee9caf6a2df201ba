"""Model files: the same bytes each time, CompressAI's names, and nothing loaded that isn't a model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from mbtref import load
from mbtref.making.complete import export
from mbtref.model import parse
from mbtref.modelfile import EMBEDDED, embedded, name_of
from mbtref.openloop.likelihoods import probability
from mbtref.tables import PARTS, from_arrays
from tests.support import varied_networks

State = dict[str, Tensor]
METADATA = {"architecture": "mbt2018", "quality": "q1", "lambda": "0.0018", "N": "3", "M": "5"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small model."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    export(varied_networks(3, 5), path, METADATA)
    return path


def spoiled(path: Path, spoil: Callable[[State], object]) -> bytes:
    """The bytes of a model file after a change to its tensors."""
    state = safetensors.torch.load_file(path)
    spoil(state)
    return safetensors.torch.save(state, {"mbt2018": json.dumps(METADATA)})


def test_a_file_keeps_the_weights(path: Path) -> None:
    """A loaded model has the exported weights, but for masked ones and medians, which are on the grid of 2^-10."""
    model, networks = load(path), varied_networks(3, 5)
    networks.context_prediction.weight *= networks.context_prediction.mask
    original = networks.state_dict()
    for key, tensor in model.networks.state_dict().items():
        reach = 2.0**-11 if key == "entropy_bottleneck.quantiles" else 0.0
        assert (tensor - original[key]).abs().max() <= reach, f"{key} changes on its way through a file"
    medians = model.networks.entropy_bottleneck.medians.flatten() * 1024
    assert torch.equal(medians, medians.round()), "medians are not on the grid"
    assert torch.equal(medians.double(), model.entropy.medians), "the exact medians are other ones"
    assert medians.abs().max() > 0, "medians that are all zero prove nothing"
    assert (model.name, model.metadata) == ("small", METADATA), f"{model.name} with {dict(model.metadata)}"
    assert (model.networks.N, model.networks.M, len(model.tables)) == (3, 5, 3 + 64), "sizes or tables are others"


def test_a_model_is_loaded_once(tmp_path: Path) -> None:
    """A path, its text and a name lead to a file; loading it again gives the same object until it changes."""
    path = tmp_path / "lite-q3.safetensors"
    path.write_bytes(embedded("lite-q3"))
    first = load(path)
    assert load(path) is load(str(path)) is load("lite-q3") is first, "an unchanged file is read anew"
    assert load(path, reproducible=True) is load(path, reproducible=True), "the reproducible form is made anew"
    path.write_bytes(embedded("lite-q4"))
    assert load(path).fingerprint != first.fingerprint, "a file that has changed gives the old model"


def test_loading_leaves_random_numbers_alone(path: Path) -> None:
    """Loading a model draws no random numbers from those of its caller."""
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    parse("model", path.read_bytes())
    assert torch.equal(torch.rand(1), expected), "the caller's next random number is another one"


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("lite-q3", "mps", "device 'mps' isn't one of cpu, cuda"),
        ("lite-q3", "meta", "device 'meta' isn't one of cpu, cuda"),
        ("lite-q3", "cpu:x", "device 'cpu:x' can't be used here"),
        ("lite-q9", "cpu", "no model .* lite-q3, lite-q4, lite-q5, lite-q6"),
        ("", "cpu", "no model .* lite-q3, lite-q4, lite-q5, lite-q6"),
        ("zoo-q4", "cpu", r"mbtref\.workbench\.zoo\.load"),
    ],
)
def test_what_cannot_be_loaded(name: str, device: str, message: str) -> None:
    """An unknown name, and a device that is unknown or not exact, are a ValueError that lists what there is."""
    with pytest.raises(ValueError, match=message):
        load(name, device=device)


def test_a_stream_finds_its_model() -> None:
    """A fingerprint leads to the one embedded model whose file it names, and no other one anywhere."""
    for name in EMBEDDED:
        assert name_of(load(name).fingerprint) == name, f"{name} isn't found by its fingerprint"
    assert name_of(bytes(8)) is None, "a fingerprint of zeros is no model's"


def test_z_tables_follow_the_density(path: Path) -> None:
    """A table of z holds the symbols around its channel's median, as often as the learned density says."""
    model = load(path)
    prior = model.networks.entropy_bottleneck
    for channel, table in enumerate(model.tables[:3]):
        symbols = torch.arange(table.offset, table.offset + len(table.cdf) - 2)
        p = probability(prior, (symbols + prior.medians).expand(3, 1, -1))[channel, 0].numpy()
        error = np.abs(np.diff(table.cdf)[:-1] / 2**16 - p).max()
        assert error < 1e-3, f"channel {channel}: a frequency is {error:.2g} from its probability"
        assert p.sum() > 0.999, f"channel {channel}: the table holds {p.sum():.4f} of its distribution only"


def replaces(part: str, change: Callable[[Tensor], Tensor]) -> Callable[[State], object]:
    """Another tensor in its place."""
    return lambda state: state.update({part: change(state[part]).clone()})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("g_a.0.weight"), "tensor g_a.0.weight is missing"),
        (lambda state: state.update({"g_a.7.weight": torch.zeros(1)}), "tensor g_a.7.weight is none of mbt2018's"),
        (replaces("h_a.0.bias", lambda _: torch.zeros(4)), r"tensor h_a.0.bias has shape \(4,\), not \(3,\)"),
        (replaces("g_s.0.weight", lambda t: t * torch.nan), "tensor g_s.0.weight has values that aren't finite"),
        (replaces("h_s.4.bias", lambda t: t.fill_(1e30)), "h_s.4, output channel 0"),
        (lambda state: state["entropy_bottleneck._quantized_cdf"][1].zero_(), "table 1 isn't a CDF"),
        (lambda state: state.pop("entropy_bottleneck._offset"), "entropy_bottleneck._offset"),
        (replaces("g_a.0.weight", lambda _: torch.tensor(1.0)), "g_a.0.weight is missing or isn't"),
        (replaces("entropy_bottleneck._quantized_cdf", lambda t: t[0]), "tables are int32 arrays"),
        (
            lambda state: [replaces(f"entropy_bottleneck.{part}", lambda t: t[:2])(state) for part in PARTS],
            "2 tables for 3 channels",
        ),
    ],
)
def test_a_spoiled_file_is_refused(path: Path, spoil: Callable[[State], object], message: str) -> None:
    """A missing, unknown, misshapen or non-finite tensor is a ValueError that names it."""
    with pytest.raises(ValueError, match=message):
        parse("spoiled", spoiled(path, spoil))


def test_what_is_no_model_file_is_refused(path: Path) -> None:
    """Cut files, other files, and safetensors that say nothing of mbt2018 are a ValueError with a way out."""
    whole = path.read_bytes()
    state = safetensors.torch.load(whole)
    metadata: list[dict[str, str] | None] = [None, {}, {"other": "{}"}, {"mbt2018": "no JSON"}]
    files = [b"", b"text", bytes(100), whole[:1000], whole[:-1], whole + b"\0", b"\0\0\0\1" * 2]
    end = 8 + int.from_bytes(whole[:8], "little")
    for dtype, shape in (
        ("F8_E8M0", [0]),
        ("F32", [1 << 63, 0]),
        ("F32", [0, 1 << 62, 9]),
        ("F32", [1] * 99 + [0]),
    ):
        more = {"more": {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}}
        header = json.dumps(json.loads(whole[8:end]) | more).encode()
        files.append(len(header).to_bytes(8, "little") + header + whole[end:])
    for data in files + [safetensors.torch.save(state, entry) for entry in metadata]:
        with pytest.raises(ValueError, match="file: not a model file of mbtref .* make one with"):
            parse("file", data)


def test_a_model_that_cannot_be_loaded_is_not_written(tmp_path: Path) -> None:
    """Exporting weights that can't be made exact is a ValueError, and leaves no file."""
    networks = varied_networks(3, 5)
    networks.context_prediction.weight[0, 0, 0, 0] = 1e30
    with pytest.raises(ValueError, match="context_prediction, output channel 0"):
        export(networks, tmp_path / "model.safetensors", METADATA)
    assert not list(tmp_path.iterdir()), "a file was written all the same"


def test_embedded_tables_are_stored(path: Path) -> None:
    """A model's tables are those of its file, whatever this machine would make of its densities."""

    def another(state: State) -> None:
        row = state["entropy_bottleneck._quantized_cdf"][0]
        row[int(row.diff().argmax()) + 1] -= 1

    data = spoiled(path, another)
    state = safetensors.torch.load(data)
    stored = from_arrays({part: state[f"entropy_bottleneck.{part}"].numpy() for part in PARTS})
    assert parse("model", data).tables[:3] == stored, "tables were built again at load"
