"""The golden vectors: frozen, made again, and compared."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbtref import Model
from mbtref.errors import Kind
from mbtref.suite import requirements, vectors
from mbtref.suite.generate import MADE, implementations, make, moved, registry, reproducible, streams
from mbtref.suite.generate import command as tool
from mbtref.suite.generate.buffers import stored_block
from mbtref.suite.generate.case import Case
from mbtref.suite.generate.frozen import Files, Frozen, array, parsed
from mbtref.suite.generate.implementations import TIE_DISTANCE, Bench
from mbtref.suite.generate.measure import measured
from mbtref.suite.generate.stages import choose
from mbtref.suite.generate.textures import SIZES, Size, picture
from mbtref.suite.generate.vectorset import VectorSet, as_npy
from mbtref.suite.operations import OPERATIONS, fault
from mbtref.suite.pictures import tensor
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.requirements import REQUIREMENTS
from mbtref.suite.vectors import FOLDER, MANIFEST, SCHEMA

Damage = Callable[[Path], object]
WITHOUT_KODAK = set(MADE) - {"DECODE-3", "REPRODUCIBLE-4"}
Y = "stages/lite-q4/odd/open/y.npy"
"""A file of floats, of TRANSFORM-1."""


@pytest.fixture(scope="module")
def frozen() -> Files:
    """The frozen set."""
    return tool.stored(FOLDER)


@pytest.fixture(scope="module")
def again(frozen: Files) -> Files:
    """The same set made again, except its Kodak part."""
    return make(frozen, WITHOUT_KODAK)


@pytest.fixture
def copy(frozen: Files, tmp_path: Path) -> Path:
    """A copy of the set in its own folder."""
    for path, data in {**frozen, SCHEMA: (FOLDER / SCHEMA).read_bytes()}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def test_manifest_fits_its_schema() -> None:
    """The frozen manifest fits the schema beside it."""
    tool.validate(json.loads((FOLDER / MANIFEST).read_bytes()))


@pytest.mark.parametrize(
    ("place", "value"),
    [("id", "DECODE-1"), ("purpose", ""), ("tolerance", {"y": {"absolute": 0}}), ("inputs", {"x": "/etc/passwd"})],
)
def test_schema_refuses(place: str, value: object) -> None:
    """An entry that doesn't fit is named."""
    manifest = json.loads((FOLDER / MANIFEST).read_bytes())
    manifest["vectors"][3][place] = value
    with pytest.raises(ValueError, match=rf"vectors\[3\]\.{place}"):
        tool.validate(manifest)


def test_the_manifest_has_all_requirements() -> None:
    """The manifest alone says what is required, and by which limits answers are judged."""
    manifest = json.loads((FOLDER / MANIFEST).read_bytes())
    assert manifest["requirements"] == requirements.as_json(), "run 'mbtref vectors generate --only RANS-1'"


def test_entries() -> None:
    """Every vector has the inputs and outputs of its operation, and every kind of error has a malformed stream."""
    manifest = vectors.load()
    assert len({vector.id for vector in manifest.vectors}) == len(manifest.vectors), "an id occurs twice"
    for vector in manifest.vectors:
        operation = OPERATIONS[vector.operation]
        assert vector.id.startswith(f"{vector.requirement}/"), f"{vector.id} has another requirement"
        # decoders must refuse malformed input; for others refusing is a capability of its own
        apart = vector.rejected is not None and operation.capability != "decode"
        capability = "rejection" if apart else operation.capability
        assert REQUIREMENTS[vector.requirement].capability == capability, f"{vector.id} is misplaced"
        assert vector.input_files.keys() == operation.inputs.keys(), f"{vector.id} has other inputs"
        assert (vector.model is not None) == operation.needs_model, f"{vector.id} has or lacks a model"
        order = [name for name in operation.outputs if name in vector.expected_files]
        assert list(vector.expected_files) == order, f"{vector.id} expects stages in another order"
        if order == list(operation.outputs):
            wrong = fault(vector.operation, vector.inputs, vector.expected)
            assert wrong is None, f"{vector.id}: {wrong}"
    refused = {vector.rejected for vector in manifest.vectors if vector.requirement == "DECODE-2"}
    assert refused == set(Kind), f"no malformed stream for {set(Kind) - refused}"


def flip(folder: Path, path: str) -> None:
    """Changes the last byte of a file."""
    data = (folder / path).read_bytes()
    (folder / path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: flip(folder, "rans/rare/stream.bin"), "rans/rare/stream.bin was changed"),
        (lambda folder: (folder / "rans/rare/cdf.npy").unlink(), "rans/rare/cdf.npy is missing"),
        (lambda folder: (folder / "rans/new.bin").write_bytes(b""), "rans/new.bin isn't in the manifest"),
        (lambda folder: (folder / MANIFEST).unlink(), "manifest.json is missing"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "manifest.json is damaged"),
    ],
)
def test_a_changed_set_is_not_loaded(copy: Path, damage: Damage, message: str) -> None:
    """A changed, missing or extra file stops loading, and is named."""
    vectors.load(copy)
    damage(copy)
    with pytest.raises(ValueError, match=message):
        vectors.load(copy)


def test_made_again(frozen: Files, again: Files) -> None:
    """The reference still gives the frozen vectors, byte for byte: what is equal within its tolerance stays."""
    moves = [str(move) for move in moved.differences(frozen, again)]
    assert not moves, "\n".join(["run 'mbtref vectors generate' if this is meant:", *moves])
    other = sorted(path for path in frozen.keys() | again.keys() if frozen.get(path) != again.get(path))
    assert not other, f"the same vectors have other bytes or another order: {other}"


def test_vectors_are_in_the_order_of_making() -> None:
    """What is made now comes first and replaces what was frozen: a set grows to the same bytes in one run."""
    known = reproducible.known({"frozen": {"of": 1}, "both": {"of": 1}}, {"new": {"of": 2}, "both": {"of": 2}})
    assert list(known) == ["new", "both", "frozen"], f"the order is {list(known)}"
    assert known["both"] == {"of": 2}, "a frozen entry replaces the one that was made now"


CHILD = """
from mbtref.suite.vectors import FOLDER
from mbtref.suite.generate.command import stored
from mbtref.suite.generate import make
files = stored(FOLDER)
moved = [path for path, data in make(files, {only}).items() if data != files[path]]
raise SystemExit(f"moved: {{moved}}" if moved else 0)
"""


@pytest.mark.parametrize("processor", sorted(PROCESSORS))
def test_made_again_elsewhere(processor: str) -> None:
    """Other processors and threads make the same bytes: choices and tolerances are frozen, floats stay."""
    only = {"TRANSFORM-1", "FLOAT-2", "DECODE-1", "DECODE-2"}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **PROCESSORS[processor]}
    child = subprocess.run([sys.executable, "-c", CHILD.format(only=only)], capture_output=True, env=environment)
    assert child.returncode == 0, f"{processor}: {child.stderr.decode()}"


def test_pictures_keep_away_from_ties() -> None:
    """Every value that a forward pass of the vectors rounds keeps the stated distance from a tie."""
    for vector in vectors.load().vectors:
        if vector.requirement == "FLOAT-2":
            assert min(vector.margin.values()) >= TIE_DISTANCE, f"{vector.id} has margins {vector.margin}"


def test_a_new_picture_is_chosen_by_the_stated_distance(lite: Model) -> None:
    """If nothing is frozen, the first picture whose values keep the stated distance is chosen."""
    out = VectorSet(Bench({"lite-q4": lite}), Frozen({}, (), {}))
    chosen, pixels = choose(out, "lite-q4", "square")
    assert np.array_equal(pixels, picture(SIZES["square"], chosen)), f"the picture isn't that of seed {chosen}"
    for seed in range(chosen + 1):
        x = tensor(picture(SIZES["square"], seed))
        away = min(out.bench.margins("lite-q4", x).values()) >= TIE_DISTANCE
        assert away == (seed == chosen), (
            f"seed {chosen} was chosen, and seed {seed} was {'right' if away else 'wrong'}"
        )


def test_measured_tolerances_hold(lite: Model) -> None:
    """No correct implementation on this machine exceeds a frozen tolerance or reaches a tie."""
    bench = Bench({"lite-q4": lite})
    bench.others = bench.others[:4]  # those in this process; 'mbtref vectors measure' includes the processors
    some = [vector for vector in vectors.load().vectors if vector.name == "lite-q4/square"]
    found = measured(bench, some)
    assert len(found) == 7, f"three transforms, two of the entropy model, and the ties in two ways: {found}"
    assert all(0 < nearness.share < 1 for nearness in found), f"beyond what is allowed: {found}"


def test_a_new_tolerance_is_measured_on_simulated_processors(lite: Model) -> None:
    """The deviation of a single implementation, even one in its own process, sets the tolerance."""
    bench = Bench({"lite-q4": lite})
    assert {other.name for other in bench.others} >= set(PROCESSORS), "a simulated processor isn't asked"
    x = np.zeros((3, 64, 64), np.float32)
    answers = {other.name: other.call("g_a", "lite-q4", {"x": x})["y"] for other in bench.others}
    golden = bench.golden.call("g_a", "lite-q4", {"x": x})
    deviation = max(float(np.abs(np.asarray(y) - np.asarray(golden["y"])).max()) for y in answers.values())
    limit = bench.tolerances("g_a", "lite-q4", {"x": x}, golden)["y"]["absolute"]
    assert limit >= implementations.FACTOR * deviation, f"tolerance {limit:.3g}, deviation {deviation:.3g}"


def altered(files: Files, path: str, change: float) -> bytes:
    """The file of a tensor with its first value moved."""
    values = array(path, files[path])
    values.flat[0] += values.dtype.type(change)
    return as_npy(values)


@pytest.mark.parametrize(
    ("path", "allowed", "change", "kept"),
    [
        (Y, 1e-3, 2e-5, True),
        (Y, 1e-3, 2e-2, False),
        ("stages/lite-q4/odd/exact/k.npy", 0.0, 1, False),
        ("kodak.json", 1e-6, 0, True),
    ],
)
def test_what_stays_frozen(frozen: Files, path: str, allowed: float, change: float, kept: bool) -> None:
    """A frozen float stays if the new one is within its tolerance; an integer that differs is new."""
    new = altered(frozen, path, change) if change else frozen[path]
    assert (parsed(frozen).kept(path, new, allowed) == frozen[path]) == kept, f"{path} moved by {change}"


def test_differences_are_named(frozen: Files) -> None:
    """A file that differs is one difference, which says its requirement and how far it moved."""
    (found,) = moved.differences(frozen, {**frozen, Y: altered(frozen, Y, 0.25)})
    assert (found.group, found.item) == ("TRANSFORM-1", Y), f"another file moved: {found}"
    assert found.change == pytest.approx(0.25), f"it moved by 0.25, but: {found}"


def test_a_changed_tolerance_is_a_difference(frozen: Files) -> None:
    """Tolerances are frozen: a changed one is a difference."""
    manifest = json.loads(frozen[MANIFEST])
    manifest["vectors"][0]["tolerance"]["y"]["absolute"] *= 2
    (found,) = moved.differences({**frozen, MANIFEST: json.dumps(manifest).encode()}, frozen)
    assert "changed tolerance" in str(found), f"another difference: {found}"


def test_only_some_requirements(frozen: Files) -> None:
    """Only vectors of the given requirement are made: all others stay, even those that nothing could make."""
    damaged = {**frozen, "kodak.json": b"not made", "rans/rare/stream.bin": b"made anew"}
    assert make(damaged, {"RANS-1"})["kodak.json"] == b"not made", "another requirement was made"
    files = make({**damaged, "kodak.json": frozen["kodak.json"]}, {"RANS-1"})
    assert files == frozen, "making RANS-1 doesn't give the frozen set"


def test_a_decorated_function_becomes_a_vector(frozen: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new function is all that a new vector takes: its files and its entry follow, and all others stay."""
    monkeypatch.setattr(registry, "REGISTRY", list(registry.REGISTRY))

    def row(case: Case) -> None:
        """a picture of one row refused"""
        case.ask("decode", {"stream": case.encode(picture(Size(1, 70), 1))}, outputs=["y_hat"])

    row.__module__ = streams.__name__
    registry.vector("DECODE-1", models=("lite-q3",))(row)
    files = make(frozen, {"DECODE-1"})
    new = {str(move) for move in moved.differences(frozen, files)}
    paths = [f"streams/lite-q3/row/{name}" for name in ("stream.mbt", "y_hat.npy")]
    items = ["DECODE-1/lite-q3/row", *paths]
    assert new == {f"DECODE-1: {item}: new" for item in items}, f"new is {sorted(new)}"
    entries = json.loads(files[MANIFEST])["vectors"]
    (entry,) = (entry for entry in entries if entry["id"] == items[0])
    assert entry["purpose"] == row.__doc__, f"the docstring isn't the purpose: {entry}"
    assert [entry["inputs"]["stream"], entry["expected"]["y_hat"]] == paths, f"it names other files: {entry}"


def test_functions_run_in_order() -> None:
    """Functions run in the order of modules and lines; those with models run together, model by model."""
    out = VectorSet(Bench({}), Frozen({}, (), {}))
    ran = [(case.made, case.model_name) for _, case in registry.cases(out, ["FLOAT-2"])]
    models = [*registry.LITE, *registry.WIDE]
    stages = [(f"stages:{name}", model) for model in models for name in ("whole_codec", "floor")]
    assert ran == [each for each in stages if each != ("stages:floor", "wide-q6")], f"the order is {ran}"


def test_zlib_may_deflate_differently(frozen: Files) -> None:
    """A buffer whose zlib stream, after the 32-byte header, inflates to the same latents doesn't differ."""
    path = "buffers/extremes/buffer.zlib"
    header, stream = frozen[path][:32], frozen[path][32:]
    other = {**frozen, path: header + stored_block(zlib.decompress(stream))}
    assert not list(moved.differences(frozen, other)), "the same latents count as a difference"


@pytest.fixture
def home(copy: Path, again: Files, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the frozen set on which the commands work, with the making replaced by its known result."""
    monkeypatch.setattr(tool, "FOLDER", copy)
    monkeypatch.setattr(tool, "make", lambda files, only, pictures: again)
    monkeypatch.setattr("mbtref.suite.kodak.pictures", list)
    return copy


def test_generate(home: Path, again: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what moved, by requirement; the new set is whole, and nothing is left of the old one."""
    manifest = json.loads((home / MANIFEST).read_bytes())
    manifest["files"]["rans/old/stream.bin"] = "0" * 64
    manifest["vectors"] = [entry for entry in manifest["vectors"] if entry["id"] != "DECODE-2/zero_width"]
    (home / MANIFEST).write_text(json.dumps(manifest))
    (home / "rans/old").mkdir()
    (home / "rans/old/stream.bin").write_bytes(b"old")
    (home / "rans/rare/cdf.npy").unlink()
    (home / Y).write_bytes(altered(again, Y, 0.25))
    tool.generate(home)
    told = capsys.readouterr().out
    for line in (
        "DECODE-2: 1 new\n  DECODE-2/zero_width: new\n",
        "RANS-1: 1 new\n  rans/rare/cdf.npy: new\n",
        f"TRANSFORM-1: 1 changed, values by up to 0.25\n  {Y}: changed by up to 0.25",
        "beside the vectors: 1 gone\n  rans/old/stream.bin: gone\n",
    ):
        assert line in told, f"{line!r} isn't in\n{told}"
    vectors.load(home)
    assert not (home / "rans/old").exists(), "a stale folder is left"
    tool.generate(home)
    assert capsys.readouterr().out.startswith("nothing moved\n"), "the same set moved"


def test_generate_writes_nothing_if_it_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector that lost its property is an error of one line, and the old set stays."""

    def fail(*_: object) -> Files:
        raise AssertionError("no state meets its limit")

    monkeypatch.setattr(tool, "make", fail)
    with pytest.raises(ValueError, match="no state meets its limit"):
        tool.generate(home)
    vectors.load(home)


def test_check(
    home: Path, again: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints a line for each difference, and says that the Kodak part wasn't run."""
    assert tool.check(with_kodak=False) == 0, "a good set differs"
    assert "not run: the Kodak part (left out)\n" in capsys.readouterr().out, "the Kodak part counts as run"
    path = "stages/lite-q4/odd/exact/k.npy"
    monkeypatch.setattr(tool, "make", lambda files, only, pictures: {**again, path: altered(again, path, 1)})
    assert tool.check(with_kodak=False) == 1, "a wrong symbol isn't a difference"
    assert f"EXACT-2: {path}: changed by up to 1\n" in capsys.readouterr().out, "it isn't named"


def test_check_without_pictures(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing Kodak pictures aren't a difference, but the command says so."""

    def missing() -> list[Path]:
        raise ValueError("24 of the 24 Kodak pictures aren't in nowhere")

    monkeypatch.setattr("mbtref.suite.kodak.pictures", missing)
    assert tool.check(with_kodak=True) == 0, "missing pictures are a difference"
    assert "not run: the Kodak part (24 of the 24" in capsys.readouterr().out, "the Kodak part counts as run"
