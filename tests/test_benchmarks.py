"""The benchmark: a row for each call, all medians in the file, seeded models as sparse as trained ones."""

import json
import os
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as benchmark
from benchmarks import calls, measure, pages, seeded
from benchmarks.measure import Result, take_turns
from benchmarks.pages import KODAK, LARGE
from mbtref.codec import encode_latents
from tests import oracle

BATCHES = (calls.ENCODES, calls.ENCODE_BATCH, calls.DECODES, calls.DECODE_BATCH)
TIMED = {*calls.WHOLES, *calls.PARTS, *BATCHES}


@oracle.needs_compressai
def test_a_row_for_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small run prints each call; the JSON file has its median, and the page its tables."""
    # a process of its own takes seconds to start
    monkeypatch.setattr(measure, "alone", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    files = [f"--json={tmp_path / 'a.json'}", f"--markdown={tmp_path / 'a.md'}"]
    assert benchmark.main(["--quick", "--models", "lite-q4,nothing", "--sizes", "64", *files]) == 0
    printed = capsys.readouterr().out
    missing = [name for name in TIMED if f"\n| {name} |" not in printed]
    assert not missing, f"no row for {missing}"

    record = json.loads((tmp_path / "a.json").read_text())
    (setting,) = record["settings"]
    assert setting["seconds"].keys() >= TIMED, f"no median of {TIMED - setting['seconds'].keys()}"
    assert all(seconds > 0 for seconds in setting["seconds"].values()), f"{setting['seconds']}"
    assert f"torch {metadata.version('torch')}," in record["machine"], record["machine"]
    assert list(record["not_run"]) == ["nothing"], f"a model that isn't there: {record['not_run']}"
    page = (tmp_path / "a.md").read_text()
    assert "## Against CompressAI and the transforms\n\n| model | size |" in page, "the page has no ratios"


def test_a_process_of_its_own() -> None:
    """What runs alone runs in another process."""
    assert measure.alone(os.getpid) != os.getpid(), "it ran here"


def test_seeded_models_are_sparse(tmp_path: Path) -> None:
    """Seeded weights give the rate of a trained model, as many zeros, and hardly an escape."""
    model = seeded.make(48, 160, tmp_path / "a.safetensors")
    encoded = encode_latents(model, seeded.clouds(192, 192, seed=1))
    bpp = 8 * len(encoded.data) / 192**2
    assert 0.7 < bpp < 1.3, f"{bpp} bpp"
    zeros, escapes = measure.shares(model, encoded).values()
    assert 0.4 < zeros < 0.9, f"{zeros:.0%} zeros"
    assert escapes < 0.003, f"{escapes:.2%} escapes"


def test_a_size_has_the_content_of_the_others() -> None:
    """A smaller picture is cut out, a larger one is mirrored."""
    picture = seeded.clouds(64, 96)
    large = seeded.sized(picture, 160, 50)
    assert large.shape == (160, 50, 3), f"{large.shape}"
    assert (large[:64] == picture[:, :50]).all(), "it isn't cut out"
    assert (large[64:128] == picture[::-1, :50]).all(), "it isn't mirrored"


def test_calls_take_turns() -> None:
    """Each round makes every call once, after a round that isn't timed."""
    made: list[str] = []
    times = take_turns({name: partial(made.append, name) for name in "abc"}, 3)
    assert "".join(made) == "abc" * 4, f"the order was {made}"
    assert [len(row) for row in times.values()] == [3] * 3, f"{times}"


@pytest.mark.parametrize(("seconds", "mark"), [(1.7, "✓"), (1.9, "✗")])
def test_targets(seconds: float, mark: str) -> None:
    """A target is judged where its place was measured; a missed one is marked."""
    results = []
    for (name, height, width), factor in ((KODAK, 1.5), (LARGE, seconds)):
        times = dict.fromkeys((calls.ENCODE, calls.DECODE), factor * height * width)
        results.append(Result(name, height, width, 1, {}, times, {}, {}))
    _, _, *rows = pages.targets(results).splitlines()
    assert [row.split()[-2] for row in rows] == [mark] * 2, f"{rows}"
