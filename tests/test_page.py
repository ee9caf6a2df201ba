"""The page in a real browser: golden streams, refusals, pictures, keyboard; and the command that writes it."""

import base64
import hashlib
import io
import json
import re
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from socketserver import ThreadingTCPServer
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo
from selenium.common.exceptions import JavascriptException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import mbtref
from mbtref.errors import Kind
from mbtref.modelfile import FINGERPRINTS, embedded
from mbtref.suite.check import digest_of
from mbtref.suite.subjects.data import MODELS
from mbtref.suite.vectors import FOLDER, Vector, frozen
from mbtref.workbench import website
from tests.support import NETWORK, ROOT, Terminal, emulate, picture

File = tuple[str, bytes]
"""A file to drop: its name and content."""
DROP = """
const data = new DataTransfer();
for (const [name, content] of arguments[0]) {
  const text = atob(content);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  data.items.add(new File([bytes], name));
}
const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
document.querySelector("h1").dispatchEvent(event);
"""
KEEP = """
const [kept, make] = [new Map(), URL.createObjectURL];
URL.createObjectURL = (blob) => {
  const url = make.call(URL, blob);
  kept.set(url, blob);
  return url;
};
"""
CONTRASTS = """
const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const light = (colour) => channels(colour).slice(0, 3).map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return node.parentElement && channels(colour)[3] === 0 ? ground(node.parentElement) : colour;
};
return [...document.querySelectorAll("body *:not(option)")]
  .filter((node) => node.checkVisibility() && [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), node.textContent.trim().slice(0, 40)];
  });
"""


class Page:
    """The page in the browser."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser, self.url = browser, url

    def open(self, width: int = 1280, scheme: str = "light") -> None:
        """Opens it anew."""
        emulate(self.browser, width, scheme)
        self.browser.get(self.url)
        self.wait("!document.getElementById('shelf').hidden", "the page doesn't start")

    def wait(self, condition: str, message: str) -> None:
        """Waits until an expression of JavaScript is true."""
        waiting = WebDriverWait(self.browser, 60, 0.03, [JavascriptException])  # a page may not be there yet
        try:
            waiting.until(lambda each: each.execute_script(f"return {condition}"))
        except TimeoutException:
            pytest.fail(f"{message}: {self.browser.find_element(By.TAG_NAME, 'body').text}")

    def drop(self, *files: File) -> None:
        """Drops files. The work on them has begun then."""
        self.browser.execute_script(DROP, [[name, base64.b64encode(data).decode()] for name, data in files])

    def take(self, *files: File) -> None:
        """Drops files and waits for the end of the work on them."""
        self.drop(*files)
        self.wait("document.getElementById('result').ariaBusy === 'false'", "no end")

    def text(self, id: str) -> str:
        """The text of an element, hidden or not."""
        found: str = self.browser.execute_script(f"return document.getElementById('{id}').textContent")
        return found

    def marks(self) -> list[str]:
        """The verdicts on latents and pixels."""
        verdicts = self.browser.find_elements(By.CSS_SELECTOR, "#results:not([hidden]) #digests strong")
        return [verdict.text for verdict in verdicts]

    def bytes_of(self, selector: str) -> bytes:
        """The file to which an element leads. The page may fetch none itself: KEEP has kept it."""
        script = """
            const [selector, done] = arguments;
            const node = document.querySelector(selector);
            const reader = new FileReader();
            reader.onload = () => done(reader.result.split(",")[1]);
            reader.readAsDataURL(kept.get(node.href ?? node.src));"""
        return base64.b64decode(self.browser.execute_async_script(script, selector))


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a page on this machine as the command does. Gives its address."""
    with website.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, as the command writes it."""
    folder = tmp_path_factory.mktemp("page")
    website.write(folder)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": KEEP})
    with serving(folder) as url:
        yield url


@pytest.fixture
def page(browser: Any, served: str) -> Iterator[Page]:
    """The page, just opened. The console stays empty."""
    page = Page(browser, served)
    page.open()
    yield page
    assert browser.get_log("browser") == [], "the console has messages"


def vectors(requirement: str) -> list[Vector]:
    return [vector for vector in frozen().vectors if vector.requirement == requirement]


def stream_of(vector: Vector) -> File:
    return f"{vector.id.replace('/', '-')}.mbt", vector.input_files["stream"].content


def model_file(name: str) -> File:
    return f"{name}.safetensors", (MODELS / "edge.safetensors").read_bytes() if name == "edge" else embedded(name)


def png(samples: np.ndarray[Any, Any], **options: Any) -> bytes:
    """A file of a picture. options: as of Pillow's `save`."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(samples).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


def test_golden_streams(page: Page) -> None:
    """Every golden stream of DECODE-1 gives golden latents, and golden pixels where a vector has them."""
    equal, unknown = "✓ equal the golden ones", "– no golden ones are known for this stream"
    wrong = []
    here = {"lite-q3", "lite-q4", "lite-q5", "lite-q6"}
    for vector in sorted(vectors("DECODE-1"), key=lambda vector: str(vector.model)):
        if vector.model not in here:
            page.take(model_file(str(vector.model)))
            here.add(str(vector.model))
        page.take(stream_of(vector))
        marks = page.marks()
        if marks != [equal, equal if "image" in vector.expected_files else unknown]:
            wrong.append((vector.id, marks, page.text("refusal")))
    assert not wrong, f"not golden: {wrong}"
    found = PIL.Image.open(io.BytesIO(page.bytes_of("#decoded"))).convert("RGB")
    assert np.array_equal(np.array(found), vector.expected["image"]), "the picture has other pixels"


def test_what_is_not_golden(browser: Any, tmp_path: Path) -> None:
    """Where the golden latents or pixels are others, the page says that they differ."""
    website.write(tmp_path)
    stream = stream_of(vectors("DECODE-1")[0])
    golden = json.loads((tmp_path / "golden.json").read_bytes())
    golden[hashlib.sha256(stream[1]).hexdigest()]["pixels"] = "0" * 64
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    with serving(tmp_path) as url:
        page = Page(browser, url)
        page.open()
        page.take(stream)
        assert page.marks() == ["✓ equal the golden ones", "✗ differ from the golden ones"]
        assert "Pixels: differ" in page.text("status"), page.text("status")


def test_refusals(page: Page) -> None:
    """A bad stream is refused with its kind and a byte, in words; a picture that is too large by its number."""
    for vector in vectors("DECODE-2"):
        data = stream_of(vector)[1]
        if vector.rejected == Kind.UNKNOWN_MODEL and data[4:12].hex() in FINGERPRINTS.values():
            continue  # a right stream of another model, which the page has
        page.take(stream_of(vector))
        found = page.text("refusal")
        height, width = np.frombuffer(data[12:16].ljust(4, b"\0"), "<u2").astype(int)
        held = vector.rejected == Kind.TOO_LARGE or (height * width <= 2**24 and max(height, width) < 2**15)
        kind = vector.rejected if held else "page-limit"
        assert f"kind {kind}" in found, f"{vector.id} should be {kind}: {found}"
        assert re.search(r"Byte [\d,]+: \w" if held else r"has [\d,]{6,} pixels", found), f"{vector.id}: {found}"
        assert page.marks() == [], f"{vector.id}: an older picture is shown"
    page.take(stream_of(vectors("DECODE-1")[0]))
    assert page.text("refusal") == "", "the refusal stays"


@pytest.mark.parametrize("size", [(2**12 + 1, 2**12), (1, 2**15)])
def test_a_picture_that_is_too_large(size: tuple[int, int], page: Page) -> None:
    """A picture that the page can't hold is refused by its size, before it is decoded."""
    page.take(("a.png", png(np.zeros(size, bool))))
    expected = max(size) if max(size) >= 2**15 else size[0] * size[1]
    assert f"It has {expected:,} pixels" in page.text("refusal"), page.text("refusal")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("empty", b"", "not-a-picture"),
        ("empty.mbt", b"", "truncated"),
        ("text.png", b"text", "not-a-picture"),
        ("half.png", png(picture(20, 70))[:300], "not-a-picture"),
        ("cut.safetensors", model_file("edge")[1][:-4], "not-a-model"),
        ("head.safetensors", model_file("edge")[1][:9000], "not-a-model"),
        ("other.safetensors", model_file("edge")[1].replace(b"g_s.6.weight", b"g_s.6.height"), "not-a-model"),
        ("empty.safetensors", b"", "not-a-model"),
    ],
)
def test_files_of_no_use(name: str, data: bytes, kind: str, page: Page) -> None:
    """What is no whole stream, picture or model is refused by its kind, which is told once."""
    page.take((name, data))
    assert f"kind {kind}" in page.text("refusal"), page.text("refusal") or page.text("status")
    assert page.text("status") == "", "a screen reader tells it twice"


def test_many_files(page: Page) -> None:
    """Of many files the first is taken, and the page says so; a model among them serves it."""
    vector = next(v for v in vectors("DECODE-1") if v.id == "DECODE-1/edge/shown")
    page.take(stream_of(vector), ("a.txt", b""), model_file("edge"), ("b.txt", b""))
    page.wait("document.getElementById('status').textContent.startsWith('Decoded')", "not decoded")
    assert "the first of 3 files" in page.text("title"), page.text("title")


def test_missing_files(browser: Any, tmp_path: Path) -> None:
    """Where a file of the page can't be fetched the page says so, and works once it can."""
    website.write(tmp_path)
    with serving(tmp_path) as url:
        page = Page(browser, url)
        page.open()
        for name in ("worker.mjs", "examples/kodim23.mbt"):
            (tmp_path / name).rename(tmp_path / "away")
            for there in (False, True):
                if there:
                    (tmp_path / "away").rename(tmp_path / name)
                browser.find_element(By.CSS_SELECTOR, "#list button").click()
                page.wait("document.getElementById('result').ariaBusy === 'false'", f"no end without {name}")
                assert bool(page.marks()) is there, f"{name} is there: {there}: {page.text('refusal')}"
    browser.get_log("browser")


def pictures() -> Iterator[tuple[str, bytes, np.ndarray[Any, Any]]]:
    """Pictures of each kind: name, file, and the samples that are encoded."""
    rgb = picture(20, 70)
    alpha = np.where(np.arange(70) < 30, 0, 255).astype(np.uint8) * np.ones((20, 1), np.uint8)
    white = np.where(alpha[:, :, None] > 0, rgb, 255).astype(np.uint8)
    turned = PIL.Image.Exif()
    turned[0x112] = 6  # to be turned by 90° clockwise
    dark = PngInfo()
    dark.add(b"gAMA", (100_000).to_bytes(4, "big"))
    yield "rgb.png", png(rgb), rgb
    yield "grey.png", png(rgb[:, :, 0]), np.dstack([rgb[:, :, 0]] * 3)
    yield "transparent.png", png(np.dstack([rgb, alpha])), white
    yield "lossless.webp", png(rgb, format="WEBP", lossless=True), rgb
    yield "no-suffix", png(rgb, format="BMP"), rgb
    yield "turned.png", png(rgb, exif=turned), np.rot90(rgb, -1)
    yield "gamma.png", png(rgb, pnginfo=dark), rgb


@pytest.mark.parametrize(("name", "file", "samples"), list(pictures()))
def test_encoded_pictures(name: str, file: bytes, samples: np.ndarray[Any, Any], page: Page) -> None:
    """The page writes exactly the reproducible stream of a picture; its PSNR and JPEG's are those of the files."""
    page.take((name, file))
    model = mbtref.load("lite-q4", reproducible=True)
    stream = page.bytes_of("#downloads a")
    assert stream == mbtref.encode(model, np.ascontiguousarray(samples)), f"{name} has another stream"
    decoded = mbtref.decode(model, stream)
    assert digest_of("image", decoded) in page.text("digests"), "another SHA-256 of the pixels"
    (_, own, _, quality), (_, size, _, other) = (
        [cell.text for cell in row.find_elements(By.XPATH, "./*")]
        for row in page.browser.find_elements(By.CSS_SELECTOR, "#compared tbody tr")
    )
    assert int(own.replace(",", "")) == len(stream), f"{name} has another size"
    assert float(quality) == pytest.approx(psnr(samples, decoded), abs=0.006), f"{name} has another PSNR"
    page.browser.execute_script("document.getElementById('is-jpeg').click()")
    jpeg = page.bytes_of("#other")
    shown = np.array(PIL.Image.open(io.BytesIO(jpeg)))
    assert int(size.replace(",", "")) == len(jpeg), f"the JPEG of {name} has another size"
    assert float(other) == pytest.approx(psnr(samples, shown), abs=0.3), f"the JPEG of {name} has another PSNR"
    assert ("white" in page.text("notes")) is (name == "transparent.png"), page.text("notes")


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(-10 * np.log10(np.mean((a - b.astype(float)) ** 2) / 255**2))


def test_a_stream_waits_for_its_model(page: Page) -> None:
    """An unknown model is named by its fingerprint. Once its file comes, the stream is decoded; so are both."""
    vector = next(v for v in vectors("DECODE-1") if v.id == "DECODE-1/edge/shown")
    page.take(stream_of(vector))
    fingerprint = vector.input_files["stream"].content[4:12].hex()
    assert fingerprint in page.text("refusal"), page.text("refusal")
    page.take(("other.safetensors", b"no model"))
    assert "not-a-model" in page.text("refusal"), page.text("refusal")
    page.take(model_file("edge"))
    assert page.marks(), "the stream isn't decoded"
    page.open()
    page.take(stream_of(vector), model_file("edge"))
    assert page.marks(), "a stream and its model aren't decoded"


def test_the_last_file_wins(page: Page) -> None:
    """A newer file takes the place of an older one, and Cancel ends the work; the page stays alive and says so."""
    vector = vectors("DECODE-1")[0]
    large = ("large.png", png(picture(1000, 1500)))
    page.drop(large)
    page.wait("document.querySelector('progress').value > 0", "no progress")
    assert page.text("status").endswith("large.png"), page.text("status")
    page.take(stream_of(vector))
    assert "lite-q3" in page.text("title"), "the older file wins"
    assert page.marks()[0].startswith("✓"), page.marks()
    page.drop(large)
    page.browser.find_element(By.ID, "cancel").click()
    assert page.text("status") == "Cancelled: large.png"
    page.browser.find_element(By.ID, "model").send_keys(Keys.ARROW_DOWN)
    assert not page.browser.find_element(By.ID, "result").is_displayed(), "the work goes on"
    page.take(stream_of(vector))
    assert page.text("status").startswith("Decoded DECODE-1-lite-q3"), page.text("status")


def test_keyboard(page: Page) -> None:
    """Tab reaches every control, each shows its focus, Enter opens an example, and arrows move the divider."""
    active = "return document.activeElement.id || document.activeElement.textContent"

    def press(*keys: str) -> str:
        page.browser.switch_to.active_element.send_keys(*keys)
        found: str = page.browser.execute_script(active)
        return found

    reached = [press(Keys.TAB) for _ in range(8)]
    assert reached[:2] == ["choose", "model"], f"Tab goes to {reached}"
    assert "drawing" in reached[6], f"Tab goes to {reached}"
    outline = page.browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", f"focus is shown by {outline}"
    page.browser.execute_script("document.querySelectorAll('#list button')[4].focus()")
    press(Keys.ENTER)
    page.wait("!document.getElementById('results').hidden", "Enter opens nothing")
    reached = [press(Keys.TAB) for _ in range(5)]
    assert reached[0] == "divider", f"after the title Tab goes to {reached}"
    assert "mapped" in reached, f"after the title Tab goes to {reached}"
    divider = page.browser.find_element(By.ID, "divider")
    divider.send_keys(Keys.ARROW_RIGHT)
    said = divider.get_attribute("ariaValueText")
    assert said.startswith("51 % original"), f"the divider says {said}"
    page.browser.find_element(By.ID, "mapped").send_keys(Keys.SPACE)
    assert "bits per pixel" in page.browser.find_element(By.ID, "words").text, "the map has no words"
    page.browser.find_element(By.ID, "model").send_keys(Keys.ARROW_DOWN)
    assert page.browser.execute_script(active) == "model", "a choice takes the focus away"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_widths_and_themes(width: int, scheme: str, page: Page) -> None:
    """The page never scrolls sideways, and all its text has a contrast of 4.5 or more, in each state."""
    page.open(width, scheme)
    wide, bad = ("a" * 60 + ".png", png(picture(40, 600))), stream_of(vectors("DECODE-2")[0])
    for files in ([], [wide], [bad]):
        if files:
            page.take(*files)
        page.browser.execute_script("document.querySelector('#mapped:not(:checked)')?.click()")
        found = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert found <= width, f"the page is {found} pixels wide on a screen of {width}, with {len(files)} file"
        faint = [text for contrast, text in page.browser.execute_script(CONTRASTS) if contrast < 4.5]
        assert not faint, f"{scheme}: too little contrast: {faint}"


def test_without_a_server(page: Page, tmp_path: Path) -> None:
    """Opened as a file, where browsers run no modules, the page says what to do."""
    website.write(tmp_path)
    page.browser.get((tmp_path / "index.html").as_uri())
    page.wait("getComputedStyle(document.getElementById('fallback')).visibility === 'visible'", "no word")
    assert "mbtref page --open" in page.text("fallback")
    page.browser.get_log("browser")


def test_no_request_to_anywhere_else(page: Page, served: str) -> None:
    """Whatever was done on the page before, page and worker asked nothing of anybody but their own server."""
    page.take(stream_of(vectors("DECODE-1")[0]))
    log = (Path(page.browser.capabilities["chrome"]["userDataDir"]) / NETWORK).read_text(encoding="utf-8")
    own = served.rstrip("/")
    lines = [line for line in log.splitlines() if f'"initiator":"{own}"' in line]
    asked = {url for line in lines for url in re.findall('"url":"([^"]*)"', line)}
    assert f"{own}/models/gaussian.safetensors" in asked, f"the log hasn't what the worker asked for: {asked}"
    assert all(url.startswith((f"{own}/", f"blob:{own}/")) for url in asked), f"other requests: {asked}"


@pytest.mark.parametrize(
    "example", [one for one in json.loads((ROOT / "web" / "examples.json").read_bytes()) if "pixels" in one]
)
def test_golden_pixels_of_examples(example: dict[str, str]) -> None:
    """The SHA-256 of an example's pixels is that of the reference."""
    model = mbtref.load(example["file"].split("/")[1], reproducible=True)
    decoded = mbtref.decode(model, (FOLDER / example["file"]).read_bytes())
    assert digest_of("image", decoded) == example["pixels"], f"{example['title']} has other pixels"


def test_the_command_writes_a_whole_page(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is written whole or not at all, over an older one too, and never beside anything else."""
    folder = tmp_path / "new" / "page"

    def fail(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        terminal.fails(1, "No space left", "page", "-o", folder)
    assert not list(folder.rglob("*")), "a part of it is left"
    for _ in range(2):
        assert "static host" in terminal.prints("page", "-o", folder)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == website.files().keys(), "other files"
    for other in (tmp_path / "link" / "models", tmp_path / "file" / "models"):
        other.parent.mkdir()
        other.symlink_to(tmp_path) if other.parent.name == "link" else other.touch()
        terminal.fails(1, "models, which isn't of the page", "page", "-o", other.parent)
    (folder / "mine.txt").write_text("mine")
    terminal.fails(1, "mine.txt, which isn't of the page", "page", "-o", folder)
    terminal.fails(2, "is not a folder", "page", "-o", folder / "mine.txt")
    terminal.fails(2, "-o", "page")
    terminal.fails(2, "--port is for --open", "page", "-o", folder, "--port", "8000")
    terminal.fails(2, "65535", "page", "--open", "--port", "65536")


def test_the_command_serves_the_page(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--open` serves the right types on this machine alone and opens a browser; Ctrl-C ends it quietly."""
    types = {
        "": "text/html", "page.mjs": "text/javascript", "worker.mjs": "text/javascript", "style.css": "text/css",
        "icon.svg": "image/svg+xml",
    }  # fmt: skip
    found: dict[str, str] = {}
    opened = Queue[str]()

    def serve(server: ThreadingTCPServer) -> None:
        url = opened.get(timeout=60)
        assert url.startswith("http://127.0.0.1:"), url
        for name in types:
            asking = ThreadPoolExecutor().submit(urllib.request.urlopen, url + name)
            server.handle_request()
            with asking.result() as answer:
                found[name] = answer.headers["Content-Type"].partition(";")[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", opened.put)
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", serve)
    out, errors = terminal.ends(0, "page", "--open")
    assert "http://127.0.0.1:" in out, out
    assert errors == "", errors
    assert found == types
    with website.server(ROOT, 0) as taken:
        terminal.fails(1, f"port {taken.server_port}", "page", "--open", "--port", taken.server_port)
