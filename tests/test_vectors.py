"""The golden vectors: frozen, made again, and compared."""

import errno
import itertools
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbtref import Model, load
from mbtref.errors import Kind
from mbtref.files import write_whole
from mbtref.suite import vectors
from mbtref.suite.generate import MADE, edge, implementations, make, moved, registry, reproducible, streams, ties
from mbtref.suite.generate import command as tool
from mbtref.suite.generate.case import Case, Making, as_npy
from mbtref.suite.generate.deflate import stored_block
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.generate.measure import measured
from mbtref.suite.generate.sets import Files, VectorSet, array, parsed
from mbtref.suite.generate.stages import choose, sure
from mbtref.suite.generate.textures import SIZES, Size, picture
from mbtref.suite.pictures import tensor
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.vectors import FOLDER, MANIFEST
from tests.support import child, output_of

Y, K = "stages/lite-q4/odd/open/y.npy", "stages/lite-q4/odd/exact/k.npy"
"""Floats of TRANSFORM-1, and integers of EXACT-2."""
BUFFER = "buffers/extremes/buffer.zlib"


@pytest.fixture(scope="module")
def frozen() -> Files:
    """The frozen set."""
    return tool.stored(FOLDER)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the set on which the commands work. They have no Kodak pictures."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    monkeypatch.setattr("mbtref.suite.kodak.pictures", list)
    return tmp_path


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


def test_entries() -> None:
    """Ids are unique, so are questions, and every kind of error has a malformed stream."""
    all_vectors = vectors.load().vectors
    assert len({vector.id for vector in all_vectors}) == len(all_vectors), "an id occurs twice"
    asked: dict[object, str] = {}
    for v in all_vectors:
        first = asked.setdefault((v.operation, v.model, tuple(sorted(v.input_files.items()))), v.id)
        assert first == v.id, f"{v.id} asks what {first} asks"
    refused = {vector.rejected for vector in all_vectors if vector.requirement == "DECODE-2"}
    assert refused == set(Kind), f"no malformed stream for {set(Kind) - refused}"


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        ("rans/rare/stream.bin", b"other", "rans/rare/stream.bin was changed"),
        ("rans/rare/cdf.npy", None, "rans/rare/cdf.npy is missing"),
        ("rans/new.bin", b"", "rans/new.bin isn't in the manifest"),
        (MANIFEST, None, "manifest.json is missing"),
        (MANIFEST, b"{", "manifest.json is damaged"),
    ],
)
def test_a_changed_set_is_not_loaded(home: Path, path: str, data: bytes | None, message: str) -> None:
    """A changed, missing or extra file stops loading, and is named."""
    vectors.load(home)
    if data is None:
        (home / path).unlink()
    else:
        (home / path).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        vectors.load(home)


def test_made_again(frozen: Files) -> None:
    """The reference still gives the frozen vectors, byte for byte: what is equal within its tolerance stays."""
    again = make(frozen, set(MADE) - {"DECODE-3", "REPRODUCIBLE-4"})
    moves = [str(move) for move in moved.differences(frozen, again)]
    assert not moves, "\n".join(["run 'mbtref vectors generate' if this is meant:", *moves])
    assert again == frozen, f"other bytes: {[path for path in frozen if frozen[path] != again[path]]}"


def test_vectors_are_in_the_order_of_making() -> None:
    """What is made now comes first and replaces what was frozen: a set grows to the same bytes in one run."""
    known = reproducible.known({"frozen": {"of": 1}, "both": {"of": 1}}, {"new": {"of": 2}, "both": {"of": 2}})
    assert list(known.items()) == [("new", {"of": 2}), ("both", {"of": 2}), ("frozen", {"of": 1})], f"it's {known}"


CHILD = """
from mbtref import load
from mbtref.suite.generate import Making, parsed, registry, stages
from mbtref.suite.generate.command import stored
from mbtref.suite.generate.implementations import Bench
from mbtref.suite.vectors import FOLDER

stages.ALL, stages.LONG = ("square",), ()
files = stored(FOLDER)
out = Making(Bench({"lite-q4": load("lite-q4")}), parsed(files))
for function, case in registry.cases(out, {"DECODE-1"}):
    if case.model_name == "lite-q4":
        function(case)
moved = [path for path, data in out.new.files.items() if data != files[path]]
moved += [entry["id"] for entry in out.new.entries if entry not in out.frozen.entries]
print(len(out.new.files), moved)
"""


@pytest.mark.parametrize("processor", sorted(PROCESSORS))
def test_made_again_elsewhere(processor: str) -> None:
    """Other processors and threads make the same bytes: choices and tolerances are frozen, floats stay."""
    count, _, moved = output_of("-c", CHILD, more=PROCESSORS[processor]).partition(" ")
    assert int(count) > 20, f"only {count} files were made"
    assert moved == "[]\n", f"moved: {moved}"


def test_a_new_picture_is_chosen_by_the_stated_distance(lite: Model) -> None:
    """If nothing is frozen, the first picture whose values keep the stated distance is chosen."""
    bench = Bench({"lite-q4": lite})
    chosen, pixels = choose(Making(bench, VectorSet()), "lite-q4", "square")
    assert np.array_equal(pixels, picture(SIZES["square"], chosen)), f"the picture isn't that of seed {chosen}"
    away = [sure(bench, "lite-q4", tensor(picture(SIZES["square"], seed))) for seed in range(chosen + 1)]
    assert away == [False] * chosen + [True], f"seed {chosen} was chosen; which seeds are right: {away}"


def test_a_picture_near_a_tie_is_found() -> None:
    """The search finds the frozen picture of a seed, and none if the seed has none."""
    bench = Bench({"lite-q6": load("lite-q6")})
    edit = reproducible.NEAR_Z["lite-q6"][0]
    found = list(ties.edits(bench, "lite-q6", "z", range(edit.seed - 1, edit.seed + 1)))
    assert found == [edit], f"found {found}"


def test_measured_tolerances_hold(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """No correct implementation on this machine exceeds a frozen tolerance or reaches a tie."""
    monkeypatch.setattr(implementations, "PROCESSORS", {})  # 'mbtref vectors measure' includes them
    bench = Bench({"lite-q4": lite})
    found = measured(bench, [vector for vector in vectors.load().vectors if vector.name == "lite-q4/square"])
    assert len(found) == 7, f"three transforms, two of the entropy model, and the ties in two ways: {found}"
    assert all(0 < share < 1 for share, _ in found.values()), f"beyond what is allowed: {found}"


def test_a_new_tolerance_is_measured_on_simulated_processors(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deviation of a single implementation, even one in its own process, sets the tolerance."""
    monkeypatch.setattr(implementations, "PROCESSORS", {"sse4": PROCESSORS["sse4"]})
    bench, inputs = Bench({"lite-q4": lite}), {"x": np.zeros((3, 64, 64), np.float32)}
    assert "sse4" in bench.others, "a simulated processor isn't asked"
    golden = bench.golden.call("g_a", "lite-q4", inputs)
    answers = [other.call("g_a", "lite-q4", inputs)["y"] for other in bench.others.values()]
    deviation = max(float(np.abs(np.asarray(y) - np.asarray(golden["y"])).max()) for y in answers)
    limit = bench.tolerances("g_a", "lite-q4", inputs, golden)["y"]["absolute"]
    assert limit >= implementations.FACTOR * deviation, f"tolerance {limit:.3g}, deviation {deviation:.3g}"


def altered(files: Files, path: str, change: float) -> bytes:
    """The file of a tensor with its first value moved."""
    values = array(path, files[path])
    values.flat[0] += values.dtype.type(change)
    return as_npy(values)


def deflated_differently(files: Files) -> bytes:
    """A buffer with another zlib stream, after the header of 32 bytes, of the same latents."""
    return files[BUFFER][:32] + stored_block(zlib.decompress(files[BUFFER][32:]))


@pytest.mark.parametrize(
    ("path", "allowed", "new", "kept"),
    [
        (Y, 1e-3, lambda files: altered(files, Y, 2e-5), True),
        (Y, 1e-3, lambda files: altered(files, Y, 2e-2), False),
        (K, 0.0, lambda files: altered(files, K, 1), False),
        ("kodak.json", 1e-6, lambda files: files["kodak.json"].replace(b"\n", b""), True),
        (BUFFER, 0.0, deflated_differently, True),
    ],
)
def test_what_stays_frozen(
    frozen: Files, path: str, allowed: float, new: Callable[[Files], bytes], kept: bool
) -> None:
    """A frozen float stays if the new one is within its tolerance; an integer that differs is new."""
    data = new(frozen)
    put = Making(Bench({}), parsed(frozen)).put(path, data, allowed)
    assert data != frozen[path], "the new file is the frozen one"
    assert put == (frozen[path] if kept else data), f"{path} was {'replaced' if kept else 'kept'}"


def test_only_some_requirements(frozen: Files) -> None:
    """Only vectors of the given requirement are made: all others stay, even those that nothing could make."""
    damaged = {**frozen, "kodak.json": b"not made", "rans/rare/stream.bin": b"made anew"}
    files = make(damaged, {"RANS-1"})
    assert files["kodak.json"] == b"not made", "another requirement was made"
    # the manifest has its hash
    other = {path for path in frozen.keys() | files.keys() if frozen.get(path) != files.get(path)}
    assert other == {"kodak.json", MANIFEST}, f"making RANS-1 doesn't give the frozen set: {other} differ"


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
    id, *paths = "DECODE-1/lite-q3/row", "streams/lite-q3/row/stream.mbt", "streams/lite-q3/row/y_hat.npy"
    assert new == {f"DECODE-1: {item}: new" for item in (id, *paths)}, f"new is {sorted(new)}"
    (entry,) = (entry for entry in json.loads(files[MANIFEST])["vectors"] if entry["id"] == id)
    assert entry["purpose"] == row.__doc__, f"the docstring isn't the purpose: {entry}"
    assert [entry["inputs"]["stream"], entry["expected"]["y_hat"]] == paths, f"it names other files: {entry}"


def test_generate(
    home: Path, frozen: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what moved, by requirement; the new set is whole, and nothing is left of the old one."""
    monkeypatch.setattr(tool, "make", lambda files, only, pictures: frozen)
    manifest = json.loads(frozen[MANIFEST])
    manifest["files"]["rans/old/stream.bin"] = "0" * 64
    manifest["vectors"] = [entry for entry in manifest["vectors"] if entry["id"] != "DECODE-2/zero_width"]
    tolerant = manifest["vectors"][0]
    tolerant["tolerance"]["y"]["absolute"] *= 2
    changed = {MANIFEST: json.dumps(manifest).encode(), "rans/old/stream.bin": b"old", Y: altered(frozen, Y, 0.25)}
    tool.write(home, frozen, {**frozen, **changed})
    (home / "rans/rare/cdf.npy").unlink()
    tool.generate(home)
    told = capsys.readouterr().out
    for line in (
        "DECODE-2: 1 new\n  DECODE-2/zero_width: new\n",
        "RANS-1: 1 new\n  rans/rare/cdf.npy: new\n",
        f"TRANSFORM-1: 2 changed, values by up to 0.25\n  {tolerant['id']}: changed tolerance\n"
        f"  {Y}: changed by up to 0.25",
        "beside the vectors: 1 gone\n  rans/old/stream.bin: gone\n",
    ):
        assert line in told, f"{line!r} isn't in\n{told}"
    vectors.load(home)
    assert not (home / "rans/old").exists(), "a stale folder is left"
    tool.generate(home)
    assert capsys.readouterr().out.startswith("nothing moved\n"), "the same set moved"


def test_generate_writes_nothing_if_it_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector that lost its property is an error of one line, and the old set stays."""

    @registry.vector("RANS-1")
    def fails(case: Case) -> None:
        raise AssertionError("no state meets its limit")

    monkeypatch.setattr(registry, "REGISTRY", [registry.REGISTRY.pop()])
    with pytest.raises(ValueError, match="a vector lost its property: no state meets its limit"):
        tool.generate(home, ["RANS-1"])
    vectors.load(home)


@pytest.mark.parametrize("to", ["new/er", "."])
def test_a_new_model_comes_with_its_set(
    home: Path, frozen: Files, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """While vectors are made, a changed `edge` lies where processes look for it; then only in the new set."""
    ours, right = home / edge.FILE, edge.model_file()
    monkeypatch.setattr(tool, "model_file", lambda name: home / f"models/{name}.safetensors")
    monkeypatch.setattr(edge, "model_file", lambda: b"other")
    monkeypatch.setattr(tool, "make", lambda *_: {**frozen, edge.FILE: ours.read_bytes()})
    tool.generate(home / to)
    assert (home / to / edge.FILE).read_bytes() == b"other", "the new set has the old model"
    assert ours.read_bytes() == (b"other" if to == "." else right), "the project's own model is another one"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_set_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A full disk or Ctrl-C, after any step, leaves every file as it was. What others have there always stays."""
    old = {"a/b/gone": b"1", "a/same": b"2", "c/changed": b"3", MANIFEST: b"4"}
    new = {"a/same": b"2", "c/changed": b"5", "d/e/new": b"6", MANIFEST: b"7"}
    tool.write(tmp_path, {}, old)
    (tmp_path / "c/mine/empty").mkdir(parents=True)
    (tmp_path / "c/notes.txt").write_bytes(b"8")

    def there() -> dict[str, bytes]:
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def stepping(right: Callable[..., object]) -> Callable[..., object]:
        def step(*given: object) -> None:
            right(*given)
            if next(taken) == last:
                raise error

        return step

    before = there()
    monkeypatch.setattr(tool, "write_whole", stepping(write_whole))
    monkeypatch.setattr(Path, "replace", stepping(Path.replace))
    for last in range(12):  # four files are written and put in their places, and four old ones are taken away
        taken = itertools.count()
        with pytest.raises(type(error)):
            tool.write(tmp_path, old, new)
        assert there() == before, f"step {last} left other files"
    tool.write(tmp_path, old, new)
    kept = {path: data for path, data in before.items() if path != "a/b/gone"}
    assert there() == {**kept, **new}, "the new set isn't there, or not alone"
    assert (tmp_path / "c/mine/empty").is_dir(), "a folder of others is gone"


@pytest.mark.parametrize("manifest", [b"", b"\xff", b"[]", b'{"files": ["a.js"]}', b'{"files": {"../a.js": ""}}'])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, manifest: bytes) -> None:
    """A manifest that isn't one of a set says nothing about what may be removed."""
    (tmp_path / MANIFEST).write_bytes(manifest)
    with pytest.raises(ValueError, match=f"{tmp_path} has no manifest of a set: .*; restore it, or take it away"):
        tool.generate(tmp_path, ["RANS-1"])


@pytest.mark.parametrize("words", ["-O generate --only RANS-1 --to new", "-OO check --without-kodak"])
def test_nothing_is_made_without_assertions(tmp_path: Path, words: str) -> None:
    """`python -O` leaves out what vectors assert: the commands say so in one line, and do nothing."""
    flag, *command = words.split()
    done = child(flag, "-m", "mbtref", "vectors", *command, folder=tmp_path)
    told = "mbtref: python -O leaves out what vectors assert: run it without -O and PYTHONOPTIMIZE\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told), f"{done}"
    assert not list(tmp_path.iterdir()), "something was written"


def test_check(
    home: Path, frozen: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints a line for each difference, and says why it left out the Kodak part."""

    def missing() -> list[Path]:
        raise ValueError("24 of the 24 Kodak pictures aren't in nowhere")

    monkeypatch.setattr("mbtref.suite.kodak.pictures", missing)
    for with_kodak, why, files, told in (
        (False, "left out", frozen, "0 differences\n"),
        (True, "24 of the 24 Kodak pictures aren't in nowhere", frozen, "0 differences\n"),
        (False, "left out", {**frozen, K: altered(frozen, K, 1)}, f"EXACT-2: {K}: changed by up to 1\n"),
    ):
        monkeypatch.setattr(tool, "make", lambda *_, files=files: files)
        assert tool.check(with_kodak) == (files is not frozen), f"the number of differences is wrong: {told}"
        printed = capsys.readouterr().out
        assert f"not run: the Kodak part ({why})\n" in printed, f"the Kodak part counts as run:\n{printed}"
        assert told in printed, f"it doesn't say {told}, but\n{printed}"
