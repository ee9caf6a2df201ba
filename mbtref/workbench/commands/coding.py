"""Commands on pictures and streams: encode, decode, inspect."""

import argparse
import functools
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mbtref import bitstream
from mbtref.errors import BitstreamError, Kind
from mbtref.modelfile import name_of
from mbtref.workbench import arguments
from mbtref.workbench.commands import Option, command, option, shared
from mbtref.workbench.errors import enough_memory
from mbtref.workbench.inputs import STDIN, STDOUT, Pair, find_pictures, find_streams, pairs, read_bytes
from mbtref.workbench.quiet import quiet
from mbtref.workbench.terminal import say, warn

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mbtref.workbench.modelfiles import ModelFile

Seen: TypeAlias = "tuple[ModelFile, tuple[int, int]]"
"""What is seen of a file before it is coded: the model, and height and width."""
SEPARATORS = tuple(sign for sign in (os.sep, os.altsep) if sign)
"""A path that ends in one of these names a folder."""
MODEL_OF_STREAM = option(
    "--model",
    kind=arguments.one_model,
    help="a model as for encode; default: the stream's, if it is embedded or a zoo model that was used before",
)


def options(source: str, what: str, suffix: str, same: str, model: Option) -> tuple[Option, ...]:
    """The options of encode and decode. suffix: of the outputs. same: what --reproducible makes the same."""
    return (
        option("inputs", kind=arguments.or_standard(STDIN, arguments.input_path), nargs="+",
               metavar=f"{source}_OR_FOLDER", help=f"{what}; - is standard input"),
        option("-o", dest="output", metavar=f"OUT{suffix}_OR_FOLDER", required=True,
               help=f"one file, or the folder of many, each NAME{suffix}; - is standard output"),
        shared.JOBS,
        model,
        shared.WEIGHTS,
        option("--reproducible", action="store_true", help=f"the same {same} on every machine; takes longer"),
        shared.DEVICE,
    )  # fmt: skip


@command(
    "encode",
    "encode pictures",
    *options("IMAGE", "opaque pictures: PNG, JPEG, BMP, PPM, TIFF, WebP, GIF", ".mbt", "bytes", option(
        "--model", kind=arguments.one_model, default="lite-q4", help=f"{shared.A_MODEL}; default: %(default)s")),
)  # fmt: skip
def encode(args: argparse.Namespace) -> int:
    todo, many = pair_files(args, find_pictures, ".mbt", arguments.stream_file)
    (model,) = shared.model_files(args)
    from mbtref.workbench import picturefiles, tasks

    def look(data: bytes) -> Seen:
        with quiet():
            return model, picturefiles.size(data)

    return code(args, todo, many, tasks.encode, look)


@command(
    "decode",
    "decode streams to PNG pictures",
    *options("IN.mbt", "streams of 'mbtref encode'", ".png", "pixels", MODEL_OF_STREAM),
)
def decode(args: argparse.Namespace) -> int:
    todo, many = pair_files(args, find_streams, ".png", arguments.file_named(".png"))
    named, find = shared.model_files(args), functools.cache(find_model)

    def look(data: bytes) -> Seen:
        stream = bitstream.unpack(data)
        model = named[0] if named else find(stream.fingerprint)
        if model is None:
            reason = f"made with model {stream.fingerprint.hex()}, which isn't embedded; name its file"
            raise BitstreamError(Kind.UNKNOWN_MODEL, bitstream.FINGERPRINT_AT, reason)
        return model, (stream.height, stream.width)

    from mbtref.workbench import tasks

    return code(args, todo, many, tasks.decode, look)


@command(
    "inspect",
    "show the headers of streams and the sizes of their parts",
    option(
        "streams",
        kind=arguments.or_standard(STDIN, arguments.input_file),
        nargs="+",
        metavar="IN.mbt",
        help="- is standard input",
    ),
    MODEL_OF_STREAM,
    shared.WEIGHTS,
)
def inspect(args: argparse.Namespace) -> int:
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # compiled loops take longer to start than z takes to read
    status, named = 0, shared.model_files(args)
    for path in args.streams:
        try:
            lines = inspected(path, named)
        except (BitstreamError, OSError) as error:
            warn(f"mbtref: {path}: {error}")
            status = 1
        else:
            say(*lines)
    return status


def pair_files(
    args: argparse.Namespace,
    find: Callable[[Sequence[Path]], list[Path]],
    suffix: str,
    output_file: Callable[[str], Path],
) -> tuple[list[Pair], bool]:
    """The files to read and write, and whether they are many: whether -o names a folder.

    suffix: of outputs in a folder. output_file: checks the name of a single one. Raises WrongUse.
    """
    alone = len(args.inputs) == 1 and not args.inputs[0].is_dir()
    many = not alone or Path(args.output).is_dir() or args.output.endswith(SEPARATORS)
    if many and (STDIN in args.inputs or args.output == "-"):
        raise arguments.WrongUse("- stands for one file: name one input and one output, no folder")
    try:
        if many:
            todo = pairs(find(args.inputs), arguments.output_folder(args.output), suffix)
        else:
            todo = [Pair(args.inputs[0], arguments.or_standard(STDOUT, output_file)(args.output))]
    except (ValueError, OSError) as error:
        raise arguments.WrongUse(str(error)) from error
    sources, targets = zip(*todo, strict=True)
    shared.refuse_overwriting(args, targets, sources)
    shared.say_skipped(args.inputs)
    return todo, many


def code(
    args: argparse.Namespace,
    todo: Sequence[Pair],
    many: bool,
    work: Callable[..., list[str]],
    look: Callable[[bytes], Seen],
) -> int:
    """Encodes or decodes files, and prints a line about each. If they are many, a bad one is named and left out.

    work: `tasks.encode` or `tasks.decode`. look: at the bytes of a source; it may refuse them.
    """
    from tqdm import tqdm

    from mbtref.workbench import engine, tasks

    if not many:
        (pair,) = todo
        data = read_bytes(pair.source)
        try:
            (line,) = work(look(data)[0], [(data, pair)], args.reproducible, args.device, tasks.bar)
        except BitstreamError as error:
            warn(f"mbtref: {pair.source}: {error}")
            return 1
        (warn if pair.target == STDOUT else say)(line)
        return 0
    todo[0].target.parent.mkdir(parents=True, exist_ok=True)
    outcomes: dict[Pair, str | Exception] = {}
    untold = deque(todo)
    with (
        engine.on_machine(args.jobs, len(todo)) as place,
        tqdm(total=len(todo), unit="file", leave=False, disable=None) as bar,
    ):

        @enough_memory()
        def prepare(pair: Pair) -> engine.Piece:
            data = read_bytes(pair.source)
            model, size = look(data)
            return engine.Piece((model, size), engine.together(size, args.device), (data, pair))

        def start(key: Seen, files: "list[tasks.File]") -> "Future[list[str | Exception]]":
            return place.submit(tasks.each, work, key[0], files, args.reproducible, args.device)

        for done, found in engine.run(place, todo, prepare, start):
            outcomes[done] = found
            bar.update()
            while untold and untold[0] in outcomes:
                pair = untold.popleft()
                if isinstance(outcome := outcomes[pair], str):
                    say(outcome, write=bar.write)
                else:
                    warn(f"left out {pair.source.name}: {outcome}", bar.write)
    return 1 if any(isinstance(outcome, Exception) for outcome in outcomes.values()) else 0


def find_model(fingerprint: bytes) -> "ModelFile | None":
    """The model of a stream if it is embedded, or a zoo model that was used before; otherwise None."""
    from mbtref.workbench import modelfiles, zoo

    name = name_of(fingerprint)
    return modelfiles.of_package(name) if name else zoo.find(fingerprint)


def inspected(path: Path, named: "Sequence[ModelFile]") -> list[str]:
    """Lines about a stream. named: its model; empty if it is to be found.

    Raises BitstreamError and OSError; ValueError for a bad model file.
    """
    data = read_bytes(path)
    stream = bitstream.unpack(data)
    model = named[0] if named else find_model(stream.fingerprint)
    lines = [
        f"stream       {path}",
        f"format       .mbt version {bitstream.VERSION}, checksum right",
        f"model        {model.name if model else 'unknown'}, fingerprint {stream.fingerprint.hex()}",
        f"picture      {stream.width}×{stream.height} pixels",
        f"file         {len(data)} bytes, {8 * len(data) / (stream.height * stream.width):.4f} bpp",
        f"  header     {bitstream.HEADER_BYTES} bytes",
    ]
    if model is None:
        return [*lines, f"  payload    {len(stream.payload)} bytes"]
    hyper = bytes_of_z(stream, model)
    lines.append(f"  z          {hyper} bytes, the coder's state included")
    return [*lines, f"  y          {len(stream.payload) - hyper} bytes"]


def bytes_of_z(stream: bitstream.Stream, model: "ModelFile") -> int:
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
