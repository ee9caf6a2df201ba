"""The report page: one file, whole, with every result; and what a reader can do with it in a real browser."""

import dataclasses
import io
import itertools
import os
import platform
import re
import shutil
import sys
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import PIL.Image
import pytest
import torch
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from mbtref import Model, image, load, workbench
from mbtref.suite import kodak
from mbtref.workbench import analysis, picturefiles
from mbtref.workbench.evaluate import Measured, measure
from mbtref.workbench.inputs import find_pictures
from mbtref.workbench.machine import setting
from tests.support import ROOT, Terminal, emulate, picture, run, write_png

MODELS = ("lite-q3", "lite-q4")
FIGURES = ("x_hat", "residual", "bits", "decoded", "difference", "channels' rates", "y_hat")
"""Of one picture at one model. The original is drawn once for all models, and there is one staircase or two."""


class Made(NamedTuple):
    """A report and how making it ended."""

    folder: Path
    """Of the pictures."""
    page: Path
    status: int
    error: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A report on two pictures at two models; a third one is broken. One name has what HTML must escape."""
    folder = tmp_path_factory.mktemp("pictures")
    write_png(folder / "a <b> & 'c'.png", picture(170, 180))
    write_png(folder / "d.png", picture(64, 64))
    (folder / "e.png").write_bytes(b"broken")
    target = tmp_path_factory.mktemp("report") / "made" / "here"
    with pytest.MonkeyPatch.context() as patch:
        error = io.StringIO()
        patch.setattr(sys, "stderr", error)
        status = run("report", folder, "--model", ",".join(MODELS), "-o", target)
    return Made(folder, target / "index.html", status, error.getvalue())


class Page(HTMLParser):
    """Addresses, alternative texts, cells of the tables and all text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.alternatives: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[key] or "" for key in ("src", "href", "srcset", "action", "data") if key in given]
        if tag == "img":
            self.alternatives.append(given["alt"] or "")
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.in_cell:
            self.tables[-1][-1][-1] += data.strip()


def test_one_file_without_outside_references(made: Made) -> None:
    """The page stands alone in its folder, and neither it nor a figure in it names another file."""
    assert [path.name for path in made.page.parent.iterdir()] == ["index.html"], "other files lie beside the page"
    text = made.page.read_text("utf-8")
    found = Page(text)
    rest = text
    for address in found.addresses:
        assert address.startswith(("data:", "#")), f"the page names {address[:60]}"
        rest = rest.replace(address, "")
        figure = re.sub(r' xmlns(:xlink)?="[^"]*"', "", unquote(address))
        named = re.findall(r'(?:href|src)="([^"]{0,40})|url\(([^)]*)|(https?:.{40})', figure)
        names = filter(None, itertools.chain(*named))
        outside = [name for name in names if not name.startswith(("data:image/webp", "#"))]
        assert not outside, f"a figure names {outside}"
    assert not re.search(r"@import|url\(|https?:", rest), "a style or script names an address"
    assert len(found.alternatives) == 1 + 2 * len(MODELS) * len(FIGURES), f"{len(found.alternatives)} figures"
    assert all(found.alternatives), "a figure has no alternative text"


def test_all_records_are_shown(made: Made) -> None:
    """Tables hold the figures of every picture at every model, and their means; times are positive."""
    summary, table = Page(made.page.read_text("utf-8")).tables
    groups = ["bitstream", "theoretical", "over theoretical", "buffer / bpp", "time / s"]
    for heads, first in ((summary, "model"), (table, "picture")):
        assert list(filter(None, heads[0])) == groups, f"groups of columns: {heads[0]}"
        assert heads[1][0] == first, f"columns: {heads[1]}"
    expected = {
        (path.name, name): measure(load(name), picturefiles.read(path), path.name).record
        for path in find_pictures([made.folder])
        if path.name != "e.png"
        for name in MODELS
    }
    rows = {(row[0], row[1]): row[2:] for row in table[2:]}
    assert rows.keys() == expected.keys(), "a result is missing, or one too many"
    for key, record in expected.items():
        r = dataclasses.asdict(record)
        over = f"{100 * (r['bpp_bitstream'] / r['bpp_theoretical'] - 1):+.2f}".replace("-", "−")
        due = [f"{r['bpp_bitstream']:.4f}", f"{r['psnr_bitstream']:.2f}", decibels(r["msssim_bitstream"]),
               f"{r['bpp_theoretical']:.4f}", f"{r['psnr']:.2f}", decibels(r["msssim"]), over,
               f"{r['bpp_buffer_zlib']:.4f}", f"{r['bpp_buffer_raw']:.4f}"]  # fmt: skip
        *figures, encode, decode, equal = rows[key]
        assert figures == due, f"other figures of {key}"
        assert min(float(encode), float(decode)) >= 0, f"{key} took {encode} and {decode} s"
        assert equal == "equal", f"the latents of {key} differ"
    for name, mean, *_ in summary[2:]:
        own = [record.bpp_bitstream for (_, model), record in expected.items() if model == name]
        assert mean == f"{sum(own) / len(own):.4f}", f"the mean of {name} is another"
    assert [row[0] for row in summary[2:]] == list(MODELS), "the summary lacks a model"


def decibels(msssim: float | None) -> str:
    return "–" if msssim is None else f"{-10 * np.log10(1 - msssim):.2f}"


def test_origin(made: Made, terminal: Terminal) -> None:
    """The page says which command, models and versions made it, and what it left out, like the terminal."""
    words = "".join(Page(made.page.read_text("utf-8")).words)
    assert made.status == 1, "a broken picture should end with status 1"
    for line in (made.error, words):
        assert re.search(r"e\.png: .*not a picture", line), f"the broken picture isn't named in {line[:200]!r}"
    for name in MODELS:
        assert load(name).fingerprint.hex() in words, f"the fingerprint of {name} is missing"
    for fact in (f"mbtref report {made.folder}", "Python 3.", "numpy ", platform.machine()):
        assert fact in words, f"{fact!r} is missing"
    assert f"Times are of {setting(torch.device('cpu'))}." in words, "the times belong to no machine"


def test_limit(tmp_path: Path, terminal: Terminal) -> None:
    """Once figures pass the limit no more are made; the tables are whole and the page says so.

    Pictures that are large enough for MS-SSIM get a second staircase. Two pictures of one name are two pictures.
    """
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "same.png", picture(170, 180))
    folders = tmp_path / "a", tmp_path / "b"
    terminal.prints("report", *folders, "--model", "lite-q3", "-o", tmp_path, "--limit", "0.001")
    page = Page((tmp_path / "index.html").read_text("utf-8"))
    assert len(page.alternatives) == 2 + len(FIGURES), "the figures don't stop at the limit"
    assert page.alternatives[1].startswith("MS-SSIM"), f"the second is {page.alternatives[1]}"
    assert len(page.tables[1]) == 2 + 2, "the table isn't whole"
    words = "".join(page.words)
    assert "1 of 2 pictures" in words, "the page doesn't say what it lacks"
    assert "no second staircase" not in words, "it says that it lacks what it has"


def test_unequal_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """A decoder that finds other latents is named, on the page too, and the status is 1."""

    def unequal(model: Model, pixels: image.Image, name: str) -> Measured:
        measured = measure(model, pixels, name)
        return measured._replace(record=dataclasses.replace(measured.record, symbols_equal=False))

    monkeypatch.setattr(analysis, "measure", unequal)
    write_png(tmp_path / "a.png", picture(64, 64))
    asked = ("report", tmp_path / "a.png", "--model", "lite-q3", "-o", tmp_path)
    terminal.fails(1, "a.png at lite-q3", *asked)
    summary, table = Page((tmp_path / "index.html").read_text("utf-8")).tables
    assert summary[2][-1] == table[2][-1] == "differ", "the page doesn't show it"


def test_published_curves_are_of_kodak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """Published curves are drawn beside all Kodak pictures; beside others they aren't, nor are they asked for."""
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    for path, size in ((one, 64), (two, 70)):
        write_png(path, picture(size, size))
    monkeypatch.setattr(kodak, "PIXELS", {p.name: picturefiles.sha256(picturefiles.read(p)) for p in (one, two)})
    for pictures, curves, drawn in (((one, two), (), True), ((one, two), ("vtm",), True), ((one,), (), False)):
        option = ("--curves", *curves) if curves else ()
        asked = (*pictures, "--model", "lite-q3", "-o", tmp_path, "--limit", "0", "--force", *option)
        terminal.prints("report", *asked)
        text = (tmp_path / "index.html").read_text("utf-8")
        assert ("published curves</dt>" in text) is drawn, f"sources of {pictures} with {curves}"
        assert (">VTM<" in unquote(text)) is drawn, f"the figure of {pictures} with {curves}"
        assert ("MS-SSIM the dB of their mean" in text) is (len(pictures) > 1), "the means aren't explained"
    terminal.fails(
        2, "--curves needs the 24 Kodak pictures", "report", one, "-o", tmp_path / "no", "--curves", "vtm"
    )
    assert not (tmp_path / "no").exists(), "a page that isn't what was asked for"


def test_names_on_the_page(tmp_path: Path, terminal: Terminal) -> None:
    """A picture and a model of any name are shown as text, not UTF-8 or control characters too."""
    (tmp_path / os.fsdecode(b"\xff\x1b\xe2\x80\xae <i>.png")).write_bytes(picturefiles.png(picture(64, 64)))
    model = tmp_path / "$x$ {{ y }}\n<b>.safetensors"
    shutil.copy(ROOT / "mbtref" / "data" / "lite-q3.safetensors", model)
    terminal.prints("report", tmp_path, "--model", model, "-o", tmp_path)
    *_, row = Page((tmp_path / "index.html").read_text("utf-8")).tables[1]
    assert row[:2] == [r"\udcff\x1b\u202e <i>.png", r"$x$ {{ y }}\n<b>"], f"the page shows {row[:2]}"


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_packages(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """Without the packages of the report extra, one line says how to get them."""
    write_png(tmp_path / "a.png", picture(64, 64))
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("page", "figures"):
        monkeypatch.delitem(sys.modules, f"mbtref.workbench.{name}", raising=False)
        monkeypatch.delattr(workbench, name)
    advice = f"{package}: pip install 'mbtref[report]'"
    terminal.fails(1, advice, "report", tmp_path / "a.png", "--model", "lite-q3", "-o", tmp_path)


@pytest.fixture
def opened(browser: Any, made: Made) -> Any:
    """The page in the browser, 1280 pixels wide, light."""
    emulate(browser, 1280, "light")
    browser.get(made.page.as_uri())
    return browser


def settled(browser: Any, script: str, expected: list[bool]) -> object:
    """What a script returns: at once if that is expected, otherwise after 10 s. Pages are drawn later."""
    with suppress(TimeoutException):
        WebDriverWait(browser, 10).until(lambda each: each.execute_script(script) == expected)
    found: object = browser.execute_script(script)
    return found


def column(browser: Any, index: int) -> list[str]:
    """A column of the sortable table, from top to bottom."""
    return [
        row.find_elements(By.XPATH, "./*")[index].text
        for row in browser.find_elements(By.CSS_SELECTOR, "table.sortable tbody tr")
    ]


def test_browser_shows_every_figure(opened: Any) -> None:
    """The page loads without a word in the console, and every figure can be drawn."""
    assert opened.get_log("browser") == [], "the console has messages"
    sizes = opened.execute_script("return [...document.images].map(i => i.complete && i.naturalWidth)")
    assert len(sizes) == 1 + 2 * len(MODELS) * len(FIGURES), f"{len(sizes)} figures"
    assert all(sizes), f"figures without a width: {sizes}"


def test_browser_sorts(opened: Any) -> None:
    """A heading sorts by number, once more in the other order; texts as texts. Click, Enter and Space do it."""
    rates, overheads = 2, 6
    opened.execute_script(
        "[...document.querySelectorAll('table.sortable tbody tr')].forEach((row, i) => {"
        "  row.cells[2].dataset.value = row.cells[2].textContent = ['10.5', 'inf', '-1', '9'][i]; })"
    )
    heads = opened.find_elements(By.CSS_SELECTOR, "table.sortable thead tr:last-child th")
    buttons = [head.find_element(By.TAG_NAME, "button") for head in heads]
    for _ in range(20):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        if opened.switch_to.active_element == buttons[rates]:
            break
    else:
        pytest.fail("Tab doesn't reach a heading")
    for key, order, due in (
        (Keys.ENTER, "ascending", ["-1", "9", "10.5", "inf"]),
        (Keys.SPACE, "descending", ["inf", "10.5", "9", "-1"]),
    ):
        opened.switch_to.active_element.send_keys(key)
        assert column(opened, rates) == due, f"not the {order} order of numbers"
        states = [head.get_attribute("aria-sort") for head in heads]
        assert states == ["none"] * rates + [order] + ["none"] * (len(heads) - rates - 1), f"aria-sort: {states}"
    buttons[overheads].click()
    shown = [float(text.replace("−", "-")) for text in column(opened, overheads)]
    assert shown == sorted(shown), f"a click doesn't sort numbers with a minus sign: {shown}"
    buttons[1].click()
    assert column(opened, 1) == ["lite-q3"] * 2 + ["lite-q4"] * 2, "models aren't sorted by name"


@pytest.mark.parametrize("width", [360, 1280])
def test_browser_width(opened: Any, width: int) -> None:
    """The page never scrolls sideways, whatever is opened or enlarged: tables and figures do, in their boxes.

    On a phone a sign tells that a table goes on, and charts are drawn for it; on a large screen neither.
    """
    emulate(opened, width, "light")
    phone = width < 500
    script = "return [...document.querySelectorAll('.onward')].map(s => s.offsetHeight > 0)"
    signs = settled(opened, script, [phone] * 2)
    assert signs == [phone] * 2, f"signs under the tables: {signs}"
    opened.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    script = (
        "return [...document.querySelectorAll('picture')].map(p =>"
        "  p.querySelector('img').currentSrc === p.querySelector('source').srcset)"
    )
    for_phone = [phone] * (1 + 2 * len(MODELS))
    charts = settled(opened, script, for_phone)
    assert charts == for_phone, f"charts for a phone: {charts}"
    opened.execute_script("document.querySelectorAll('figcaption button').forEach(each => each.click())")
    found = opened.execute_script("return document.documentElement.scrollWidth")
    assert found <= width, f"the page is {found} pixels wide on a screen of {width}"
    boxes = opened.execute_script(
        "return [...document.querySelectorAll('.large .box')].map(box => box.scrollWidth > box.clientWidth)"
    )
    assert boxes == [True] * 3 * 2 * len(MODELS), "enlarged figures don't scroll"


def test_browser_dark(opened: Any) -> None:
    """In dark mode page and figures have light ink on a dark ground."""
    pages = set()
    for scheme in ("light", "dark"):
        emulate(opened, 1280, scheme)
        pages.add(opened.execute_script("return getComputedStyle(document.body).backgroundColor"))
        chart = opened.find_element(By.CSS_SELECTOR, "figure.chart img")
        levels = np.asarray(PIL.Image.open(io.BytesIO(chart.screenshot_as_png)).convert("L"), float)
        ground = float(np.median(levels))
        ink = float(levels[np.abs(levels - ground) > 100].mean())
        readable = ink < 130 and ground > 200 if scheme == "light" else ground < 50 and ink > 130
        assert readable, f"{scheme} charts have ink {ink:.0f} on a ground of {ground:.0f}"
    assert len(pages) == 2, f"the page stays {pages}"
