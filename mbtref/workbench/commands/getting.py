"""Commands that download pictures and models: kodak, zoo."""

import argparse
import functools
from typing import TYPE_CHECKING

from mbtref.workbench.arguments import output_folder
from mbtref.workbench.commands import command, option
from mbtref.workbench.terminal import say

if TYPE_CHECKING:
    from mbtref.workbench.zoo import Entry

KODAK_URL = "http://r0k.us/graphics/kodak/kodak"
"""Rich Franzen's copy of the Kodak Lossless True Color Image Suite."""


@command(
    "kodak fetch",
    "download the missing pictures",
    option("--to", kind=output_folder, help="folder; default: MBTREF_KODAK, or the cache"),
    option("--url", default=KODAK_URL,
           help="address of the folder of kodim01.png to kodim24.png; default: %(default)s"),
)  # fmt: skip
def kodak_fetch(args: argparse.Namespace) -> int:
    from mbtref.suite import kodak
    from mbtref.workbench.download import download

    target, came = args.to or kodak.folder(), 0
    for name in kodak.PIXELS:
        path = target / name
        if path.is_file():
            kodak.pixels(path, name)
        else:
            download(f"{args.url}/{name}", path, kodak.MOST_BYTES, functools.partial(kodak.pixels, name=name))
            came += 1
    say(f"{came} pictures fetched, all {len(kodak.PIXELS)} are in {target}")
    return 0


@command("kodak check", "compare the pixels with their SHA-256")
def kodak_check(args: argparse.Namespace) -> int:
    from mbtref.suite import kodak

    say(f"{len(kodak.pictures())} pictures in {kodak.folder()}, all pixels right")
    return 0


@command("zoo list", "show the names, and which of their files are in the cache")
def zoo_list(args: argparse.Namespace) -> int:
    from mbtref.workbench import zoo

    say(f"{'name':<14} {'published file':<36} {'fetched':<11} ready")
    for name in zoo.ZOO:
        published = zoo.entry(name).file
        checkpoint_there = "checkpoint" if (zoo.folder() / published).is_file() else "-"
        model_there = "model file" if zoo.model_file(name).is_file() else "-"
        say(f"{name:<14} {published:<36} {checkpoint_there:<11} {model_there}")
    say(f"the files are kept in {zoo.folder()}")
    return 0


def entries(text: str) -> "list[Entry]":
    """The entries of zoo models, separated by commas."""
    from mbtref.workbench import zoo

    return [zoo.entry(name) for name in text.split(",")]


@command(
    "zoo fetch",
    "download missing checkpoints and make their model files",
    option("entries", kind=entries, metavar="NAME[,NAME...]"),
    option("--url", help="address of the published files; default: CompressAI's"),
)
def zoo_fetch(args: argparse.Namespace) -> int:
    from mbtref.workbench import zoo

    for name, *_ in args.entries:
        zoo.fetch(name, args.url)
        model = zoo.load(name)
        networks = model.networks
        say(f"{name}: N={networks.N} M={networks.M}, fingerprint {model.fingerprint.hex()}")
    return 0
