"""The commands of `mbtref`. Each is a function of its parsed arguments and returns the exit status.

Each imports its own modules: PyTorch takes seconds to start, and many commands don't need it.
"""

import argparse
import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tqdm import tqdm

from mbtref import bitstream
from mbtref.errors import BitstreamError, Kind
from mbtref.files import write_whole
from mbtref.modelfile import name_of
from mbtref.suite.folders import home, project_folder
from mbtref.suite.kodak import PIXELS, folder, pictures
from mbtref.workbench import modelfiles, picturefiles, tasks
from mbtref.workbench.inputs import STDOUT, Pair, find_pictures, read_bytes
from mbtref.workbench.modelfiles import ModelFile
from mbtref.workbench.names import PAGE, ZOO
from mbtref.workbench.tasks import How

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mbtref.workbench.engine import Engine
    from mbtref.workbench.records import Record
    from mbtref.workbench.results import Results


def find_model(fingerprint: bytes) -> ModelFile | None:
    """The model of a stream if it is embedded, or a zoo model that was used before; otherwise None."""
    from mbtref.workbench import zoo

    name = name_of(fingerprint)
    return modelfiles.of_package(name) if name else zoo.find(fingerprint)


def encode(args: argparse.Namespace) -> int:
    """mbtref encode"""
    return code(args, tasks.encode, lambda data: args.model)


def decode(args: argparse.Namespace) -> int:
    """mbtref decode"""
    find = functools.cache(find_model)

    def model_of(data: bytes) -> ModelFile:
        fingerprint = bitstream.unpack(data).fingerprint
        model: ModelFile | None = args.model or find(fingerprint)
        if model is None:
            reason = f"made with model {fingerprint.hex()}, which isn't embedded; name its file"
            raise BitstreamError(Kind.UNKNOWN_MODEL, bitstream.FINGERPRINT_AT, reason)
        return model

    return code(args, tasks.decode, model_of)


def code(
    args: argparse.Namespace,
    work: Callable[[ModelFile, bytes, Pair, How], str],
    model_of: Callable[[bytes], ModelFile],
) -> int:
    """Encodes or decodes `args.pairs`, and prints a line about each. Of many, a bad one is named and left out.

    work: `tasks.encode` or `tasks.decode`. model_of: the model for the bytes of a source; it may refuse them.
    """
    from mbtref.workbench import engine

    if not args.many:
        (pair,) = args.pairs
        data = read_bytes(pair.source)
        try:
            line = work(model_of(data), data, pair, How(args.reproducible, args.device, shown=True))
        except BitstreamError as error:
            print(f"mbtref: {pair.source}: {error}", file=sys.stderr)
            return 1
        print(line, file=sys.stderr if pair.target == STDOUT else sys.stdout)
        return 0
    args.pairs[0].target.parent.mkdir(parents=True, exist_ok=True)
    total, left_out, how = len(args.pairs), 0, How(args.reproducible, args.device)
    with (
        engine.on_machine(min(args.jobs, total)) as place,
        tqdm(total=total, unit="file", leave=False, disable=None) as bar,
    ):

        def start(pair: Pair) -> "Future[str]":
            data = read_bytes(pair.source)
            return place.submit(work, model_of(data), data, pair, how)

        for pair, outcome in engine.run(place, args.pairs, start):
            bar.update()
            if isinstance(outcome, str):
                bar.write(outcome)
            else:
                left_out += 1
                bar.write(f"left out {pair.source.name}: {outcome}", file=sys.stderr)
    return 1 if left_out else 0


def inspect(args: argparse.Namespace) -> int:
    """mbtref inspect"""
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # compiled loops take longer to start than z takes to read
    status = 0
    for path in args.streams:
        try:
            lines = inspected(path, args.model)
        except (BitstreamError, OSError) as error:
            print(f"mbtref: {path}: {error}", file=sys.stderr)
            status = 1
        else:
            print("\n".join(lines))
    return status


def inspected(path: Path, known: ModelFile | None) -> list[str]:
    """Lines about a stream. known: its model; None if it is to be found.

    Raises BitstreamError and OSError; ValueError for a bad model file.
    """
    data = read_bytes(path)
    stream = bitstream.unpack(data)
    model = known or find_model(stream.fingerprint)
    pixels = stream.height * stream.width
    lines = [
        f"stream       {path}",
        f"format       .mbt version {bitstream.VERSION}, checksum right",
        f"model        {model.name if model else 'unknown'}, fingerprint {stream.fingerprint.hex()}",
        f"picture      {stream.width}×{stream.height} pixels",
        f"file         {len(data)} bytes, {8 * len(data) / pixels:.4f} bpp",
        f"  header     {bitstream.HEADER_BYTES} bytes",
    ]
    if model:
        hyper = bytes_of_z(stream, model)
        lines.append(f"  z          {hyper} bytes, the coder's state included")
        lines.append(f"  y          {len(stream.payload) - hyper} bytes")
    else:
        lines.append(f"  payload    {len(stream.payload)} bytes")
    return lines


def bytes_of_z(stream: bitstream.Stream, model: ModelFile) -> int:
    """The bytes of a payload that are read when the last z is known. No network runs, so it needs no PyTorch.

    Raises BitstreamError, also if the stream is another model's; ValueError or OSError for a bad model file.
    """
    from mbtref import rans, tables

    if stream.fingerprint != model.fingerprint:
        reason = f"made with model {stream.fingerprint.hex()}; {model.name} is {model.fingerprint.hex()}"
        raise BitstreamError(Kind.UNKNOWN_MODEL, bitstream.FINGERPRINT_AT, reason)
    channels = model.z_tables()
    decoder = rans.Decoder(stream.payload, bitstream.HEADER_BYTES)
    decoder.pop(tables.z_indexes((*stream.z_size, len(channels))), channels)
    return decoder.offset - bitstream.HEADER_BYTES


class Measurement(NamedTuple):
    """What `mbtref eval` does once for each model and picture."""

    place: int
    """Its number in the order of asking."""
    model: ModelFile
    path: Path


def run_evaluation(args: argparse.Namespace) -> int:
    """mbtref eval"""
    from mbtref.workbench import engine, results
    from mbtref.workbench.records import Record, table

    paths = find_pictures(args.pictures) if args.pictures else pictures()
    asked = [Measurement(i, *one) for i, one in enumerate(itertools.product(args.model, paths))]
    jobs = min(args.jobs, len(asked))
    unreadable: set[Path] = set()
    left_out = 0
    with (
        engine.cluster(args.cluster) if args.cluster else engine.on_machine(jobs) as place,
        results.Results(args.output, results.read(args.output) if args.resume else []) as found,
        tqdm(total=len(asked), unit="picture", leave=False, disable=None) as bar,
    ):
        rest = without(asked, unreadable, bar)
        for one, outcome in engine.run(place, rest, starter(place, found, unreadable, args.device)):
            bar.set_description(one.model.name, refresh=False)
            bar.update()
            if isinstance(outcome, Record):
                found.add(one.place, outcome)
            else:
                left_out += 1
                where = "" if one.path in unreadable else f" at {one.model.name}"
                bar.write(f"left out {one.path.name}{where}: {outcome}", file=sys.stderr)
    records = found.asked()
    if not records:
        return 1
    print("\n".join(table(records)))
    return 1 if warn_of_unequal(records) or left_out else 0


def without(asked: Sequence[Measurement], unreadable: set[Path], bar: "tqdm[NoReturn]") -> Iterator[Measurement]:
    """The measurements, one by one, but for those whose picture turned out to be unreadable by then."""
    for one in asked:
        if one.path in unreadable:
            bar.update()
        else:
            yield one


def starter(
    place: "Engine", found: "Results", unreadable: set[Path], device: str
) -> Callable[[Measurement], "Future[Record]"]:
    """The function that starts a measurement. It adds to `unreadable` a picture that can't be read."""
    from mbtref.workbench import engine

    share = functools.lru_cache(1)(place.share)  # the measurements go model by model

    def start(one: Measurement) -> "Future[Record]":
        try:
            picture = picturefiles.read(one.path)
        except (ValueError, OSError):
            unreadable.add(one.path)
            raise
        known = found.known(picturefiles.sha256(picture), one.model.fingerprint.hex())
        if known:
            return engine.done(replace(known, image=one.path.name))
        return place.submit(tasks.evaluate, share(one.model), picture, one.path.name, device)

    return start


def warn_of_unequal(records: Sequence["Record"]) -> bool:
    """Whether any decoded latents differ from the encoder's. Prints a line that names the pictures and models."""
    unequal = [f"{r.image} at {r.model}" for r in records if not r.symbols_equal]
    if unequal:
        print(f"decoded latents differ from the encoder's: {', '.join(unequal)}", file=sys.stderr)
    return bool(unequal)


def make_report(args: argparse.Namespace) -> int:
    """mbtref report"""
    paths = find_pictures(args.pictures)
    from mbtref.workbench import page

    models = [model.load() for model in args.model]
    pictures: list[page.Picture] = []
    left_out = []
    with tqdm(total=len(paths) * len(models), unit="picture", leave=False, disable=None) as bar:
        for path in paths:
            bar.set_description(path.name)
            room = sum(picture.size for picture in pictures) < args.limit * 10**6
            try:
                pictures.append(page.measure(path, models, room, bar.update))
            except (ValueError, OSError, BitstreamError) as error:
                left_out.append(f"{path.name}: {error}")
                bar.write(f"left out {left_out[-1]}", file=sys.stderr)
    if not pictures:
        return 1
    content = page.page(pictures, left_out, models, args.curves or page.CURVES, args.command).encode()
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / PAGE
    write_whole(path, content)
    records = [record for picture in pictures for record in picture.records]
    print(f"{path}: pictures {len(pictures)}, models {len(models)}, {len(content) / 10**6:.1f} MB")
    return 1 if warn_of_unequal(records) or left_out else 0


def kodak_fetch(args: argparse.Namespace) -> int:
    """mbtref kodak fetch"""
    from mbtref.workbench import kodak

    target = args.to or folder()
    came = kodak.fetch(target, args.url)
    print(f"{came} pictures fetched, all {len(PIXELS)} are in {target}")
    return 0


def kodak_check(args: argparse.Namespace) -> int:
    """mbtref kodak check"""
    print(f"{len(pictures())} pictures in {folder()}, all pixels right")
    return 0


def zoo_list(args: argparse.Namespace) -> int:
    """mbtref zoo list"""
    from mbtref.workbench import zoo

    print(f"{'name':<14} {'published file':<36} {'fetched':<11} ready")
    for name in ZOO:
        published = zoo.entry(name).file
        checkpoint_there = "checkpoint" if (zoo.folder() / published).is_file() else "-"
        model_there = "model file" if zoo.model_file(name).is_file() else "-"
        print(f"{name:<14} {published:<36} {checkpoint_there:<11} {model_there}")
    print(f"the files are kept in {zoo.folder()}")
    return 0


def zoo_fetch(args: argparse.Namespace) -> int:
    """mbtref zoo fetch"""
    from mbtref.workbench import zoo

    for name in args.names:
        zoo.fetch(name, args.url)
        model = zoo.load(name)
        networks = model.networks
        print(f"{name}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


def notebook_check(args: argparse.Namespace) -> int:
    """mbtref notebook-check"""
    from mbtref.workbench import notebook

    figures = notebook.check(args.weights_from)
    if args.kodak:
        figures += notebook.check_kodak(args.weights_from)
    print("\n".join(notebook.table(figures)))
    run = [figure for figure in figures if figure.found is not None]
    wrong = [figure for figure in run if not figure.right]
    print(f"{len(run) - len(wrong)} right, {len(wrong)} wrong, {len(figures) - len(run)} not run")
    for line in notebook.advice(figures, args.weights_from):
        print(line)
    if not run:
        print("mbtref: nothing was checked", file=sys.stderr)
    return 1 if wrong or not run else 0


def import_checkpoint(args: argparse.Namespace) -> int:
    """mbtref import"""

    from mbtref.making import checkpoint
    from mbtref.making.complete import export

    networks, known, _ = checkpoint.read(args.checkpoint)
    metadata = {key: known[key] for key in ("quality", "lambda") if key in known}
    model = export(networks, args.output, metadata)
    print(f"{args.output}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


def export_models(args: argparse.Namespace) -> int:
    """mbtref export"""
    from mbtref.workbench import export

    for file in args.model:
        for path in export.write(file.load(), args.output):
            print(path)
    return 0


def make_tables(args: argparse.Namespace) -> int:
    """mbtref tables"""
    from mbtref import tables
    from mbtref.making import modelfile, proven

    write_whole(args.output, modelfile.pack(proven.gaussian_arrays(), {}))
    print(f"{args.output}: {tables.SCALES} tables")
    return 0


def vectors_generate(args: argparse.Namespace) -> int:
    """mbtref vectors generate"""
    from mbtref.suite.generate import command
    from mbtref.suite.vectors import FOLDER

    command.generate(args.to or FOLDER, args.only)
    return 0


def vectors_check(args: argparse.Namespace) -> int:
    """mbtref vectors check"""
    from mbtref.suite.generate import command

    return 1 if command.check(with_kodak=not args.without_kodak) else 0


def vectors_measure(args: argparse.Namespace) -> int:
    """mbtref vectors measure"""
    from mbtref.suite.generate import command

    return 0 if command.measure() else 1


def run_conformance(args: argparse.Namespace) -> int:
    """mbtref conformance"""
    import pytest

    return int(pytest.main([str(project_folder("conformance")), *args.options]))


def list_requirements(args: argparse.Namespace) -> int:
    """mbtref requirements"""
    from mbtref.suite.requirements import REQUIREMENTS, page

    write_whole(args.output, page().encode())
    print(f"{args.output}: {len(REQUIREMENTS)} requirements")
    return 0


def try_machines(args: argparse.Namespace) -> int:
    """mbtref machines"""
    from mbtref.suite.reports import machines

    rows = list(machines.rows(home() / "machines"))
    write_whole(args.output, machines.page(rows).encode())
    for row in rows:
        print(" | ".join(row))
    return 0 if machines.agree(rows) else 1


def make_matrix(args: argparse.Namespace) -> int:
    """mbtref matrix"""
    from mbtref.suite.reports import matrix

    shown = matrix.matrix(args.reports)
    if args.output:
        write_whole(args.output, matrix.page(shown).encode())
    if args.markdown:
        write_whole(args.markdown, matrix.document(shown).encode())
    print(matrix.markdown(shown), end="")
    return 0


def make_badge(args: argparse.Namespace) -> int:
    """mbtref badge"""
    from mbtref.suite.reports import badge, levels

    run = levels.read(args.report)
    write_whole(args.output, badge.svg(run).encode())
    print(levels.table(run), end="")
    return 0


def run_comparison(args: argparse.Namespace) -> int:
    """mbtref compare"""
    from mbtref.workbench import compare

    first, second = (compare.read(source, args.rate) for source in (args.first, args.second))
    print("\n".join(compare.table(first, second)))
    return 0
