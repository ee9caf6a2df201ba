"""Where the work runs: in this process, in several processes of this machine, or on a Dask cluster.

All three are one `Engine`, and `run` is the one way through the work. What surprises:

- Processes are spawned, never forked: a fork of a process in which PyTorch has computed would hang. They share the
  cores, since the threads of two processes on one core slow each other down many times over.
- Convolutions of several threads may sum in another order. So the last digits of a record's floats depend on the
  number of threads of a process. On a cluster it is one.
- A cluster's machines don't see the files of this one. So pixels and models travel: a model once, as a task of its
  own, from which the workers copy it. If the worker that holds it ends, the scheduler makes it again.
- Pictures of one size are coded together: a step of the networks takes hardly longer for several small ones. On a
  cluster each is alone, since it may end its worker, and then it should take no other one with it.
- A worker of a cluster may end at any time; its tasks then run on another one. A process of this machine ends
  early only when it is killed, often for lack of memory, so the command ends too.
"""

import copy
import functools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import mbtref
from mbtref.bitstream import PIXELS_MAX, STRIDE_Z
from mbtref.errors import BitstreamError
from mbtref.suite.processors import cores
from mbtref.workbench.errors import EngineError
from mbtref.workbench.modelfiles import ModelFile

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

REFUSALS = (BitstreamError, ValueError, OSError, MemoryError)
"""Errors that belong to one picture or stream. The others can be done all the same."""
CONNECT_SECONDS = 5
"""Time after which a cluster that doesn't answer counts as unreachable."""
MOST = 8
"""Pictures that are coded together."""
PIXELS = {"cpu": 4 * 768 * 512, "cuda": PIXELS_MAX}
"""Pixels that are coded together on a kind of device. On a GPU they are those of the largest picture, for which
its memory must do anyway. On a CPU 8 pictures of 256×256 take 0.6 of the time that they take one by one, 4 of
768×512 take 0.9, 8 take no less, and 2 of 1024×1024 take as long (on one thread)."""
TASKS = 4
"""Tasks of each process, at least, before pictures are coded together."""
WAITING = 2
"""Tasks that may be filled at a time: what waits for others of its size is kept in memory."""
ADVICE = "its workers need the same version of mbtref[codec] as this machine"


class Piece(NamedTuple):
    """Work that can be done together with other such."""

    key: Hashable
    """That of all pieces in a task."""
    most: int
    """How many pieces a task may have."""
    given: Any
    """What this piece needs, beside the key."""


def together(size: tuple[int, int], device: str) -> int:
    """How many pictures are coded together at most. size: their height and width. device: its name."""
    pixels = math.prod(-(-side // STRIDE_Z) * STRIDE_Z for side in size)
    return max(1, min(MOST, PIXELS[device.partition(":")[0]] // pixels))


class Engine(NamedTuple):
    """A place where work runs."""

    submit: Callable[..., "Future[Any]"]
    """Hands out one task, a function and its arguments. An error is the future's, or is raised at once."""
    ahead: Callable[[], int]
    """How many tasks to hand out before the first of them is done."""
    most: int = 1
    """How many pieces a task may have here."""
    share: Callable[[ModelFile], Any] = lambda model: model
    """Puts a model where tasks can use it. The result stands for a `ModelFile` argument."""
    refusals: tuple[type[Exception], ...] = REFUSALS
    """Errors that belong to one task alone."""
    losses: tuple[type[Exception], ...] = ()
    """Errors that say that the place is gone, even if they are refusals by their class."""


def run(
    engine: Engine,
    work: Iterable[T],
    prepare: Callable[[T], Piece | R],
    start: Callable[[Any, list[Any]], "Future[list[R | Exception]]"],
) -> Iterator[tuple[T, R | Exception]]:
    """Does all work, and yields each part of it with its result or its refusal as soon as it is known.

    prepare: gives a piece, or the result if it is known. A refusal may come from it, too; other errors are raised.
    start: submits a task to the engine, of a key and of what its pieces need. Its result is the outcome of each.
    """
    groups: dict[Hashable, list[tuple[T, Piece]]] = {}
    pending: dict[Future[list[R | Exception]], list[T]] = {}

    def filled(key: Hashable) -> float:
        return len(groups[key]) / min(groups[key][0][1].most, engine.most)

    def submit(key: Hashable) -> None:
        parts, pieces = zip(*groups.pop(key), strict=True)
        pending[start(key, [piece.given for piece in pieces])] = list(parts)

    for part in work:
        while len(pending) >= engine.ahead():
            yield from _finished(engine, pending)
        try:
            piece = prepare(part)
        except engine.refusals as error:
            yield part, error
            continue
        if not isinstance(piece, Piece):
            yield part, piece
            continue
        groups.setdefault(piece.key, []).append((part, piece))
        fullest = max(groups, key=filled)
        if filled(fullest) >= 1 or sum(map(filled, groups)) >= WAITING:
            submit(fullest)
    for key in [*groups]:
        while len(pending) >= engine.ahead():
            yield from _finished(engine, pending)
        submit(key)
    while pending:
        yield from _finished(engine, pending)


def _finished(
    engine: Engine, pending: dict["Future[list[R | Exception]]", list[T]]
) -> Iterator[tuple[T, R | Exception]]:
    """Waits until a task is done. Takes the tasks that are done out of `pending`."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        parts = pending.pop(future)
        try:
            outcomes = future.result()
        except engine.losses:
            raise
        except engine.refusals as error:
            outcomes = [error] * len(parts)
        yield from zip(parts, outcomes, strict=True)


def done(result: R) -> "Future[R]":
    """The future of a result that is there already."""
    future: Future[R] = Future()
    future.set_result(result)
    return future


def on_machine(jobs: int, count: int) -> AbstractContextManager[Engine]:
    """An engine of this machine: this process, which does each task at once, or as many processes as jobs.

    count: of the pieces of work. If there are enough, each process has several tasks, so that all end together.
    """
    if jobs > 1 and count > 1:
        return processes(min(jobs, count), max(1, count // (TASKS * jobs)))
    return nullcontext(Engine(lambda work, *args: done(work(*args)), lambda: 1, MOST))


@contextmanager
def processes(jobs: int, most: int = 1) -> Iterator[Engine]:
    """Several processes of this machine, which share its cores: each has cores() // jobs threads, at least one.

    Raises EngineError from the block if one of them is ended from outside.
    """
    threads = max(1, cores() // jobs)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (threads,))
    try:
        yield Engine(pool.submit, lambda: 2 * jobs, most)
    except BrokenProcessPool as error:
        reason = "one of the processes was ended from outside, perhaps for lack of memory; try fewer --jobs"
        raise EngineError(reason) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    """Sets up a new process, which ends with the one that began it, and without a word if it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[Engine]:
    """An existing Dask cluster. address: of its scheduler, such as tcp://host:8786.

    Raises EngineError if it can't be reached, if it goes, or if a worker has another version of mbtref.
    """
    import logging

    import dask
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it shows tracebacks of what an EngineError says in a line
    client = _client(address)
    submit = functools.partial(client.get_executor(pure=False).submit, _on_worker, mbtref.__version__)

    def share(model: ModelFile) -> Any:
        return client.submit(copy.copy, model.carried(), pure=False)  # the scheduler can make it again

    def ahead() -> int:
        try:
            threads: Mapping[str, int] = client.nthreads()
        except OSError as error:  # no scheduler: an OSError elsewhere may be that of a picture
            raise CommClosedError from error
        return 2 * max(1, sum(threads.values()))

    try:
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):  # pictures are large
            yield Engine(submit, ahead, 1, share, (*REFUSALS, KilledWorker), losses=(CommClosedError,))
    except (CancelledError, CommClosedError) as error:
        raise EngineError(f"the cluster at {address} has gone") from error
    except ModuleNotFoundError as error:
        raise EngineError(f"a worker at {address} lacks {error.name}: {ADVICE}") from error
    finally:
        client.close()
        log.setLevel(level)


def _client(address: str) -> "Client":
    """A connection to a scheduler. Raises EngineError if none answers within CONNECT_SECONDS."""
    import asyncio

    from distributed import Client
    from distributed.comm.core import connect

    async def look() -> None:
        connection = await asyncio.wait_for(connect(address), CONNECT_SECONDS)
        await connection.close()

    try:
        asyncio.run(look())  # a client waits forever for anything but a scheduler
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"no Dask scheduler answers at {address}") from error


def _on_worker(theirs: str, work: Callable[..., R], *args: Any) -> R:
    """Does a task in a worker of a cluster, in one thread, since a worker has as many tasks at a time as cores.

    theirs: the version of mbtref on the other side. Raises EngineError if this worker has another one.
    """
    import torch

    if theirs != mbtref.__version__:
        raise EngineError(f"a worker has mbtref {mbtref.__version__}, not {theirs}: {ADVICE}")
    torch.set_num_threads(1)
    return work(*args)
