"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line.
"""

import argparse
import itertools
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

import safetensors
import safetensors.numpy
from tqdm import tqdm

from mbtref import bitstream, codec, image, rans, tables, weights
from mbtref.errors import BitstreamError
from mbtref.files import write_whole
from mbtref.tools import checkpoint, compare, kodak, notebook, zoo
from mbtref.tools.download import DownloadError
from mbtref.tools.evaluate import Record, as_json, evaluate, find_pictures, from_json, table
from mbtref.tools.facts import published_curves
from mbtref.weights import Model

T = TypeVar("T")
EXTRAS = {"pytest": "suite", "hypothesis": "suite", "jsonschema": "suite"} | {
    "bjontegaard": "report",
    "jinja2": "report",
    "matplotlib": "report",
}
"""Which extra brings a package that not every command needs."""
Wanted: TypeAlias = Model | str
"""A model, or the name of a zoo model."""
Group: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Wrong use is one line and status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see '{self.prog} --help')\n")


def checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """The type of an argument whose ValueError is worth showing."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def input_path(text: str) -> Path:
    """An argument that names a file or a folder."""
    path = Path(text)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    return path


def input_file(text: str) -> Path:
    """An argument that names a file."""
    path = input_path(text)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder")
    return path


def input_folder(text: str) -> Path:
    """An argument that names a folder."""
    path = input_path(text)
    if not path.is_dir():
        raise ValueError(f"{path}: is not a folder")
    return path


def output_file(text: str) -> Path:
    """An argument that names a file to be written."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'its folder does not exist'}")
    return path


def output_folder(text: str) -> Path:
    """An argument that names a folder to be written into, made if it isn't there."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: is not a folder")
    return path


def png_file(text: str) -> Path:
    """An argument that names a PNG file to be written."""
    if not text.lower().endswith(".png"):
        raise ValueError(f"{text}: pictures are written as PNG, name it .png")
    return output_file(text)


def wanted_model(text: str) -> Wanted:
    """An argument that names a model. Of the zoo's it is still the name: they may have to be downloaded."""
    if text in zoo.NAMES:
        return text
    if text not in weights.EMBEDDED and not Path(text).is_file():
        names = ", ".join((*weights.EMBEDDED, *zoo.NAMES))
        raise ValueError(f"no model {text!r}: give the path of a model file, or one of {names}")
    return weights.load(text)


def models(text: str) -> list[Wanted]:
    """An argument that names models, with commas between."""
    found = [wanted_model(name) for name in text.split(",")]
    names = [wanted if isinstance(wanted, str) else wanted.name for wanted in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two models of one name in {', '.join(names)}: rename a file")
    return found


def zoo_names(text: str) -> list[str]:
    """An argument that names zoo models, with commas between."""
    return [zoo.entry(name).name for name in text.split(",")]


def get_zoo_models(parser: Parser, args: argparse.Namespace) -> None:
    """Puts zoo models in the place of their names in `args.model`, once all arguments are known to be right."""
    wanted = args.model if isinstance(args.model, list) else [args.model]
    if args.weights and not (len(wanted) == 1 and isinstance(wanted[0], str)):
        parser.error("--weights is the checkpoint of one zoo model: name that one with --model")
    found = [zoo.load(one, args.weights) if isinstance(one, str) else one for one in wanted]
    args.model = found if isinstance(args.model, list) else found[0]


def find_model(fingerprint: bytes) -> Model | None:
    """The model of a stream, if it is an embedded one or a zoo model that was used before."""
    name = weights.name_of(fingerprint)
    return weights.load(name) if name else zoo.find(fingerprint)


def curves(text: str) -> list[str]:
    """An argument that names published curves, with commas between."""
    names = text.split(",")
    if unknown := [name for name in names if name not in published_curves()]:
        raise ValueError(f"no published curve {unknown[0]!r}: there are {', '.join(published_curves())}")
    return names


def refuse_overwriting(parser: Parser, args: argparse.Namespace) -> None:
    """Wrong use, if what is to be written is also what is read."""
    given = vars(args)
    output = given.get("output")
    single = [given.get(name) for name in ("image", "stream", "checkpoint", "weights")]
    inputs = single + list(given.get("pictures") or [])
    if output and output.exists() and any(path and output.samefile(path) for path in inputs):
        parser.error(f"{output} is an input; name another output")


def encode(args: argparse.Namespace) -> int:
    """mbtref encode"""
    picture = image.read(args.image)
    data = codec.encode(args.model, picture)
    write_whole(args.output, data)
    height, width, _ = picture.shape
    print(f"{args.output}: {width}×{height}, {len(data)} bytes, {8 * len(data) / (height * width):.4f} bpp")
    return 0


def decode(args: argparse.Namespace) -> int:
    """mbtref decode"""
    data = args.stream.read_bytes()
    stream = bitstream.unpack(data)
    model = args.model or find_model(stream.fingerprint) or weights.load_for(stream)
    picture = codec.decode(model, data)
    image.write_png(args.output, picture)
    height, width, _ = picture.shape
    print(f"{args.output}: {width}×{height}, decoded with {model.name}")
    return 0


def inspect(args: argparse.Namespace) -> int:
    """mbtref inspect"""
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
        decoder.pop(codec.z_indexes(codec.z_shape(model, stream)), model.tables)
        hyper = decoder.offset - bitstream.HEADER_BYTES
        lines.append(f"  z          {hyper} bytes, the coder's state included")
        lines.append(f"  y          {len(stream.payload) - hyper} bytes")
    else:
        lines.append(f"  payload    {len(stream.payload)} bytes")
    print("\n".join(lines))
    return 0


def run_evaluation(args: argparse.Namespace) -> int:
    """mbtref eval"""
    pictures = find_pictures(args.pictures) if args.pictures else kodak.pictures()
    known = {(r.image, r.fingerprint): r for r in earlier_records(args.output)} if args.resume else {}
    records: list[Record] = []
    broken: set[Path] = set()
    total = len(pictures) * len(args.model)
    with tqdm(total=total, unit="picture", leave=False, disable=None) as bar:
        for model, path in itertools.product(args.model, pictures):
            bar.set_description(model.name)
            if done := known.pop((path.name, model.fingerprint.hex()), None):
                records.append(done)
            elif path not in broken:
                try:
                    records.append(evaluate(model, image.read(path), path.name))
                except (ValueError, OSError, BitstreamError) as error:
                    broken.add(path)
                    bar.write(f"left out {path.name} at {model.name}: {error}", file=sys.stderr)
                else:
                    write_records(args.output, [*records, *known.values()])
            bar.update()
    if not records:
        return 1
    write_records(args.output, records)
    print("\n".join(table(records)))
    return 1 if warn_of_unequal(records) or broken else 0


def earlier_records(path: Path) -> list[Record]:
    """What an evaluation that was cut off has left, nothing if there is no file. Raises ValueError for another."""
    if not path.exists():
        return []
    try:
        return from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a result of this version of 'mbtref eval', can't be resumed") from error


def write_records(path: Path | None, records: Sequence[Record]) -> None:
    """Writes what is known so far, if it shall be written."""
    if path:
        write_whole(path, (json.dumps(as_json(records), indent=1, allow_nan=False) + "\n").encode())


def warn_of_unequal(records: Sequence[Record]) -> bool:
    """Whether a decoder found other latents than its encoder, with a line on where."""
    unequal = [f"{r.image} at {r.model}" for r in records if not r.symbols_equal]
    if unequal:
        print(f"decoded latents differ from the encoder's: {', '.join(unequal)}", file=sys.stderr)
    return bool(unequal)


def make_report(args: argparse.Namespace) -> int:
    """mbtref report"""
    from mbtref.tools import report

    paths = find_pictures(args.pictures)
    pictures: list[report.Picture] = []
    left_out = []
    with tqdm(total=len(paths) * len(args.model), unit="picture", leave=False, disable=None) as bar:
        for path in paths:
            bar.set_description(path.name)
            room = sum(picture.size for picture in pictures) < args.limit * 10**6
            try:
                pictures.append(report.measure(path, args.model, room, bar.update))
            except (ValueError, OSError, BitstreamError) as error:
                left_out.append(f"{path.name}: {error}")
                bar.write(f"left out {left_out[-1]}", file=sys.stderr)
    if not pictures:
        return 1
    page = report.page(pictures, left_out, args.model, args.curves or report.CURVES, args.command).encode()
    args.output.mkdir(parents=True, exist_ok=True)
    write_whole(args.output / "index.html", page)
    records = [record for picture in pictures for record in picture.records]
    print(f"{args.output / 'index.html'}: {len(records)} results, {len(page) / 10**6:.1f} MB")
    return 1 if warn_of_unequal(records) or left_out else 0


def kodak_fetch(args: argparse.Namespace) -> int:
    """mbtref kodak fetch"""
    target = args.to or kodak.folder()
    came = kodak.fetch(target, args.url)
    print(f"{came} pictures fetched, all {len(kodak.hashes())} are in {target}")
    return 0


def kodak_check(args: argparse.Namespace) -> int:
    """mbtref kodak check"""
    print(f"{len(kodak.pictures())} pictures in {kodak.folder()}, all pixels right")
    return 0


def zoo_list(args: argparse.Namespace) -> int:
    """mbtref zoo list"""
    for name in zoo.NAMES:
        published = zoo.entry(name).file
        checkpoint_there = "checkpoint" if (zoo.folder() / published).is_file() else "-"
        model_there = "model file" if zoo.model_file(name).is_file() else "-"
        print(f"{name:<14} {published:<36} {checkpoint_there:<11} {model_there}")
    print(f"these are kept in {zoo.folder()}")
    return 0


def zoo_fetch(args: argparse.Namespace) -> int:
    """mbtref zoo fetch"""
    for name in args.names:
        zoo.fetch(name, args.url)
        model = zoo.load(name)
        networks = model.networks
        print(f"{name}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


def notebook_check(args: argparse.Namespace) -> int:
    """mbtref notebook-check"""
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
    networks, known, _ = checkpoint.read(args.checkpoint)
    metadata = {key: known[key] for key in ("quality", "lambda") if key in known}
    model = weights.export(networks, args.output, metadata)
    print(f"{args.output}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


def make_tables(args: argparse.Namespace) -> int:
    """mbtref tables"""
    write_whole(args.output, safetensors.numpy.save(dict(tables.gaussian_arrays())))
    print(f"{args.output}: {tables.SCALES} tables")
    return 0


def vectors_generate(args: argparse.Namespace) -> int:
    """mbtref vectors generate"""
    from conformance.vectors import FOLDER
    from mbtref.tools import vectors

    vectors.generate(args.to or FOLDER)
    return 0


def vectors_check(args: argparse.Namespace) -> int:
    """mbtref vectors check"""
    from mbtref.tools import vectors

    return 1 if vectors.check(with_kodak=not args.without_kodak) else 0


def run_conformance(args: argparse.Namespace) -> int:
    """mbtref conformance"""
    import pytest

    import conformance

    return int(pytest.main([*map(str, conformance.__path__), *args.options]))


def make_matrix(args: argparse.Namespace) -> int:
    """mbtref matrix"""
    from conformance import matrix

    shown = matrix.matrix(args.reports)
    print(matrix.markdown(shown), end="")
    if args.output:
        write_whole(args.output, matrix.page(shown).encode())
    return 0


def run_comparison(args: argparse.Namespace) -> int:
    """mbtref compare"""
    first, second = (compare.read(given, args.rate) for given in (args.first, args.second))
    print("\n".join(compare.table(first, second)))
    return 0


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    names = f"{', '.join(weights.EMBEDDED)}, a zoo model (see 'mbtref zoo list'), or a model file"
    found = "a model as for encode; an embedded one, or a zoo model that was used before, is found by itself"

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, group: Group = commands) -> Parser:
        added: Parser = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    def output(to: Parser, name: str, kind: Callable[[str], Path] = output_file) -> None:
        to.add_argument("-o", dest="output", type=checked(kind), metavar=name, required=True)

    def weights_option(to: Parser) -> None:
        to.add_argument("--weights", type=checked(input_file), metavar="FILE",
                        help="the checkpoint of the zoo model, in place of a download")  # fmt: skip

    add = command("encode", encode, "encode a picture")
    add.add_argument("image", type=checked(input_file), metavar="IMAGE", help="any that Pillow reads, opaque")
    output(add, "OUT.mbt")
    add.add_argument("--model", type=checked(wanted_model), default="lite-q4", help=f"{names}; default: lite-q4")
    weights_option(add)

    add = command("decode", decode, "decode a stream to a PNG picture")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    output(add, "OUT.png", png_file)
    add.add_argument("--model", type=checked(wanted_model), help=found)
    weights_option(add)

    add = command("inspect", inspect, "show what a stream says of itself and the sizes of its parts")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    add.add_argument("--model", type=checked(wanted_model), help=found)
    weights_option(add)

    add = command("eval", run_evaluation, "measure rate and distortion: forward pass, latent buffers, bitstream")
    add.add_argument("pictures", type=checked(input_path), nargs="*", metavar="IMAGE_OR_FOLDER",
                     help="default: the Kodak pictures")  # fmt: skip
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=names)
    weights_option(add)
    add.add_argument("--json", dest="output", type=checked(output_file), metavar="OUT.json", help="every figure")
    add.add_argument("--resume", action="store_true", help="measure only what OUT.json lacks")

    add = command("compare", run_comparison, "compare two evaluations: BD-rate and BD-PSNR of B against A")
    for name in ("first", "second"):
        add.add_argument(name, metavar=f"{'A' if name == 'first' else 'B'}.json",
                         help="of 'mbtref eval --json', or a published curve such as jpeg or vtm")  # fmt: skip
    add.add_argument("--rate", choices=compare.MEASURES, default="bitstream", help="default: %(default)s")

    add = command("report", make_report, "make one page of all figures and results")
    add.add_argument("pictures", type=checked(input_path), nargs="+", metavar="IMAGE_OR_FOLDER")
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=names)
    weights_option(add)
    output(add, "DIR", output_folder)
    add.add_argument("--curves", type=checked(curves), metavar="NAME[,NAME...]",
                     help=f"published curves to draw, of {', '.join(published_curves())}")  # fmt: skip
    add.add_argument("--limit", type=float, default=25, metavar="MB",
                     help="no more figures are added to a page that is larger; default: %(default)s")  # fmt: skip

    group = commands.add_parser("kodak", help="get or check the 24 Kodak pictures").add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser
    )
    add = command("fetch", kodak_fetch, "download the pictures that are missing", group)
    add.add_argument("--to", type=Path, help=f"folder; default: {kodak.FOLDER_VARIABLE}, or the cache")
    add.add_argument("--url", default=kodak.URL, help="where kodim01.png to kodim24.png lie; default: %(default)s")
    command("check", kodak_check, "compare the pixels with their SHA-256", group)

    group = commands.add_parser("zoo", help="get or list CompressAI's published models").add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser
    )
    command("list", zoo_list, "show the names, and what of them is in the cache", group)
    add = command("fetch", zoo_fetch, "download checkpoints that are missing and make their model files", group)
    add.add_argument("names", type=checked(zoo_names), metavar="NAME[,NAME...]")
    add.add_argument("--url", help="where the published files lie; default: CompressAI's")

    add = command(
        "notebook-check", notebook_check, "compare the zoo models with the figures that are known of them"
    )
    add.add_argument("--weights-from", type=checked(input_folder), metavar="FOLDER",
                     help="where the published checkpoints lie; default: the cache")  # fmt: skip
    add.add_argument(
        "--kodak", action="store_true", help="also the means over Kodak, which take about half an hour"
    )

    add = command("conformance", run_conformance, "check an implementation; options as for 'pytest conformance'")
    add.set_defaults(options=[])

    add = command("matrix", make_matrix, "make a table of implementations and requirements from reports")
    add.add_argument("reports", type=checked(input_file), nargs="+", metavar="REPORT.json")
    add.add_argument("--html", dest="output", type=checked(output_file), metavar="OUT.html", help="also as a page")

    group = commands.add_parser("vectors", help="make or check the golden vectors").add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser
    )
    add = command("generate", vectors_generate, "make all vectors anew and print what moved", group)
    add.add_argument("--to", type=Path, help="folder; default: the project's own vectors")
    add = command(
        "check", vectors_check, "make the vectors elsewhere and compare them with the frozen ones", group
    )
    add.add_argument("--without-kodak", action="store_true", help="leave out the Kodak part, which takes minutes")

    add = command("import", import_checkpoint, "make a model file from CompressAI's weights, with its tables")
    add.add_argument("checkpoint", type=checked(input_file), metavar="CHECKPOINT",
                     help=".safetensors; anything else is read as a .pth or .pth.tar")  # fmt: skip
    output(add, "MODEL.safetensors")

    add = command("tables", make_tables, "make the Gaussian tables anew; those of the package are frozen")
    output(add, "OUT.safetensors")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. argv: without the program's name; default: the process's. Returns the exit status."""
    try:
        top = parser()
        args, options = top.parse_known_args(argv)
        if "options" in args:
            args.options = options  # pytest reads them
        elif options:
            top.error(f"unrecognized arguments: {' '.join(options)}")
        args.command = shlex.join(("mbtref", *(sys.argv[1:] if argv is None else argv)))
        refuse_overwriting(top, args)
        if vars(args).get("resume") and not args.output:
            top.error("--resume needs --json, the file to go on with")
        if "model" in args:
            get_zoo_models(top, args)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has gone; Python must not try to flush it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BitstreamError, DownloadError, ValueError, OSError, safetensors.SafetensorError) as error:
        print(f"mbtref: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"mbtref: needs {error.name}: pip install 'mbtref[{EXTRAS[error.name]}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mbtref: stopped", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
