"""Commands that measure and compare: eval, compare, report, notebook-check."""

import argparse
import functools
import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mbtref.files import write_whole
from mbtref.suite.reports.markup import plain
from mbtref.workbench import arguments
from mbtref.workbench.commands import command, one_of, option, shared
from mbtref.workbench.errors import enough_memory
from mbtref.workbench.inputs import find_pictures
from mbtref.workbench.quiet import quiet
from mbtref.workbench.terminal import say, warn

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mbtref.workbench.modelfiles import ModelFile
    from mbtref.workbench.records import Record

PAGE = "index.html"
"""Name of the report in its folder."""


@command(
    "eval",
    "measure rate and distortion: forward pass, latent buffers, bitstream",
    option("pictures", kind=arguments.input_path, nargs="*", metavar="IMAGE_OR_FOLDER",
           help="default: the Kodak pictures"),
    option("--model", kind=arguments.models, required=True, metavar="MODEL[,MODEL...]", help=shared.MODELS),
    shared.WEIGHTS,
    option("--json", dest="output", kind=arguments.file_named(".json"), metavar="OUT.json",
           help="write all figures here"),
    option("--csv", kind=arguments.file_named(".csv"), metavar="OUT.csv",
           help="write them as a table too: pandas.read_csv reads it"),
    one_of(
        option("--resume", action="store_true", help="measure only what OUT.json lacks, and keep all that it has"),
        shared.FORCE,
    ),
    shared.DEVICE,
    one_of(
        shared.JOBS,
        option("--cluster", metavar="ADDRESS",
               help="measure on a running Dask cluster: the address of its scheduler"),
    ),
)  # fmt: skip
def evaluate(args: argparse.Namespace) -> int:
    if args.resume and not args.output:
        raise arguments.WrongUse("--resume needs --json, the file to continue")
    outputs = [path for path in (args.output, args.csv) if path]
    for path in outputs if not (args.resume or args.force) else ():
        shared.refuse_losing(path, "--resume continues it, " if path == args.output else "")
    shared.say_skipped(args.pictures)
    files = shared.model_files(args)
    import dataclasses

    from mbtref.suite import kodak
    from mbtref.workbench import engine, picturefiles, records, results, tables, tasks
    from mbtref.workbench.bars import Bar

    paths = find_pictures(args.pictures) if args.pictures else kodak.pictures()
    shared.refuse_overwriting(args, sources=paths)
    asked = list(enumerate(itertools.product(files, paths)))
    unreadable: set[Path] = set()
    left_out = 0
    with (
        engine.cluster(args.cluster) if args.cluster else engine.on_machine(args.jobs, len(asked)) as place,
        results.Results(outputs, results.read(args.output) if args.resume else []) as found,
        Bar(len(asked), "pictures") as bar,
    ):
        share = functools.lru_cache(1)(place.share)  # the measurements go model by model

        @enough_memory()
        def prepare(one: "tuple[int, tuple[ModelFile, Path]]") -> "engine.Piece | Record":
            _, (model, path) = one
            try:
                with quiet():
                    picture = picturefiles.read(path)
            except (ValueError, OSError):
                unreadable.add(path)
                raise
            if known := found.known(picturefiles.sha256(picture), model.fingerprint.hex()):
                return dataclasses.replace(known, image=plain(path.name))
            height, width, _ = picture.shape
            key, most = (model, height, width), engine.together((height, width), args.device)
            return engine.Piece(key, most, (picture, plain(path.name)))

        def start(
            key: "tuple[ModelFile, int, int]", pictures: "list[tasks.Named]"
        ) -> "Future[list[Record | Exception]]":
            return place.submit(tasks.each, tasks.evaluate, share(key[0]), pictures, args.device)

        rest = (one for one in asked if one[1][1] not in unreadable)
        for (i, (model, path)), outcome in engine.run(place, rest, prepare, start):
            bar.count(model.name)
            if isinstance(outcome, records.Record):
                found.add(i, outcome)
            else:
                left_out += 1
                where = "" if path in unreadable else f" at {model.name}"
                warn(f"left out {path.name}{where}: {outcome}", bar.write)
    if not (measured := found.asked()):
        return 1
    say(*tables.table(measured))
    return 1 if warn_of_unequal(measured) or left_out else 0


def warn_of_unequal(records: "Sequence[Record]") -> bool:
    """Whether any decoded latents differ from the encoder's. Prints a line that names the pictures and models."""
    unequal = [f"{r.image} at {r.model}" for r in records if not r.symbols_equal]
    if unequal:
        warn(f"decoded latents differ from the encoder's: {', '.join(unequal)}")
    return bool(unequal)


EVALUATION = "file of 'mbtref eval --json', or a published curve, such as vtm"


@command(
    "compare",
    "compare two evaluations: BD-rate and BD-PSNR of B against A",
    option("first", kind=arguments.evaluation, metavar="A.json", help=EVALUATION),
    option("second", kind=arguments.evaluation, metavar="B.json", help=EVALUATION),
    option("--rate", choices=("bitstream", "theoretical", "zlib"), default="bitstream",
           help="default: %(default)s"),
)  # fmt: skip
def compare(args: argparse.Namespace) -> int:
    from mbtref.workbench import compare

    first, second = (compare.read(source, args.rate) for source in (args.first, args.second))
    say(*compare.table(first, second))
    return 0


@command(
    "report",
    "make one page of all figures and results",
    option("pictures", kind=arguments.input_path, nargs="+", metavar="IMAGE_OR_FOLDER"),
    option("--model", kind=arguments.models, default="wide", metavar="MODEL[,MODEL...]",
           help=f"{shared.MODELS}; default: %(default)s"),
    shared.WEIGHTS,
    shared.OUTPUT_FOLDER,
    shared.FORCE,
    option("--curves", kind=arguments.curves, metavar="NAME[,NAME...]",
           help="published curves to draw, such as jpeg, webp and vtm, if the pictures are the 24 of Kodak"),
    option("--limit", kind=arguments.size, default=25, metavar="MB",
           help="a page larger than this gets no more figures; default: %(default)s"),
)  # fmt: skip
def report(args: argparse.Namespace) -> int:
    target: Path = args.output / PAGE
    if not args.force:
        shared.refuse_losing(target)
    shared.say_skipped(args.pictures)
    paths = find_pictures(args.pictures)
    from mbtref.workbench import engine, picturefiles, records
    from mbtref.workbench.bars import Bar

    with quiet():
        hashes = [picturefiles.sha256(picturefiles.read(path)) for path in paths if args.curves]
    if args.curves and not records.are_kodak(hashes):
        raise arguments.WrongUse("--curves needs the 24 Kodak pictures: published curves are means over them")
    files = shared.model_files(args)
    shared.refuse_overwriting(args, [target], paths)
    args.output.mkdir(parents=True, exist_ok=True)
    arguments.output_file(str(target))
    from mbtref.workbench import page

    loaded = [file.load() for file in files]
    measured: list[page.Picture] = []
    left_out = []
    with Bar(len(paths) * len(loaded), "pictures") as bar:
        for path in paths:
            with_figures = sum(picture.size for picture in measured) < args.limit * 10**6
            try:
                with enough_memory():
                    measured.append(page.measure(path, loaded, with_figures, bar.count))
            except engine.REFUSALS as error:
                left_out.append(plain(f"{path.name}: {error}"))
                warn(f"left out {left_out[-1]}", bar.write)
    if not measured:
        return 1
    command = plain(shlex.join(("mbtref", *args.words)))
    content = page.page(measured, left_out, loaded, args.curves or page.CURVES, command).encode()
    write_whole(target, content)
    say(f"{target}: pictures {len(measured)}, models {len(loaded)}, {len(content) / 10**6:.1f} MB")
    unequal = warn_of_unequal([record for picture in measured for record in picture.records])
    return 1 if unequal or left_out else 0


@command(
    "notebook-check",
    "compare the zoo models with their known figures",
    option("--weights-from", kind=arguments.input_folder, metavar="FOLDER",
           help="folder of the published checkpoints; default: the cache"),
    option("--kodak", action="store_true", help="check the means over Kodak too, which takes about half an hour"),
)  # fmt: skip
def notebook_check(args: argparse.Namespace) -> int:
    from mbtref.workbench import notebook

    figures = notebook.check(args.weights_from)
    if args.kodak:
        figures += notebook.check_kodak(args.weights_from)
    say(*notebook.table(figures))
    run = [figure for figure in figures if figure.found is not None]
    wrong = [figure for figure in run if not figure.right]
    say(f"{len(run) - len(wrong)} right, {len(wrong)} wrong, {len(figures) - len(run)} not run")
    say(*notebook.advice(figures, args.weights_from))
    if not run:
        warn("mbtref: nothing was checked")
    return 1 if wrong or not run else 0
