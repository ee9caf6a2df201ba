"""Exports: equal to their networks, always the same bytes; a wrong file is found by the suite."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import mbtref
from mbtref import codec
from mbtref.exact import CONTEXT_TAPS, REACH
from mbtref.suite.subjects.data import model_file
from mbtref.suite.subjects.onnx import FINGERPRINT, Onnx
from mbtref.suite.subjects.protocol import Unsupported
from mbtref.workbench import export
from tests.support import one_line, output_of, picture, run
from tests.test_messages import holds
from tests.test_suite import run as run_suite

MODEL = "lite-q3"
FILES = ("g_a", "h_a", "g_s", "h_s", "parameters", "step")
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of MODEL, and of the vectors' model of rare weights. Nobody changes it."""
    folder = tmp_path_factory.mktemp("exports")
    for model in (mbtref.load(MODEL), mbtref.load(model_file("edge"))):
        export.write(model, folder)
    return folder


def answers(file: Path, **inputs: Array) -> dict[str, Array]:
    """The outputs of a file by name."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_the_exact_graphs_agree(exports: Path) -> None:
    """h_s and the step, at all positions in one call, have what the graph of a whole picture has, in any batch."""
    random, folder = np.random.default_rng(5), exports / "edge"
    k_z = random.integers(-9, 10, (2, 3, 2, 3), dtype=np.int32)
    y_hat = random.integers(-9000, 9001, (2, 5, 8, 12), dtype=np.int32)
    whole = answers(folder / "parameters.onnx", k_z=k_z, y_hat=y_hat)
    for i in (0, 1):
        alone = answers(folder / "parameters.onnx", k_z=k_z[i : i + 1], y_hat=y_hat[i : i + 1])
        for name, value in alone.items():
            assert np.array_equal(value[0], whole[name][i]), f"{name} depends on the batch"
    bordered = np.pad(y_hat, ((0, 0), (0, 0), (REACH, 0), (REACH, REACH)))
    context = np.concatenate([bordered[:, :, i : i + 8, j : j + 12] for i, j in CONTEXT_TAPS], 1)
    positions = {"psi": by_position(whole["psi"]), "context": by_position(context)}
    for name, value in answers(folder / "step.onnx", **positions).items():
        assert np.array_equal(value, by_position(whole[name])), f"step: {name} isn't that of the whole picture"
    for name, value in answers(folder / "h_s.onnx", k_z=k_z).items():
        assert np.array_equal(value, whole[name]), f"h_s: {name} isn't that of the whole picture"
    assert len(np.unique(whole["index"])) > 1, "an index that never changes proves nothing"


def by_position(values: Array) -> Array:
    """(B, C, H, W) -> (B·H·W, C)."""
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1]))


def test_an_export_has_one_form(exports: Path, tmp_path: Path) -> None:
    """Another process writes the same bytes, and the command names the files."""
    printed = output_of("-m", "mbtref", "export", MODEL, "-o", tmp_path, more={"PYTHONHASHSEED": "7"})
    assert printed.split() == [str(tmp_path / MODEL / f"{name}.onnx") for name in FILES], "these are its files"
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


def test_the_suite_passes_exports(exports: Path, tmp_path: Path) -> None:
    """All that the suite's vectors ask of these models is passed: no case of what is declared is unsupported."""
    options = ["--in-process", "--tier", "full", "-k", f"{MODEL}/ or edge/"]
    status, cases = run_suite(tmp_path, f"onnx:{exports}", *options)
    assert status == pytest.ExitCode.OK, f"the run ended with {status}"
    for requirement in ("TRANSFORM-1", "TRANSFORM-2", "TRANSFORM-3", "EXACT-1", "EXACT-2", "DECODE-1", "DECODE-4"):
        ends = {case["outcome"] for case in cases if case["requirement"] == requirement}
        assert ends == {"passed"}, f"cases of {requirement} ended as {ends}"


def test_streams_are_the_reference_s(exports: Path) -> None:
    """The reference reads a stream that the exports write, to the latents that they held."""
    model, subject = mbtref.load(MODEL), Onnx(exports)
    pixels = picture(70, 130)
    stream = bytes(subject.call("encode", MODEL, {"image": pixels})["stream"])
    held = subject.call("reconstruct", MODEL, {"image": pixels})["y_hat"]
    assert np.array_equal(codec.decode_latents(model, [stream])[0].numpy(), held), "decoder and encoder disagree"


def takes_magnitudes(graph: onnx.GraphProto) -> None:
    """h_a of |y|, as in the older hyperprior of Ballé et al. 2018."""
    first = graph.node[0]
    graph.node.insert(0, helper.make_node("Abs", [first.input[0]], ["magnitudes"]))
    graph.node[1].input[0] = "magnitudes"


def skips_the_root(graph: onnx.GraphProto) -> None:
    """GDN without its square root."""
    for node in graph.node:
        node.op_type = "Identity" if node.op_type == "Sqrt" else node.op_type


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
        ("g_s", skips_the_root, "TRANSFORM-3", ["x_hat[", "times the tolerance"]),
        ("parameters", rounds_down, "EXACT-1", ["psi["]),
        ("h_s", rounds_down, "EXACT-2", ["teacher-forced, every stage is right"]),
        ("step", rounds_down, "EXACT-2", ["teacher-forced, every stage is right", "how y comes to the grid"]),
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


def test_what_cannot_be_asked(exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another model, a folder without files and a missing onnxruntime are a ValueError with the fix."""
    with pytest.raises(ValueError, match="mbtref export"):
        Onnx(tmp_path)
    shutil.copytree(exports / MODEL, tmp_path / "lite-q4")
    with pytest.raises(ValueError, match="export it again"):
        Onnx(tmp_path).call("h_a", "lite-q4", {"y": np.zeros((64, 4, 4), np.float32)})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"needs onnxruntime: pip install 'mbtref\[onnx\]'"):
        Onnx(exports)


@pytest.mark.parametrize("words", [("lite-q9", "-o", "out"), (MODEL, "-o", "a.txt")])
def test_a_wrong_export_is_one_line(
    words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that doesn't exist and a folder that is a file are wrong use."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    assert run("export", *words) == 2, "it is wrong use"
    one_line(capsys)
