"""The page of `web/` in a folder, with models, examples and golden hashes, and a server for this machine alone."""

import json
import os
import tempfile
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from mbtref import bitstream
from mbtref.errors import BitstreamError
from mbtref.modelfile import FINGERPRINTS, embedded, name_of
from mbtref.suite.check import digest_of
from mbtref.suite.folders import project_folder
from mbtref.suite.vectors import FOLDER, frozen, read
from mbtref.workbench.terminal import say

GOLDEN = ("DECODE-1", "DECODE-3", "DECODE-4", "REPRODUCIBLE-2")
"""The requirements whose vectors have golden latents or pixels. Golden pixels are those of exact transforms."""
WEB = ("worker.mjs", "page.mjs", "codec.mjs", "style.css", "icon.svg", "index.html")
"""The files of `web/` that a browser asks for."""
MODELS = {"lite-q3": "smallest", "lite-q4": "small", "lite-q5": "good", "lite-q6": "best"}
"""The models beside the page, and what they are for pictures."""
TYPES = {".css": "text/css", ".html": "text/html", ".mjs": "text/javascript", ".svg": "image/svg+xml"}


def files() -> dict[str, bytes]:
    """All files of the page, by their paths in its folder, `index.html` last."""
    web = project_folder("web")
    page = {"models/gaussian.safetensors": embedded("gaussian")}
    models, examples, pixels = {}, [], {}
    for name, word in MODELS.items():
        file = f"models/{name}.safetensors"
        page[file] = embedded(name)
        about = f"{name}, {word}"
        models[FINGERPRINTS[name]] = {"name": name, "about": about, "bytes": len(page[file]), "source": file}
    for example in json.loads((web / "examples.json").read_bytes()):
        path = FOLDER / example["file"]
        file = f"examples/{path.name}"
        page[file] = path.read_bytes()
        examples.append({"name": example["title"], "file": file, "about": line_about(path)})
        pixels[sha256(page[file]).hexdigest()] = example.get("pixels")
    for name, text in ("contents", {"models": models, "examples": examples}), ("golden", golden(pixels)):
        page[f"{name}.json"] = json.dumps(text, indent=1).encode()
    return page | {name: (web / name).read_bytes() for name in WEB}


def line_about(path: Path) -> str:
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


def golden(pixels: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """By SHA-256 of a stream: id of a vector, model, and SHA-256 of latents and of pixels, if they are known.

    pixels: SHA-256 of pixels, by that of the stream, which no vector holds.
    """
    found: dict[str, dict[str, str]] = {}
    for vector in frozen().vectors:
        if vector.requirement in GOLDEN:
            stream = sha256(vector.input_files["stream"].content).hexdigest()
            entry = found.setdefault(stream, {"id": vector.id, "model": str(vector.model)})
            known = {name: digest_of(name, value) for name, value in vector.expected.items()} | dict(vector.sha256)
            of = {"latents": known.get("y_hat"), "pixels": known.get("image") or pixels.get(stream)}
            entry.update({name: value for name, value in of.items() if value})
    return found


def write(folder: Path) -> int:
    """Writes the page into a folder, new or not, whole or not at all. Returns the bytes of its files.

    Raises ValueError if the folder holds anything that isn't the page's, OSError if it can't be written.
    """
    page = files()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        own = path.is_file() if name in page else name in ("models", "examples") and path.is_dir()
        if path.is_symlink() or not own:
            raise ValueError(f"{folder} holds {name}, which isn't of the page: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as part:
        for name, data in page.items():
            Path(part, name).parent.mkdir(exist_ok=True)
            Path(part, name).write_bytes(data)
        for name in page:
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(Path(part, name), folder / name)
    return sum(map(len, page.values()))


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder quietly, and its files as what they are, whatever this system takes them for."""

    def guess_type(self, path: Any) -> str:
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder, for this machine alone. port: 0 takes a free one. Raises OSError if it is taken."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: name another --port", f"port {port}") from error


def show(folder: Path, port: int) -> None:
    """Serves the page and opens a browser, until it is interrupted. Raises OSError as `server` does."""
    with server(folder, port) as serving, suppress(KeyboardInterrupt):
        url = f"http://127.0.0.1:{serving.server_port}/"
        say(f"{url} (Ctrl-C ends it)")
        # a browser in a terminal returns only when it is closed
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
        serving.serve_forever()
