"""Commands that make model files, exports, tables and the page of the codec in a browser."""

import argparse
import tempfile
from pathlib import Path

from mbtref.files import write_whole
from mbtref.workbench.arguments import WrongUse, input_file, models, output_folder, port
from mbtref.workbench.commands import command, option
from mbtref.workbench.commands.shared import MODELS, OUTPUT_FOLDER, WEIGHTS, model_files, output
from mbtref.workbench.terminal import say


@command(
    "import",
    "make a model file from CompressAI's weights, with its tables",
    option("checkpoint", kind=input_file, metavar="CHECKPOINT",
           help=".safetensors; anything else is read as a .pth or .pth.tar"),
    output("MODEL.safetensors"),
)  # fmt: skip
def import_checkpoint(args: argparse.Namespace) -> int:
    from mbtref.making import checkpoint
    from mbtref.making.complete import export

    networks, known, _ = checkpoint.read(args.checkpoint)
    metadata = {key: known[key] for key in ("quality", "lambda") if key in known}
    model = export(networks, args.output, metadata)
    say(f"{args.output}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0


@command(
    "export",
    "write models as ONNX files, for other runtimes",
    option("model", kind=models, metavar="MODEL[,MODEL...]", help=MODELS),
    WEIGHTS,
    OUTPUT_FOLDER,
)
def export(args: argparse.Namespace) -> int:
    files = model_files(args)
    from mbtref.workbench import export

    for file in files:
        for path in export.write(file.load(), args.output):
            say(path)
    return 0


@command(
    "tables", "make the Gaussian tables again; the tables of the package are frozen", output("OUT.safetensors")
)
def tables(args: argparse.Namespace) -> int:
    from mbtref import tables
    from mbtref.making import modelfile, proven

    write_whole(args.output, modelfile.pack(proven.gaussian_arrays(), {}))
    say(f"{args.output}: {tables.SCALES} tables")
    return 0


@command(
    "page",
    "write a page that decodes and encodes in a browser, or show it",
    option("-o", dest="output", kind=output_folder, metavar="DIR", help="write it here, for any static host"),
    option("--open", action="store_true", help="serve it on this machine alone and open a browser"),
    option("--port", kind=port, default=0, metavar="N", help="for --open; default: a free one"),
)
def page(args: argparse.Namespace) -> int:
    if not (args.output or args.open):
        raise WrongUse("name a folder with -o, or look at the page with --open")
    if args.port and not args.open:
        raise WrongUse("--port is for --open")
    from mbtref.workbench import website

    with tempfile.TemporaryDirectory() as other:
        folder = args.output or Path(other)
        size = website.write(folder)
        if args.output:
            say(f"{folder}: {size / 10**6:.1f} MB, for any static host")
        if args.open:
            website.show(folder, args.port)
    return 0
