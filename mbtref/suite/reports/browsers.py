"""Digests of what the codec in JavaScript decodes in a real browser, computed there.

A browser is started without a window, in a profile of its own, on a page of this machine. The page
(`web/digests.mjs`) decodes what it's served, and posts its digests back. No driver is needed.
"""

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

from mbtref.suite.folders import project_folder
from mbtref.suite.reports.emulate import NotHere
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.vectors import Vector

BROWSERS: Mapping[str, tuple[Sequence[str], str]] = {
    "Chromium": (("chromium", "--headless=new", "--no-sandbox", "--no-first-run"), "--user-data-dir={}"),
    "Firefox": (("firefox-esr", "--headless", "--no-remote"), "--profile={}"),
}
"""The command of each browser, and its option for the folder of a profile. Root can't have Chromium's sandbox."""
START = 120
"""Seconds until a browser asks for what it decodes."""
TIMEOUT = 3600
"""Seconds until it has decoded all."""
QUESTIONS = "questions"
"""The file that a browser asks for when it has started."""
PAGE = b'<!doctype html><meta charset="utf-8"><script type="module" src="digests.mjs"></script>'
TYPES = {"": "text/html", ".mjs": "text/javascript"}
"""Media types by suffix."""


def digests(browser: str, asked: Sequence[tuple[str, Sequence[Vector]]]) -> tuple[str, list[str]]:
    """The browser's version, and for each entry one SHA-256 over an output of its vectors, in their order.

    browser: a name in BROWSERS. Raises NotHere if it isn't installed or doesn't answer, ValueError if it can't
    decode.
    """
    (program, *words), profile = BROWSERS[browser]
    if not shutil.which(program):
        raise NotHere(f"{program} isn't installed (apt-get install {program})")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    with serving(files(asked)) as (url, heard), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command, silent = [program, *words, profile.format(folder), url], subprocess.DEVNULL
        with subprocess.Popen(command, stdout=silent, stderr=silent) as process:
            try:
                for seconds in (START, TIMEOUT):
                    answer = heard.get(timeout=seconds)
            except queue.Empty:
                raise NotHere(f"{program} was silent for {seconds} s") from None
            finally:
                process.terminate()
    found = json.loads(answer)
    if "error" in found:
        raise ValueError(f"{version}: {found['error']}")
    return version, found["digests"]


def files(asked: Sequence[tuple[str, Sequence[Vector]]]) -> dict[str, bytes]:
    """All that the page may ask for, by path."""
    found = {path.name: path.read_bytes() for path in project_folder("web").glob("*.mjs")}
    questions = [
        (output, [(f"models/{v.model}", f"streams/{v.id}") for v in vectors]) for output, vectors in asked
    ]
    found |= {"": PAGE, "gaussian": gaussian_file().read_bytes(), QUESTIONS: json.dumps(questions).encode()}
    for vector in (vector for _, vectors in asked for vector in vectors):
        found[f"models/{vector.model}"] = model_file(str(vector.model)).read_bytes()
        found[f"streams/{vector.id}"] = bytes(vector.inputs["stream"])
    return found


@contextmanager
def serving(found: Mapping[str, bytes]) -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """Serves these files on this machine. Gives the URL, and what is heard: b"" at the start, and the answer."""
    heard = queue.Queue[bytes]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            if name == QUESTIONS:
                heard.put(b"")
            self.send_response(200 if name in found else 404)
            self.send_header("Content-Type", TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"))
            self.end_headers()
            self.wfile.write(found.get(name, b""))

        def do_POST(self) -> None:
            heard.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", heard
        finally:
            server.shutdown()
