"""The command line, `mbtref`.

Exit status: 0 done; 1 a file was bad, or couldn't be read or written; 2 wrong use. Every error is one line.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

import safetensors
import safetensors.numpy
import safetensors.torch
from tqdm import tqdm

from mbtref import bitstream, codec, image, rans, tables, weights
from mbtref.errors import BitstreamError
from mbtref.files import write_whole
from mbtref.tools import kodak
from mbtref.tools.download import DownloadError
from mbtref.tools.evaluate import Record, as_json, evaluate, find_pictures, table
from mbtref.weights import Model

T = TypeVar("T")
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
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def input_file(text: str) -> Path:
    """An argument that names a file."""
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    return path


def output_file(text: str) -> Path:
    """An argument that names a file to be written."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'its folder does not exist'}")
    return path


def models(text: str) -> list[Model]:
    """An argument that names models, with commas between."""
    return [weights.load(name) for name in text.split(",")]


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
    model = args.model or weights.load_for(bitstream.unpack(data))
    picture = codec.decode(model, data)
    image.write_png(args.output, picture)
    height, width, _ = picture.shape
    print(f"{args.output}: {width}×{height}, decoded with {model.name}")
    return 0


def inspect(args: argparse.Namespace) -> int:
    """mbtref inspect"""
    data = args.stream.read_bytes()
    stream = bitstream.unpack(data)
    name = weights.name_of(stream.fingerprint)
    pixels = stream.height * stream.width
    print(f"format       .mbt version {bitstream.VERSION}, checksum right")
    print(f"model        {name or 'unknown'}, fingerprint {stream.fingerprint.hex()}")
    print(f"picture      {stream.width}×{stream.height} pixels")
    print(f"file         {len(data)} bytes, {8 * len(data) / pixels:.4f} bpp")
    print(f"  header     {bitstream.HEADER_BYTES} bytes")
    model = args.model or (weights.load(name) if name else None)
    if model is None:
        print(f"  payload    {len(stream.payload)} bytes")
        return 0
    decoder = rans.Decoder(stream.payload, bitstream.HEADER_BYTES)
    decoder.pop(codec.z_indexes(codec.z_shape(model, stream)), model.tables)
    hyper = decoder.offset - bitstream.HEADER_BYTES
    print(f"  z          {hyper} bytes, the coder's state included")
    print(f"  y          {len(stream.payload) - hyper} bytes")
    return 0


def run_evaluation(args: argparse.Namespace) -> int:
    """mbtref eval"""
    pictures = find_pictures(args.pictures) if args.pictures else kodak.pictures()
    records: list[Record] = []
    broken: set[Path] = set()
    with tqdm(total=len(pictures) * len(args.model), unit="picture", leave=False) as bar:
        for model in args.model:
            bar.set_description(model.name)
            for path in pictures:
                if path not in broken:
                    try:
                        records.append(evaluate(model, image.read(path), path.name))
                    except (ValueError, OSError) as error:
                        broken.add(path)
                        tqdm.write(f"left out {path.name}: {error}", file=sys.stderr)
                bar.update()
    if args.json and records:
        write_whole(args.json, (json.dumps(as_json(records), indent=1, allow_nan=False) + "\n").encode())
    for line in table(records):
        print(line)
    unequal = [f"{r.image} at {r.model}" for r in records if not r.symbols_equal]
    if unequal:
        print(f"decoded latents differ from the encoder's: {', '.join(unequal)}", file=sys.stderr)
    return 1 if broken or unequal else 0


def kodak_fetch(args: argparse.Namespace) -> int:
    """mbtref kodak fetch"""
    came = kodak.fetch(args.to, args.url)
    print(f"{came} pictures fetched, all {len(kodak.hashes())} are in {args.to}")
    return 0


def kodak_check(args: argparse.Namespace) -> int:
    """mbtref kodak check"""
    print(f"{len(kodak.pictures())} pictures in {kodak.folder()}, all pixels right")
    return 0


def import_checkpoint(args: argparse.Namespace) -> int:
    """mbtref import"""
    networks = weights.networks_of(safetensors.torch.load_file(args.checkpoint))
    with safetensors.safe_open(args.checkpoint, "pt") as file:
        known = file.metadata() or {}
    metadata = {key: known[key] for key in ("quality", "lambda") if key in known}
    weights.export(networks, args.output, metadata)
    print(
        f"{args.output}: N={networks.N} M={networks.M}, fingerprint {weights.load(args.output).fingerprint.hex()}"
    )
    return 0


def make_tables(args: argparse.Namespace) -> int:
    """mbtref tables"""
    write_whole(args.output, safetensors.numpy.save(dict(tables.gaussian_arrays())))
    print(f"{args.output}: {tables.SCALES} tables")
    return 0


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(
        prog="mbtref",
        description="The reference codec of mbt2018 (Minnen, Ballé and Toderici 2018).",
        epilog="'mbtref COMMAND --help' tells more. Exit status: 0 done, 1 a file was bad, 2 wrong use.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    model_help = f"{', '.join(weights.EMBEDDED)}, or a model file"

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, group: Group = commands) -> Parser:
        added: Parser = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    add = command("encode", encode, "encode a picture")
    add.add_argument(
        "image", type=checked(input_file), metavar="IMAGE", help="any picture that Pillow reads, opaque"
    )
    add.add_argument("-o", dest="output", type=checked(output_file), metavar="OUT.mbt", required=True)
    add.add_argument(
        "--model", type=checked(weights.load), default="lite-q4", help=f"{model_help}; default: lite-q4"
    )

    add = command("decode", decode, "decode a stream to a PNG picture")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    add.add_argument("-o", dest="output", type=checked(output_file), metavar="OUT.png", required=True)
    add.add_argument(
        "--model", type=checked(weights.load), help="a model file; embedded models are found by themselves"
    )

    add = command("inspect", inspect, "show what a stream says of itself and the sizes of its parts")
    add.add_argument("stream", type=checked(input_file), metavar="IN.mbt")
    add.add_argument(
        "--model", type=checked(weights.load), help="a model file; embedded models are found by themselves"
    )

    add = command("eval", run_evaluation, "measure rate and distortion: forward pass, latent buffers, bitstream")
    add.add_argument(
        "pictures", type=Path, nargs="*", metavar="IMAGE_OR_FOLDER", help="default: the Kodak pictures"
    )
    add.add_argument("--model", type=checked(models), required=True, metavar="MODEL[,MODEL...]", help=model_help)
    add.add_argument("--json", type=checked(output_file), metavar="OUT.json", help="write every figure there")

    group = command("kodak", kodak_check, "get or check the 24 Kodak pictures").add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser
    )
    add = command("fetch", kodak_fetch, "download the pictures that are missing", group)
    add.add_argument("--to", type=Path, default=kodak.folder(), help="folder; default: %(default)s")
    add.add_argument("--url", default=kodak.URL, help="where kodim01.png to kodim24.png lie; default: %(default)s")
    command("check", kodak_check, "compare the pixels with their SHA-256", group)

    add = command("import", import_checkpoint, "make a model file from a CompressAI checkpoint (safetensors)")
    add.add_argument("checkpoint", type=checked(input_file), metavar="CHECKPOINT.safetensors")
    add.add_argument("-o", dest="output", type=checked(output_file), metavar="MODEL.safetensors", required=True)

    add = command("tables", make_tables, "make the Gaussian tables anew; those of the package are frozen")
    add.add_argument("-o", dest="output", type=checked(output_file), metavar="OUT.safetensors", required=True)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. argv: without the program's name; default: the process's. Returns the exit status."""
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except (BitstreamError, DownloadError, ValueError, OSError, safetensors.SafetensorError) as error:
        print(f"mbtref: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mbtref: stopped", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
