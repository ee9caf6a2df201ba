"""Many pictures at once: each has its file, a bad one is named, and nothing depends on where the work runs."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import mbtref
from mbtref import bitstream, codec
from mbtref.workbench import engine, picturefiles
from mbtref.workbench.records import Record
from mbtref.workbench.results import Results
from tests.support import ROOT, Terminal, picture, records, write_png

MODELS = "lite-q3,lite-q4"
MANY = 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of MANY little pictures, no two the same."""
    made = tmp_path / "pictures"
    made.mkdir()
    for number in range(MANY):
        write_png(made / f"{number}.png", np.roll(picture(64, 64), 5 * number, axis=1))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_there_and_back(folder: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Encode and decode make one file of each, the library's own; a broken one is named, and the status is 1."""
    (folder / "4.png").write_bytes(b"broken")
    streams, shown = tmp_path / "streams", tmp_path / "deep" / "shown"
    terminal.fails(1, "left out 4.png", "encode", folder, "-o", streams, "--model", "lite-q3", "--jobs", 2)
    expected = [f"{number}.mbt" for number in range(MANY) if number != 4]
    assert names(streams) == expected, f"streams are {names(streams)}"
    (streams / "2.mbt").write_bytes((streams / "2.mbt").read_bytes()[:-4])
    terminal.fails(1, "left out 2.mbt: checksum-mismatch", "decode", streams, "-o", shown, "--jobs", 2)
    assert names(shown) == [f"{n}.png" for n in range(MANY) if n not in (2, 4)], f"pictures are {names(shown)}"
    model = mbtref.load("lite-q3")
    encoded = mbtref.encode(model, picturefiles.read(folder / "0.png"))
    assert (streams / "0.mbt").read_bytes() == encoded, "other bytes than the library's"
    decoded = mbtref.decode(model, (streams / "8.mbt").read_bytes())
    assert np.array_equal(picturefiles.read(shown / "8.png"), decoded), "not the picture that the library decodes"


@pytest.mark.parametrize("most", [8, 1])
def test_files_of_one_size_go_together(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """Files of one size are coded 8 at a time, or one by one if memory lacks; a bad one is left out alone.

    Each has the library's bytes and pixels, and its line in the order of the command line.
    """
    together: list[int] = []

    def limited(code: Callable[..., list[Any]], *given: Any) -> list[Any]:
        together.append(len(given[1]))
        if len(given[1]) > most:
            raise MemoryError
        return code(*given)

    for name in ("encode_batch", "decode_batch"):
        monkeypatch.setattr(codec, name, partial(limited, getattr(codec, name)))
    model, streams, bad = mbtref.load("lite-q3"), tmp_path / "streams", "08"
    pictures = {f"{n:02}": np.roll(picture(64, 64 + 64 * (n % 3 == 0)), n, axis=1) for n in range(22)}
    for name, pixels in pictures.items():
        write_png(tmp_path / f"{name}.png", pixels)
    (tmp_path / f"{bad}.png").write_bytes((tmp_path / f"{bad}.png").read_bytes()[:-20])
    paths = [tmp_path / f"{name}.png" for name in reversed(pictures)]
    lines = terminal.ends(1, "encode", *paths, "-o", streams, "--model", "lite-q3")
    assert f"left out {bad}.png" in lines[1], f"the bad picture isn't named: {lines[1]}"
    assert [Path(line.split(":")[0]).stem for line in lines[0].splitlines()] == [
        name for name in reversed(pictures) if name != bad
    ], f"not in the order of the command line: {lines[0]}"
    del pictures[bad]
    for name, pixels in pictures.items():
        assert (streams / f"{name}.mbt").read_bytes() == mbtref.encode(model, pixels), f"{name}: other bytes"
    stream = bitstream.unpack((streams / "05.mbt").read_bytes())
    (streams / "05.mbt").write_bytes(bitstream.pack(stream._replace(payload=stream.payload[:-4])))
    found = terminal.ends(1, "decode", streams, "-o", tmp_path / "shown")
    assert "left out 05.mbt: truncated at byte" in found[1], f"the bad stream isn't named: {found[1]}"
    assert names(tmp_path / "shown") == [f"{name}.png" for name in pictures if name != "05"], "others are left out"
    for name in ("00", "07"):
        due = mbtref.decode(model, (streams / f"{name}.mbt").read_bytes())
        assert np.array_equal(picturefiles.read(tmp_path / "shown" / f"{name}.png"), due), f"{name}: other pixels"
    assert 8 in together, f"they were coded {together} at a time"


@pytest.mark.parametrize(
    ("size", "on_cpu", "on_gpu"),
    [((64, 64), 8, 8), ((256, 256), 8, 8), ((500, 700), 4, 8), ((768, 512), 4, 8), ((1024, 1024), 1, 8),
     ((3000, 4000), 1, 2), ((4320, 7680), 1, 1), ((1, 65535), 1, 8), ((4096, 8192), 1, 1)],
)  # fmt: skip
def test_how_many_go_together(size: tuple[int, int], on_cpu: int, on_gpu: int) -> None:
    """Eight small pictures or one large one, by their padded size."""
    found = [engine.together(size, device) for device in ("cpu", "cuda", "cuda:1")]
    assert found == [on_cpu, on_gpu, on_gpu], f"{size}: {found}"


def test_a_folder_is_not_searched_deeper(folder: Path, tmp_path: Path, terminal: Terminal) -> None:
    """Subfolders of an input folder are skipped, and one line says so; hidden ones aren't mentioned."""
    for name in (".hidden", "a", "b"):
        (folder / name).mkdir()
        write_png(folder / name / "x.png", picture(64, 64))
    line = terminal.fails(
        0, f"skipped subfolders {folder / 'a'}, {folder / 'b'}: ", "encode", folder, "-o", tmp_path
    )
    assert len(list(tmp_path.glob("*.mbt"))) == MANY, f"a subfolder was searched, in spite of: {line}"


@pytest.mark.parametrize("command", ["encode", "eval --model lite-q3", "report --model lite-q3"])
def test_what_is_no_picture_in_a_folder(command: str, tmp_path: Path, terminal: Terminal) -> None:
    """A pipe, links to nothing and a folder that are named as pictures are left out by name, the rest is done."""
    folder = tmp_path / "pictures"
    (folder / "folder.png").mkdir(parents=True)
    write_png(folder / "good.png", picture(64, 64))
    os.mkfifo(folder / "pipe.png")
    for name, target in (("dangling.png", "nothing"), ("loop.png", "loop.png"), ("zero.png", "/dev/zero")):
        (folder / name).symlink_to(target)
    name, *options = command.split()
    output = ("--json", tmp_path / "out.json") if name == "eval" else ("-o", tmp_path / "out")
    lines = terminal.ends(1, name, folder, *options, *output)[1].splitlines()
    left_out = [line.split(maxsplit=3)[2].rstrip(":") for line in lines if line.startswith("left out")]
    assert sorted(left_out) == [f"{name}.png" for name in ("dangling", "folder", "loop", "pipe", "zero")], lines
    assert (tmp_path / "out").is_dir() or len(records(tmp_path / "out.json")) == 1, "the good one isn't done"


def test_one_picture_into_a_folder(folder: Path, tmp_path: Path, terminal: Terminal) -> None:
    """One picture goes into a folder that is there, or whose name ends as a folder's."""
    (tmp_path / "there").mkdir()
    for out in ("there", f"new{os.sep}"):
        terminal.prints("encode", folder / "0.png", "-o", f"{tmp_path}{os.sep}{out}")
        assert names(tmp_path / out) == ["0.mbt"], f"-o {out} gives {names(tmp_path / out)}"


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes together have as many threads as there are cores."""
    import torch

    monkeypatch.setattr(engine, "cores", lambda: 6)
    with engine.processes(2) as place:
        found = place.submit(torch.get_num_threads).result()
    assert found == 3, f"2 processes on 6 cores have {found} threads each"


def without_times(path: Path) -> list[dict[str, Any]]:
    """The records of a file, without the times."""
    return [{key: value for key, value in r.items() if not key.endswith("_seconds")} for r in records(path)]


def eval_of(folder: Path, out: Path, *options: object) -> tuple[object, ...]:
    """The words of an evaluation."""
    return ("eval", folder, "--model", MODELS, "--json", out, *options)


@pytest.fixture
def alone(folder: Path, tmp_path: Path, terminal: Terminal) -> list[dict[str, Any]]:
    """The records of the folder as one process with one thread measures them."""
    terminal.prints(*eval_of(folder, tmp_path / "alone.json"))
    found = without_times(tmp_path / "alone.json")
    assert len(found) == 2 * MANY, "records are missing"
    return found


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> "After":
    """Says what to do when so many records have come."""

    add = Results.add

    def after(count: int, act: Callable[[], object]) -> None:
        def counted(self: Results, place: int, record: Record) -> None:
            add(self, place, record)
            if len(self.asked()) == count:
                act()

        monkeypatch.setattr(Results, "add", counted)

    return after


After = Callable[[int, Callable[[], object]], None]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_evaluation_goes_on(
    folder: Path, tmp_path: Path, alone: list[dict[str, Any]], after: After, monkeypatch: pytest.MonkeyPatch,
    terminal: Terminal,
) -> None:  # fmt: skip
    """Interrupted in one process and resumed in two, the records are those of one; none is measured again."""
    monkeypatch.setattr(engine, "cores", lambda: 1)  # a thread for each process, as for the records of one
    out = tmp_path / "out.json"
    after(5, interrupt)
    terminal.fails(130, "stopped", *eval_of(folder, out))
    half = records(out)
    assert len(half) == 5, f"{len(half)} of five records were kept"
    after(-1, interrupt)
    terminal.prints(*eval_of(folder, out, "--jobs", 2, "--resume"))
    assert without_times(out) == alone, "other records than in one process, or in another order"
    assert [record for record in records(out) if record in half] == half, "what was kept is measured again"


def test_a_file_that_is_older_than_msssim(tmp_path: Path, terminal: Terminal) -> None:
    """A file without MS-SSIM keeps every record; a requested one that should have it is measured again."""
    pictures, out = tmp_path / "pictures", tmp_path / "out.json"
    pictures.mkdir()
    for name, size in (("large.png", (170, 180)), ("small.png", (64, 64)), ("other.png", (170, 190))):
        write_png(pictures / name, picture(*size))
    terminal.prints(*eval_of(pictures, out))
    whole = {(r["image"], r["model"]): r for r in without_times(out)}
    content = json.loads(out.read_text())
    for row in (*content["records"], *content["means"]):
        del row["msssim"], row["msssim_bitstream"]
    out.write_text(json.dumps(content))
    (pictures / "other.png").unlink()
    terminal.prints(*eval_of(pictures, out, "--resume"))
    for (image, _), record in whole.items():
        if image == "other.png":
            record |= {"msssim": None, "msssim_bitstream": None}
    found = {(r["image"], r["model"]): r for r in without_times(out)}
    assert found == whole, "a record is lost, or isn't what was measured"


def test_a_process_that_is_ended(folder: Path, tmp_path: Path, after: After, terminal: Terminal) -> None:
    """A process that is ended from outside is one line and status 1, and what was measured is kept."""
    out = tmp_path / "out.json"

    def end_one() -> None:
        os.kill(min(child.pid or 0 for child in multiprocessing.active_children()), signal.SIGKILL)

    after(3, end_one)
    terminal.fails(1, "ended from outside", *eval_of(folder, out, "--jobs", 2))
    assert 3 <= len(records(out)) < 2 * MANY, f"{len(records(out))} records were kept"


class Cluster(NamedTuple):
    """A Dask cluster on this machine: the processes of its scheduler and of two workers, each with a thread."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: list["subprocess.Popen[bytes]"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that has just begun."""
    pytest.importorskip("distributed", reason="not run: no distributed, see the extra 'cluster'")
    where = tmp_path / "scheduler.json"
    begun = [dask("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(where))]
    try:
        while not (where.is_file() and where.read_text().endswith("}")):
            assert begun[0].poll() is None, "the scheduler has ended"
            time.sleep(0.05)
        address = json.loads(where.read_text())["address"]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        begun += [dask("worker", address, "--name", str(number), *options) for number in range(2)]
        yield Cluster(address, begun[0], begun[1:])
    finally:
        for process in reversed(begun):
            process.kill()
            process.wait()


def dask(kind: str, *options: str) -> "subprocess.Popen[bytes]":
    """Starts a part of a cluster, which finds this clone."""
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_cluster_whose_worker_is_ended(
    folder: Path, tmp_path: Path, alone: list[dict[str, Any]], cluster: Cluster, after: After, terminal: Terminal
) -> None:
    """Interrupted on a cluster and in a process, an evaluation ends on a cluster that loses one of two workers.

    The records are those of one process: all, once, in order. Then the scheduler ends, and the client notices.
    """
    from distributed import Client

    (folder / "broken.png").write_bytes(b"broken")
    out = tmp_path / "out.json"
    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        ended = []

        def end_one(at: int) -> None:
            busy = {client.scheduler_info()["workers"][where]["name"]: len(tasks)
                    for where, tasks in client.processing().items()}  # fmt: skip
            name = max(busy, key=lambda name: busy[name])
            if not busy[name]:  # they were faster: try again after the next record
                after(at + 1, partial(end_one, at + 1))
                return
            cluster.workers[int(name)].kill()
            ended.append(name)

        on_cluster = eval_of(folder, out, "--cluster", cluster.address)
        after(4, interrupt)
        terminal.ends(130, *on_cluster)
        assert len(records(out)) == 4, "not what was measured is kept"
        after(7, interrupt)
        terminal.ends(130, *eval_of(folder, out, "--resume"))
        after(MANY, partial(end_one, MANY))
        terminal.fails(1, "left out broken.png", *on_cluster, "--resume")
        assert len(ended) == 1, "no worker was ended"
        assert len(client.nthreads()) == 1, "the worker is still there"
    assert without_times(out) == alone, "other records than in one process"
    (folder / "broken.png").unlink()
    check_gone(cluster, folder, after, terminal, pause=1)


def test_a_cluster_that_goes(folder: Path, cluster: Cluster, after: After, terminal: Terminal) -> None:
    """A cluster whose scheduler ends is one line and status 1, and what was measured is kept."""
    check_gone(cluster, folder, after, terminal, pause=0)


def check_gone(cluster: Cluster, folder: Path, after: After, terminal: Terminal, pause: float) -> None:
    """Ends a cluster's scheduler while it works. pause: seconds in which a client notices."""
    out = folder.parent / "gone.json"

    def end() -> None:
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        time.sleep(pause)

    after(3, end)
    gone = f"the cluster at {cluster.address} has gone"
    terminal.fails(1, gone, *eval_of(folder, out, "--cluster", cluster.address))
    assert 3 <= len(records(out)) < 2 * MANY, f"{len(records(out))} records were kept"


def test_no_cluster(folder: Path, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that can't be reached is one line and status 1, and no file."""
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 1)
    pytest.importorskip("distributed", reason="not run: no distributed, see the extra 'cluster'")
    for nowhere in ("tcp://127.0.0.1:9", "nonsense", "foo://a:1"):
        missing = f"no Dask scheduler answers at {nowhere}"
        terminal.fails(1, missing, *eval_of(folder, tmp_path / "out.json", "--cluster", nowhere))
    assert not (tmp_path / "out.json").exists(), "a file was written"
