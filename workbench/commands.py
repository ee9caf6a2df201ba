"""The commands of `mbtref`. Each is a function of its parsed arguments and returns the exit status.

Each imports its own modules: PyTorch takes seconds to start, and many commands don't need it.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from mbtref import bitstream
from mbtref.conformance.kodak import PIXELS, folder, pictures
from mbtref.errors import BitstreamError
from mbtref.files import home, write_whole

if TYPE_CHECKING:
    from mbtref.weights import Model
    from mbtref.workbench.evaluate import Record


def find_model(fingerprint: bytes) -> "Model | None":
    """The model of a stream if it is embedded, or a zoo model that was used before; otherwise None."""
    from mbtref import weights
    from mbtref.embedded import name_of
    from mbtref.workbench import zoo

    name = name_of(fingerprint)
    return weights.load(name) if name else zoo.find(fingerprint)


def encode(args: argparse.Namespace) -> int:
    """mbtref encode"""
    from mbtref import codec, image

    picture = image.read(args.image)
    data = codec.encode(args.model.made_reproducible() if args.reproducible else args.model, picture)
    write_whole(args.output, data)
    height, width, _ = picture.shape
    print(f"{args.output}: {width}×{height}, {len(data)} bytes, {8 * len(data) / (height * width):.4f} bpp")
    return 0


def decode(args: argparse.Namespace) -> int:
    """mbtref decode"""
    from mbtref import codec, image, weights

    data = args.stream.read_bytes()
    stream = bitstream.unpack(data)
    model = args.model or find_model(stream.fingerprint) or weights.load_for(stream)
    picture = codec.decode(model.made_reproducible() if args.reproducible else model, data)
    image.write_png(args.output, picture)
    height, width, _ = picture.shape
    print(f"{args.output}: {width}×{height}, decoded with {model.name}")
    return 0


def inspect(args: argparse.Namespace) -> int:
    """mbtref inspect"""
    from mbtref import codec, rans

    data = args.stream.read_bytes()
    stream = bitstream.unpack(data)
    model = args.model or find_model(stream.fingerprint)
    pixels = stream.height * stream.width
    lines = [
        f"format       .mbt version {bitstream.VERSION}, checksum right",
        f"model        {model.name if model else 'unknown'}, fingerprint {stream.fingerprint.hex()}",
        f"picture      {stream.width}×{stream.height} pixels",
        f"file         {len(data)} bytes, {8 * len(data) / pixels:.4f} bpp",
        f"  header     {bitstream.HEADER_BYTES} bytes",
    ]
    if model:
        stream = codec.open_stream(model, data)
        decoder = rans.Decoder(stream.payload, bitstream.HEADER_BYTES)
        decoder.pop(codec.z_indexes((*stream.z_size, model.networks.N)), model.tables)
        hyper = decoder.offset - bitstream.HEADER_BYTES
        lines.append(f"  z          {hyper} bytes, the coder's state included")
        lines.append(f"  y          {len(stream.payload) - hyper} bytes")
    else:
        lines.append(f"  payload    {len(stream.payload)} bytes")
    print("\n".join(lines))
    return 0


def run_evaluation(args: argparse.Namespace) -> int:
    """mbtref eval"""
    from mbtref import image
    from mbtref.workbench.evaluate import evaluate, find_pictures, table

    paths = find_pictures(args.pictures) if args.pictures else pictures()
    known = {(r.pixels, r.fingerprint): r for r in earlier_records(args.output, args.model)} if args.resume else {}
    records: list[Record] = []
    broken: set[Path] = set()
    total = len(paths) * len(args.model)
    with tqdm(total=total, unit="picture", leave=False, disable=None) as bar:
        for model, path in itertools.product(args.model, paths):
            bar.set_description(model.name)
            if path not in broken:
                try:
                    picture = image.read(path)
                    done = known.pop((image.sha256(picture), model.fingerprint.hex()), None)
                    record = replace(done, image=path.name) if done else evaluate(model, picture, path.name)
                except (ValueError, OSError, BitstreamError) as error:
                    broken.add(path)
                    bar.write(f"left out {path.name} at {model.name}: {error}", file=sys.stderr)
                else:
                    records.append(record)
                    write_records(args.output, [*records, *known.values()])
            bar.update()
    if not records:
        return 1
    if known:
        write_records(args.output, records)
        names = ", ".join(sorted({record.image for record in known.values()}))
        print(f"removed from {args.output}, since they weren't asked for: {names}", file=sys.stderr)
    print("\n".join(table(records)))
    return 1 if warn_of_unequal(records) or broken else 0


def earlier_records(path: Path, models: Sequence["Model"]) -> list["Record"]:
    """The records of an interrupted evaluation at these models; none if there is no file.

    Raises ValueError if the file holds anything else.
    """
    from mbtref.workbench.evaluate import from_json

    if not path.exists():
        return []
    try:
        records = from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a result of this version of 'mbtref eval', can't be resumed") from error
    asked = {model.fingerprint.hex() for model in models}
    if others := sorted({record.model for record in records if record.fingerprint not in asked}):
        raise ValueError(f"{path}: has results of {', '.join(others)} too; name all its models, or another file")
    return records


def write_records(path: Path | None, records: Sequence["Record"]) -> None:
    """Writes the records known so far. Without a path it does nothing."""
    from mbtref.workbench.evaluate import as_json

    if path:
        write_whole(path, (json.dumps(as_json(records), indent=1, allow_nan=False) + "\n").encode())


def warn_of_unequal(records: Sequence["Record"]) -> bool:
    """Whether any decoded latents differ from the encoder's. Prints a line that names the pictures and models."""
    unequal = [f"{r.image} at {r.model}" for r in records if not r.symbols_equal]
    if unequal:
        print(f"decoded latents differ from the encoder's: {', '.join(unequal)}", file=sys.stderr)
    return bool(unequal)


def make_report(args: argparse.Namespace) -> int:
    """mbtref report"""
    from mbtref.workbench import page
    from mbtref.workbench.evaluate import find_pictures

    paths = find_pictures(args.pictures)
    pictures: list[page.Picture] = []
    left_out = []
    with tqdm(total=len(paths) * len(args.model), unit="picture", leave=False, disable=None) as bar:
        for path in paths:
            bar.set_description(path.name)
            room = sum(picture.size for picture in pictures) < args.limit * 10**6
            try:
                pictures.append(page.measure(path, args.model, room, bar.update))
            except (ValueError, OSError, BitstreamError) as error:
                left_out.append(f"{path.name}: {error}")
                bar.write(f"left out {left_out[-1]}", file=sys.stderr)
    if not pictures:
        return 1
    content = page.page(pictures, left_out, args.model, args.curves or page.CURVES, args.command).encode()
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "index.html"
    write_whole(path, content)
    records = [record for picture in pictures for record in picture.records]
    print(f"{path}: pictures {len(pictures)}, models {len(args.model)}, {len(content) / 10**6:.1f} MB")
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
    from mbtref.workbench.names import ZOO

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
    return 1 if wrong else 0


def import_checkpoint(args: argparse.Namespace) -> int:
    """mbtref import"""
    from mbtref import weights
    from mbtref.workbench import checkpoint

    networks, known, _ = checkpoint.read(args.checkpoint)
    metadata = {key: known[key] for key in ("quality", "lambda") if key in known}
    model = weights.export(networks, args.output, metadata)
    print(f"{args.output}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


def make_tables(args: argparse.Namespace) -> int:
    """mbtref tables"""
    from mbtref import modelfile, proven, tables

    write_whole(args.output, modelfile.pack(proven.gaussian_arrays(), {}))
    print(f"{args.output}: {tables.SCALES} tables")
    return 0


def vectors_generate(args: argparse.Namespace) -> int:
    """mbtref vectors generate"""
    from mbtref.conformance.generate import command
    from mbtref.conformance.vectors import FOLDER

    command.generate(args.to or FOLDER, args.only)
    return 0


def vectors_check(args: argparse.Namespace) -> int:
    """mbtref vectors check"""
    from mbtref.conformance.generate import command

    return 1 if command.check(with_kodak=not args.without_kodak) else 0


def vectors_measure(args: argparse.Namespace) -> int:
    """mbtref vectors measure"""
    from mbtref.conformance.generate import command

    return 0 if command.measure() else 1


def run_conformance(args: argparse.Namespace) -> int:
    """mbtref conformance"""
    import pytest

    from mbtref import conformance

    return int(pytest.main([*map(str, conformance.__path__), *args.options]))


def list_requirements(args: argparse.Namespace) -> int:
    """mbtref requirements"""
    from mbtref.conformance.requirements import REQUIREMENTS, page

    write_whole(args.output, page().encode())
    print(f"{args.output}: {len(REQUIREMENTS)} requirements")
    return 0


def try_machines(args: argparse.Namespace) -> int:
    """mbtref machines"""
    from mbtref.conformance import machines

    rows = list(machines.rows(home() / "machines"))
    write_whole(args.output, machines.page(rows).encode())
    for row in rows:
        print(" | ".join(row))
    return 0 if machines.agree(rows) else 1


def make_matrix(args: argparse.Namespace) -> int:
    """mbtref matrix"""
    from mbtref.conformance import matrix

    shown = matrix.matrix(args.reports)
    if args.output:
        write_whole(args.output, matrix.page(shown).encode())
    if args.markdown:
        write_whole(args.markdown, matrix.document(shown).encode())
    print(matrix.markdown(shown), end="")
    return 0


def run_comparison(args: argparse.Namespace) -> int:
    """mbtref compare"""
    from mbtref.workbench import compare

    first, second = (compare.read(source, args.rate) for source in (args.first, args.second))
    print("\n".join(compare.table(first, second)))
    return 0
