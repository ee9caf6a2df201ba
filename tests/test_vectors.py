"""The golden vectors: frozen, made again, and compared."""

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance import vectors
from conformance.operations import OPERATIONS, fault
from conformance.vectors import FOLDER, MANIFEST, SCHEMA
from mbtref.errors import Kind
from mbtref.tools import vectors as tool
from vectors.generate import compare, kodak, make
from vectors.generate.buffers import stored_block
from vectors.generate.vectorset import Files, as_npy

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def frozen() -> Files:
    """The frozen set without its Kodak part."""
    return kodak.left_out(tool.stored(FOLDER))


@pytest.fixture(scope="module")
def again(frozen: Files) -> Files:
    """The same, made again."""
    manifest = json.loads(frozen[MANIFEST])
    return make([], {name: picture["seed"] for name, picture in manifest["pictures"].items()})


@pytest.fixture
def copy(frozen: Files, tmp_path: Path) -> Path:
    """A folder of its own with the set."""
    for path, data in {**frozen, SCHEMA: (FOLDER / SCHEMA).read_bytes()}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def test_manifest_fits_its_schema() -> None:
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


def test_entries() -> None:
    """Every vector asks with what the operation takes and expects what it gives; every kind of error is there."""
    manifest = vectors.load()
    assert len({vector.id for vector in manifest.vectors}) == len(manifest.vectors), "an id is there twice"
    for vector in manifest.vectors:
        operation = OPERATIONS[vector.operation]
        assert vector.id.startswith(f"{vector.requirement}/"), f"{vector.id} has another requirement"
        # a decoder owes rejections, for the rest they are a capability of their own
        apart = vector.rejected is not None and operation.capability != "decode"
        capability = "rejection" if apart else operation.capability
        assert manifest.requirements[vector.requirement].capability == capability, f"{vector.id} is misplaced"
        assert vector.input_files.keys() == operation.inputs.keys(), f"{vector.id} asks with something else"
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
    """A file that was tampered with, is missing or is extra stops loading, with its name."""
    vectors.load(copy)
    damage(copy)
    with pytest.raises(ValueError, match=message):
        vectors.load(copy)


def test_made_again(frozen: Files, again: Files) -> None:
    """The reference gives the frozen vectors: integers and bytes exactly, floats within tolerance."""
    moved = [str(d) for d in compare.differences(frozen, again) if d.change > d.allowed]
    assert not moved, "\n".join(["run 'mbtref vectors generate' if this is meant:", *moved])


def altered(files: Files, path: str, change: float) -> bytes:
    """A tensor's file with its first value moved."""
    array = np.load(io.BytesIO(files[path]))
    array.flat[0] += array.dtype.type(change)
    return as_npy(array)


@pytest.mark.parametrize(
    ("path", "change", "counts"),
    [
        ("stages/lite-q4/odd/open/y.npy", 2e-5, False),
        ("stages/lite-q4/odd/open/y.npy", 2e-2, True),
        ("stages/lite-q4/odd/exact/k.npy", 1, True),
    ],
)
def test_what_counts_as_a_difference(frozen: Files, path: str, change: float, counts: bool) -> None:
    """A float may move within its tolerance, an integer not at all."""
    (found,) = compare.differences(frozen, {**frozen, path: altered(frozen, path, change)})
    assert found.item == path, f"another file moved: {found}"
    assert found.change == pytest.approx(change, rel=0.1), f"moved by {change}, told: {found}"
    assert (found.change > found.allowed) == counts, f"judged wrongly: {found}"


@pytest.mark.parametrize(("factor", "counts"), [(0.5, False), (2, False), (100, True), (0.01, True)])
def test_tolerances_are_checked(frozen: Files, factor: float, counts: bool) -> None:
    """A tolerance is measured, so it may differ between machines, but not by much."""
    manifest = json.loads(frozen[MANIFEST])
    manifest["vectors"][0]["tolerance"]["y"]["absolute"] *= factor
    (found,) = compare.differences({**frozen, MANIFEST: json.dumps(manifest).encode()}, frozen)
    assert (found.change > found.allowed) == counts, f"judged wrongly: {found}"


def deflated_again(buffer: bytes) -> bytes:
    """The same latent buffer, its 32-byte header followed by a zlib stream that doesn't compress."""
    return buffer[:32] + stored_block(zlib.decompress(buffer[32:]))


def test_zlib_may_deflate_differently(frozen: Files) -> None:
    """A buffer that inflates to the same latents is the same."""
    path = "buffers/extremes/buffer.zlib"
    other = {**frozen, path: deflated_again(frozen[path])}
    assert not list(compare.differences(frozen, other)), "the same latents count as others"


@pytest.fixture
def home(copy: Path, again: Files, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A frozen set of its own, with which the commands work in place of the project's; making is done already."""
    monkeypatch.setattr(tool, "FOLDER", copy)
    monkeypatch.setattr(tool, "make", lambda pictures, seeds: again)
    monkeypatch.setattr("mbtref.tools.kodak.pictures", list)
    return copy


def test_generate(home: Path, again: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """What moved is told by requirement; the new set is whole, and nothing of the old one is left."""
    manifest = json.loads((home / MANIFEST).read_bytes())
    manifest["files"]["rans/old/stream.bin"] = "0" * 64
    manifest["vectors"] = [entry for entry in manifest["vectors"] if entry["id"] != "DECODE-2/zero_width"]
    (home / MANIFEST).write_text(json.dumps(manifest))
    (home / "rans/old").mkdir()
    (home / "rans/old/stream.bin").write_bytes(b"old")
    (home / "rans/rare/cdf.npy").unlink()
    (home / "stages/lite-q4/odd/open/y.npy").write_bytes(altered(again, "stages/lite-q4/odd/open/y.npy", 0.25))
    tool.generate(home)
    told = capsys.readouterr().out
    for line in (
        "DECODE-2: 1 new\n  DECODE-2/zero_width: new\n",
        "RANS-1: 1 new\n  rans/rare/cdf.npy: new\n",
        "TRANSFORM-1: 1 changed, values by up to 0.25\n  stages/lite-q4/odd/open/y.npy: changed by up to 0.25",
        "beside the vectors: 1 gone\n  rans/old/stream.bin: gone\n",
    ):
        assert line in told, f"{line!r} isn't in\n{told}"
    vectors.load(home)
    assert not (home / "rans/old").exists(), "a stale folder is left"
    tool.generate(home)
    assert capsys.readouterr().out.startswith("nothing moved\n"), "the same set moved"


def test_generate_writes_nothing_if_it_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector that lost its property is a line, and the old set stays."""

    def fail(*_: object) -> Files:
        raise AssertionError("no state meets its limit")

    monkeypatch.setattr(tool, "make", fail)
    with pytest.raises(ValueError, match="no state meets its limit"):
        tool.generate(home)
    vectors.load(home)


def test_check(
    home: Path, again: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each difference, and the Kodak part is told as not run."""
    assert tool.check(with_kodak=False) == 0, "a good set differs"
    assert "not run: the Kodak part (left out)\n" in capsys.readouterr().out, "the Kodak part counts as run"
    path = "stages/lite-q4/odd/exact/k.npy"
    monkeypatch.setattr(tool, "make", lambda pictures, seeds: {**again, path: altered(again, path, 1)})
    assert tool.check(with_kodak=False) == 1, "a wrong symbol isn't a difference"
    assert f"EXACT-2: {path}: changed by up to 1, tolerance 0\n" in capsys.readouterr().out, "it isn't named"


def test_check_without_pictures(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing Kodak pictures are no difference, but are told."""

    def missing() -> list[Path]:
        raise ValueError("24 of the 24 Kodak pictures aren't in nowhere")

    monkeypatch.setattr("mbtref.tools.kodak.pictures", missing)
    assert tool.check(with_kodak=True) == 0, "missing pictures are a difference"
    assert "not run: the Kodak part (24 of the 24" in capsys.readouterr().out, "the Kodak part counts as run"
