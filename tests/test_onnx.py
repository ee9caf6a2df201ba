"""Exports: equal to their networks, always the same bytes; a wrong file is found by the suite."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor

import mbtref
from mbtref import codec
from mbtref.exact import CONTEXT_TAPS
from mbtref.making.complete import export as model_file
from mbtref.model import Model
from mbtref.networks import MBT2018
from mbtref.suite.subjects.onnx import FINGERPRINT, Onnx
from mbtref.suite.subjects.protocol import Unsupported
from mbtref.suite.subjects.trace import trace
from mbtref.workbench import export
from tests.support import one_line, picture, run, varied_networks
from tests.test_messages import holds
from tests.test_suite import run as run_suite

MODEL = "lite-q3"
FILES = ("g_a", "h_a", "g_s", "h_s", "parameters", "step")
ROOT = Path(__file__).parent.parent
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of MODEL. Nobody changes it."""
    folder = tmp_path_factory.mktemp("exports")
    export.write(mbtref.load(MODEL), folder)
    return folder


def small(folder: Path, gain: float = 1.0) -> Model:
    """A small model whose 3M/2 and 10M/3 aren't whole. gain: of the layers that fill the exact grids."""
    networks: MBT2018 = varied_networks(3, 5)
    with torch.no_grad():
        for name in ("h_s.0", "h_s.4", "entropy_parameters.0", "entropy_parameters.4"):
            networks.get_parameter(f"{name}.weight").mul_(gain)
            networks.get_parameter(f"{name}.bias")[::2] -= 200 * (gain - 1)
    return model_file(networks, folder / "small.safetensors", {})


def answers(file: Path, **inputs: Array) -> dict[str, Array]:
    """The outputs of a file by name."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def symbols(*shape: int, reach: int) -> Tensor:
    """Float64 integers from -reach to reach."""
    return torch.randint(-reach, reach + 1, shape, generator=torch.Generator().manual_seed(5)).double()


def channels_first(units: Tensor) -> Array:
    """(B, H, W, C) -> (B, C, H, W) int32, as the exact graphs have it."""
    return units.permute(0, 3, 1, 2).to(torch.int32).contiguous().numpy()


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize(("gain", "reach"), [(1.0, 9), (30.0, 9000)])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_exact_graphs_are_the_exact_path(
    size: tuple[int, int], gain: float, reach: int, batch: int, tmp_path: Path
) -> None:
    """h_s and the teacher-forced graph have the integers of the codec at every size, saturated ones too."""
    model = small(tmp_path, gain)
    export.write(model, tmp_path)
    (h, w), N, M = size, 3, 5
    k_z, latents = symbols(batch, h, w, N, reach=reach), symbols(batch, 4 * h, 4 * w, M, reach=1000 * reach)
    latents = latents.clamp(-(2**22), 2**22 - 1)
    z_hat = model.entropy.z_hat(k_z)
    stages = trace(model.entropy, z_hat, lambda step: step.of(latents))
    right = {"z_hat": z_hat, "psi": model.entropy.psi(z_hat), "index": model.index(stages.sigma)}
    right |= {name: getattr(stages, name) for name in ("phi", "sigma", "mu")}
    given = {"k_z": channels_first(k_z), "y_hat": channels_first(latents)}
    forced = answers(tmp_path / "small" / "parameters.onnx", **given)
    assert forced.keys() == right.keys(), f"the outputs are {list(forced)}"
    found = [("parameters", name, value) for name, value in forced.items()]
    for name, value in answers(tmp_path / "small" / "h_s.onnx", k_z=given["k_z"]).items():
        found.append(("h_s", name, value))
    for file, name, value in found:
        assert np.array_equal(value, channels_first(right[name])), f"{file}: {name} isn't the codec's"
    assert len(np.unique(forced["index"])) > 1, "an index that never changes proves nothing"


@pytest.mark.parametrize("positions", [1, 2, 17])
def test_the_step_is_a_wavefront(positions: int, tmp_path: Path) -> None:
    """The graph of one wavefront has the integers of the codec, for any number of positions."""
    model = small(tmp_path)
    export.write(model, tmp_path)
    psi, context = symbols(1, positions, 10, reach=3000), symbols(1, positions, len(CONTEXT_TAPS) * 5, reach=9000)
    phi = model.entropy.phi(context)
    sigma, mu = model.entropy.parameters(model.entropy.psi_sums(psi), phi)
    right = {"phi": phi, "sigma": sigma, "mu": mu, "index": model.index(sigma)}
    given = {name: value[0].to(torch.int32).numpy() for name, value in (("psi", psi), ("context", context))}
    found = answers(tmp_path / "small" / "step.onnx", **given)
    assert found.keys() == right.keys(), f"the outputs are {list(found)}"
    for name, value in found.items():
        assert np.array_equal(value, right[name][0].numpy()), f"{name} isn't the codec's"


def test_every_threshold_counts(exports: Path) -> None:
    """The index that a graph computes changes just where the codec's does: sigma may equal a threshold."""
    model = mbtref.load(MODEL)
    thresholds = model.thresholds.long()
    sigma = torch.cat([thresholds - 1, thresholds, thresholds + 1])
    graph = onnx.load(exports / MODEL / "step.onnx")
    # the graph cut in two: its second half begins with sigma
    inner = next(node.input[0] for node in graph.graph.node if node.op_type == "Unsqueeze")
    cut = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(graph)).extract_model([inner], ["index"])
    session = onnxruntime.InferenceSession(cut.SerializeToString(), providers=["CPUExecutionProvider"])
    asked = sigma.double().numpy()[:, None].repeat(model.networks.M, 1)
    (found,) = session.run(["index"], {inner: asked})
    assert np.array_equal(found[:, 0], model.index(sigma.double()).numpy()), "an index isn't the codec's"


def test_an_export_has_one_form(exports: Path, tmp_path: Path) -> None:
    """Another process writes the same bytes, and the command names the files."""
    command = [sys.executable, "-m", "mbtref.workbench.cli", "export", MODEL, "-o", str(tmp_path)]
    other = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=other)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / MODEL / f"{name}.onnx") for name in FILES], "these are its files"
    for name in FILES:
        first, second = (folder / MODEL / f"{name}.onnx" for folder in (exports, tmp_path))
        assert first.read_bytes() == second.read_bytes(), f"{name}.onnx has other bytes the second time"


def test_a_file_says_whose_it_is(exports: Path) -> None:
    """Each file's metadata has the model's fingerprint and sizes, the units and the version."""
    for name in FILES:
        said = {entry.key: entry.value for entry in onnx.load(exports / MODEL / f"{name}.onnx").metadata_props}
        assert said[FINGERPRINT] == mbtref.load(MODEL).fingerprint.hex(), f"{name}.onnx is of another model"
        assert (said["mbtref.N"], said["mbtref.M"]) == ("48", "64"), f"{name}.onnx says {said}"
        assert "2^-10" in said["mbtref.units"], f"{name}.onnx doesn't tell its units"
        assert said["mbtref.version"], f"{name}.onnx doesn't tell its version"


def test_streams_are_the_reference_s(exports: Path) -> None:
    """The reference reads the exports' streams, and they read the reference's: the same latents."""
    model, subject = mbtref.load(MODEL), Onnx(exports)
    pixels = picture(70, 130)
    theirs, ours = mbtref.encode(model, pixels), subject.call("encode", MODEL, {"image": pixels})["stream"]
    assert isinstance(ours, bytes), "a stream is bytes"
    for stream in (theirs, ours):
        answer = subject.call("decode", MODEL, {"stream": stream})
        right = codec.decode_latents(model, [stream])[0].numpy()
        assert np.array_equal(answer["y_hat"], right), "the latents aren't the reference's"
        pixels_off = np.abs(np.asarray(answer["image"]).astype(int) - mbtref.decode(model, stream)).max()
        assert pixels_off <= 1, f"a pixel is off by {pixels_off} levels"


def test_the_suite_passes_exports(exports: Path, tmp_path: Path) -> None:
    """All that the suite asks of this model is passed; other models are unsupported."""
    status, cases = run_suite(tmp_path, f"onnx:{exports}", "--in-process", "--tier", "smoke")
    assert status == pytest.ExitCode.OK, f"the run ended with {status}"
    ends = {(case["requirement"], case["outcome"]) for case in cases if str(case["case"]).startswith(f"{MODEL}/")}
    for requirement in ("TRANSFORM-1", "TRANSFORM-2", "TRANSFORM-3", "EXACT-1", "DECODE-1"):
        assert (requirement, "passed") in ends, f"nothing of {requirement} is asked"
        assert (requirement, "unsupported") not in ends, f"a case of {requirement} is unsupported"
    others = {case["outcome"] for case in cases if str(case["case"]).startswith("lite-q4/")}
    assert others == {"unsupported"}, f"models that aren't there ended as {others}"


def of_kind(graph: onnx.GraphProto, kind: str) -> list[onnx.NodeProto]:
    """The nodes of one operator."""
    return [node for node in graph.node if node.op_type == kind]


def set_attribute(node: onnx.NodeProto, name: str, value: list[int]) -> None:
    """Replaces an attribute of a node."""
    (place,) = (i for i, attribute in enumerate(node.attribute) if attribute.name == name)
    node.attribute[place].CopyFrom(helper.make_attribute(name, value))


def takes_magnitudes(graph: onnx.GraphProto) -> None:
    """h_a of |y|, as in the older hyperprior of Ballé et al. 2018."""
    first = graph.node[0]
    graph.node.insert(0, helper.make_node("Abs", [first.input[0]], ["magnitudes"]))
    graph.node[1].input[0] = "magnitudes"


def pads_the_wrong_side(graph: onnx.GraphProto) -> None:
    """The row and the column that stride 2 adds come first, not last."""
    for node in of_kind(graph, "ConvTranspose"):
        set_attribute(node, "pads", [1, 1, 2, 2])
        set_attribute(node, "output_padding", [0, 0])


def skips_the_root(graph: onnx.GraphProto) -> None:
    """GDN without its square root."""
    for node in of_kind(graph, "Sqrt"):
        node.op_type = "Identity"


def orders_phases_by_channel(graph: onnx.GraphProto) -> None:
    """The phases of a transposed convolution in PyTorch's order of a pixel shuffle."""
    for node in of_kind(graph, "DepthToSpace"):
        node.attribute[1].CopyFrom(helper.make_attribute("mode", "CRD"))


def swaps_taps(graph: onnx.GraphProto) -> None:
    """The two columns left of the centre change places in the context of a whole picture."""
    taps = next(node for node in of_kind(graph, "Concat") if len(node.input) == len(CONTEXT_TAPS))
    taps.input[-1], taps.input[-2] = taps.input[-2], taps.input[-1]


def rounds_down(graph: onnx.GraphProto) -> None:
    """floor(v) where floor(v + 1/2) is due."""
    for constant in graph.initializer:
        if numpy_helper.to_array(constant).shape == () and numpy_helper.to_array(constant) == 0.5:
            constant.CopyFrom(numpy_helper.from_array(np.array(0.0), constant.name))


@pytest.mark.parametrize(
    ("name", "spoil", "case", "parts"),
    [
        ("g_a", skips_the_root, "TRANSFORM-1", ["y[", "times the tolerance"]),
        ("h_a", takes_magnitudes, "TRANSFORM-2", ["z[", "times the tolerance"]),
        ("g_s", pads_the_wrong_side, "TRANSFORM-3", ["x_hat[", "times the tolerance"]),
        ("parameters", swaps_taps, "EXACT-1", ["phi["]),
        ("parameters", orders_phases_by_channel, "EXACT-1", ["psi["]),
        ("h_s", orders_phases_by_channel, "EXACT-2", ["teacher-forced, every stage is right"]),
        ("step", rounds_down, "EXACT-2", ["teacher-forced, every stage is right", "look at what a step hands on"]),
    ],
)
def test_a_wrong_file_is_found(
    name: str, spoil: Callable[[onnx.GraphProto], None], case: str, parts: list[str], exports: Path, tmp_path: Path
) -> None:
    """One file of somebody else, wrong in one way, fails the requirement that is about it."""
    folder = tmp_path / "exports"
    shutil.copytree(exports, folder)
    path = folder / MODEL / f"{name}.onnx"
    foreign = onnx.load(path)
    spoil(foreign.graph)
    del foreign.metadata_props[:]
    onnx.checker.check_model(foreign, full_check=True)
    onnx.save(foreign, path)
    options = ["--in-process", "--tier", "full", "--capabilities", "transforms,entropy-exact", "-k", MODEL]
    status, cases = run_suite(tmp_path, f"onnx:{folder}", *options)
    wrong = [record for record in cases if record["outcome"] not in ("passed", "unsupported")]
    assert status == pytest.ExitCode.TESTS_FAILED, f"the run ended with {status}"
    assert {record["requirement"] for record in wrong} == {case}, f"{wrong}"
    holds(str(wrong[0]["message"]), *parts)


def test_names_of_a_transform_are_free(exports: Path, tmp_path: Path) -> None:
    """A transform of somebody else may call its input and output what it likes."""
    graph = onnx.load(exports / MODEL / "h_a.onnx")
    for node in graph.graph.node:
        for values in (node.input, node.output):
            for place, value in enumerate(values):
                values[place] = {"y": "latents", "z": "hyper"}.get(value, value)
    graph.graph.input[0].name, graph.graph.output[0].name = "latents", "hyper"
    (tmp_path / MODEL).mkdir()
    onnx.save(graph, tmp_path / MODEL / "h_a.onnx")
    y = np.random.default_rng(1).normal(size=(64, 8, 4)).astype(np.float32)
    found, right = (Onnx(folder).call("h_a", MODEL, {"y": y})["z"] for folder in (tmp_path, exports))
    assert np.array_equal(found, right), "the names changed the values"


def test_missing_files_are_unsupported(exports: Path, tmp_path: Path) -> None:
    """A folder may hold a single network: nothing else is asked of it."""
    (tmp_path / MODEL).mkdir()
    shutil.copy(exports / MODEL / "g_s.onnx", tmp_path / MODEL)
    subject, y_hat = Onnx(tmp_path), np.zeros((64, 4, 4), np.float32)
    assert "x_hat" in subject.call("g_s", MODEL, {"y_hat": y_hat}), "the file is there"
    with pytest.raises(Unsupported, match="h_a.onnx isn't there"):
        subject.call("h_a", MODEL, {"y": y_hat})
    with pytest.raises(Unsupported, match="holds no model lite-q4"):
        subject.call("g_s", "lite-q4", {"y_hat": y_hat})


def test_a_file_of_another_model_is_refused(exports: Path, tmp_path: Path) -> None:
    """A file that says that it is of another model isn't compared with this one's vectors."""
    shutil.copytree(exports / MODEL, tmp_path / "lite-q4")
    with pytest.raises(ValueError, match="export it again"):
        Onnx(tmp_path).call("h_a", "lite-q4", {"y": np.zeros((64, 4, 4), np.float32)})


def test_a_folder_without_exports_is_refused(tmp_path: Path) -> None:
    """The subject of an empty folder ends the run and says how to fill it."""
    with pytest.raises(ValueError, match="mbtref export"):
        Onnx(tmp_path)


@pytest.mark.parametrize(("words", "status"), [(("lite-q9", "-o", "out"), 2), ((MODEL, "-o", "a.txt"), 2)])
def test_a_wrong_export_is_one_line(
    words: tuple[str, ...], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A model that doesn't exist and a folder that is a file are wrong use."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    assert run("export", *words) == status, "it is wrong use"
    one_line(capsys)


HIDDEN = """
import sys
sys.modules[{package!r}] = None
{call}
"""


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("onnx", "from mbtref.workbench.cli import main; sys.exit(main(['export', 'lite-q3', '-o', 'out']))"),
        ("onnxruntime", "import pytest; sys.exit(pytest.main([{suite!r}, '--subject', 'onnx:out', *{quiet}]))"),
    ],
)
def test_the_missing_extra_is_named(package: str, call: str, tmp_path: Path) -> None:
    """Without the extra, the command and the subject say in a line what to install."""
    suite, quiet = str(ROOT / "conformance" / "test_vectors.py"), ["--in-process", "-p", "no:cacheprovider"]
    code = HIDDEN.format(package=package, call=call.format(suite=suite, quiet=quiet))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0, "it can't work"
    assert f"needs {package}: pip install 'mbtref[onnx]'" in done.stderr, f"no advice in {done.stderr!r}"
    assert "Traceback" not in done.stderr, f"a traceback: {done.stderr}"
