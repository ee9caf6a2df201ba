"""The page of `web/` in a folder, with its models, examples and golden hashes, and a server for this machine alone."""

import hashlib
import json
import os
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mbtref import bitstream
from mbtref.errors import BitstreamError
from mbtref.modelfile import FINGERPRINTS, SERIES, embedded, name_of
from mbtref.suite.check import digest_of
from mbtref.suite.folders import project_folder
from mbtref.suite.vectors import FOLDER, frozen, read
from mbtref.workbench.terminal import say, warn

PAGE = ("index.html", "style.css", "icon.svg", "page.mjs", "worker.mjs", "codec.mjs")
"""The files of `web/` that a browser asks for."""
GOLDEN = ("DECODE-1", "DECODE-3", "DECODE-4", "REPRODUCIBLE-2")
"""The requirements whose vectors have golden hashes. Golden pictures are those of exact transforms."""


def files() -> dict[str, bytes]:
    """All files of the page, by their paths in its folder, `index.html` last."""
    web = project_folder("web")
    examples: list[dict[str, str]] = json.loads((web / "examples.json").read_bytes())
    contents = {
        "models": {
            FINGERPRINTS[name]: {"name": name, "bytes": len(embedded(name)), "source": f"models/{name}.safetensors"}
            for name in SERIES["lite"]
        },
        "examples": [
            {"name": one["title"], "file": place(one["file"]), "about": about(FOLDER / one["file"])} for one in examples
        ],
    }
    texts = {"contents.json": contents, "golden.json": golden(examples)}
    return {
        **{f"models/{name}.safetensors": embedded(name) for name in (*SERIES["lite"], "gaussian")},
        **{place(one["file"]): (FOLDER / one["file"]).read_bytes() for one in examples},
        **{name: json.dumps(text, indent=1).encode() for name, text in texts.items()},
        **{name: (web / name).read_bytes() for name in reversed(PAGE)},
    }


def place(file: str) -> str:
    """The path of an example in the page's folder. file: its path among the vectors."""
    return f"examples/{PurePosixPath(file).name}"


def about(path: Path) -> str:
    """A line about a stream or a picture."""
    if path.suffix != ".mbt":
        height, width, _ = np.shape(read(path))
        return f"{width} × {height}, {path.suffix[1:].upper()}"
    data = path.read_bytes()
    try:
        fingerprint, height, width, _ = bitstream.unpack(data)
    except BitstreamError as error:
        return f"refused: {error.kind}"
    return f"{width} × {height}, {name_of(fingerprint)}, {8 * len(data) / (height * width):.2f} bits per pixel"


def golden(examples: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """By SHA-256 of a stream: id of its vector, model, SHA-256 of latents and of pixels, where they are known."""
    pixels = {digest((FOLDER / one["file"]).read_bytes()): one["pixels"] for one in examples if "pixels" in one}
    found: dict[str, dict[str, str]] = {}
    for vector in frozen().vectors:
        if vector.requirement in GOLDEN:
            stream = digest(vector.input_files["stream"].content)
            entry = found.setdefault(stream, {"id": vector.id, "model": str(vector.model)})
            known = {name: digest_of(name, value) for name, value in vector.expected.items()} | dict(vector.sha256)
            names = {"y_hat": "latents", "image": "pixels"}
            entry.update({names[name]: value for name, value in known.items()})
            if stream in pixels:
                entry["pixels"] = pixels[stream]
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(folder: Path) -> int:
    """Writes the page into a folder, new or not, wholly or not at all. Returns the bytes of its files.

    Raises ValueError if the folder holds anything that isn't the page's, OSError if it can't be written.
    """
    page = files()
    refuse_foreign(folder, page)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as part:
        for name, data in page.items():
            path = Path(part, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        for name in page:
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(Path(part, name), folder / name)
    return sum(map(len, page.values()))


def refuse_foreign(folder: Path, page: dict[str, bytes]) -> None:
    """Raises ValueError for a folder that holds more than an older page."""
    folders = {str(PurePosixPath(name).parent) for name in page}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not (name in page and path.is_file() or name in folders and path.is_dir()):
            raise ValueError(f"{folder} holds {name}, which isn't of the page: name a new folder")


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder quietly, with the types that browsers want, whatever this system says of them."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".png": "image/png",
    }

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def server(folder: Path, port: int) -> Iterator[ThreadingHTTPServer]:
    """A server of a folder for this machine alone. port: 0 takes a free one. Raises OSError if it is taken."""
    try:
        made = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: name another --port", f"port {port}") from error
    with made:
        yield made


def show(folder: Path, port: int) -> None:
    """Serves the page and opens a browser, until it is interrupted."""
    with server(folder, port) as serving:
        url = f"http://127.0.0.1:{serving.server_port}/"
        say(f"{url} (Ctrl-C ends it)")
        if not webbrowser.open(url):
            warn("mbtref: no browser was found: open this address in one")
        with suppress(KeyboardInterrupt):
            serving.serve_forever()
