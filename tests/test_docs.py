"""What the documentation shows is what its code does."""

import base64
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mbtref.suite import kodak, requirements
from mbtref.suite.subjects.compressai import CompressAI, compressai
from mbtref.suite.vectors import frozen
from tests import oracle
from tests.support import ROOT, child, output_of, picture, write_png

NUMBER = re.compile(r"\d+(?:\.(\d+))?(e[+-]\d+)?")
PAGES = sorted(page for folder in (".", "docs", "training", "vectors") for page in (ROOT / folder).glob("*.md"))
WALKTHROUGH = ROOT / "docs" / "walkthrough.md"
SCATTER = 0.005
"""Relative: what the floats of another machine may move a figure by, where one latent is rounded otherwise."""


def run_page(text: str, folder: Path) -> str:
    """Runs the Python blocks of a page in a folder. Returns the page with what they printed."""
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    output_of("-W", "error", ROOT / "docs" / "run.py", path, folder=folder)
    return path.read_text(encoding="utf-8")


def test_the_notebook_is_the_walkthrough() -> None:
    """The notebook has the words, the code and the outputs of the page, with its pictures in them."""
    page, made = (WALKTHROUGH.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".md", ".ipynb"))
    notebook = runpy.run_path(str(ROOT / "docs" / "run.py"))["notebook"]
    assert made == notebook(page, WALKTHROUGH.parent), "run 'python docs/run.py docs/walkthrough.md'"
    outputs = [output for cell in json.loads(made)["cells"] for output in cell.get("outputs", ())]
    pictures = [base64.b64decode(output["data"]["image/png"]) for output in outputs if "data" in output]
    assert len(pictures) == 2, f"{len(pictures)} charts"
    assert all(picture.startswith(b"\x89PNG") for picture in pictures), "a chart is no PNG file"


def in_words(path: Path) -> str:
    """The cells of a notebook in order: their sources, and the text of their outputs."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        parts += [
            *cell["source"],
            *(line for output in cell.get("outputs", ()) for line in output.get("text", ())),
        ]
    return "".join(parts)


def test_the_walkthrough(tmp_path: Path) -> None:
    """The notebook's outputs are what its cells print, in order, within what another machine's floats may move."""
    if not (kodak.folder() / "kodim20.png").is_file():
        pytest.skip("not run: no Kodak pictures, see 'mbtref kodak fetch'")
    made = tmp_path / "page.ipynb"
    made.touch()
    page = run_page(WALKTHROUGH.read_text(encoding="utf-8"), tmp_path)
    text, fresh = in_words(WALKTHROUGH.with_suffix(".ipynb")), in_words(made)
    assert NUMBER.sub("", fresh) == NUMBER.sub("", text), "the words of an output changed"
    for shown, found in zip(NUMBER.finditer(text), NUMBER.finditer(fresh), strict=True):
        last_digit = 10.0 ** -len(shown[1] or "") if shown[1] and not shown[2] else 0
        expected = pytest.approx(float(shown[0]), rel=SCATTER, abs=1.1 * last_digit)
        assert float(found[0]) == expected, f"it says {shown[0]}, found {found[0]}"
    linked = set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", page))
    assert linked == {path.name for path in tmp_path.glob("*.png")}, f"of the figures {linked} not all are made"


def test_the_readme(tmp_path: Path) -> None:
    """The README's Python runs as it stands."""
    write_png(tmp_path / "picture.png", picture(64, 64))
    page = run_page((ROOT / "README.md").read_text(encoding="utf-8"), tmp_path)
    assert re.search(r"```text\n\d\.\d+ bpp\n```", page), "it should print a rate"
    assert (tmp_path / "decoded.png").is_file(), "it should write a picture"


def test_the_page_of_requirements_is_made() -> None:
    """docs/requirements.md is what the table of requirements gives."""
    made = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    assert made == requirements.page(), "run 'mbtref requirements -o docs/requirements.md'"


def test_the_specification_points_to_the_limits() -> None:
    """The specification leads its reader to every limit, and repeats none."""
    text = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
    assert "(requirements.md#limits), which is part of this specification" in text, "§11 doesn't name the table"
    for key, name, _ in requirements.limits():
        assert f"| {key} | {name} |" not in text, f"the limit {name} of {key} stands in two places"


def test_what_differs_in_the_wild() -> None:
    """Every requirement and every mutant that docs/in-the-wild.md names is one, and each row has a requirement."""
    page, gallery = (
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("in-the-wild.md", "mutants.csv")
    )
    known = {line.partition(",")[0] for line in gallery.splitlines()[1:]}
    section = page.partition("## What differs")[2]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if re.match(r"\| (?!what differs)", line)]
    assert len(rows) > 20, f"only {len(rows)} differences were found"
    for what, _, caught, _, mutants in rows:
        named = set(re.findall(r"[A-Z]+-\d", caught))
        assert named, f"no requirement catches that{what}"
        assert named <= set(requirements.REQUIREMENTS), f"no such requirement: {named}"
        assert set(re.findall(r"`(\w+)`", mutants)) <= known, f"no such mutants: {mutants}"


def test_the_first_verdict(tmp_path: Path) -> None:
    """The subject of docs/subjects.md gets the verdicts shown there: without escapes, then with them."""
    blocks = re.findall(r"```(?:python)?\n(.*?)```", section("docs/subjects.md", "## A first verdict"), re.DOTALL)
    _, code, asked, failure, counts, escapes, right = blocks
    mended, replaced = re.subn(r" *symbols = .*\n", lambda _: escapes, code)
    assert replaced == 1, "there isn't one line of symbols to replace"
    for subject, shown in ((code, failure + counts), (mended, right)):
        (tmp_path / "mine.py").write_text(subject, encoding="utf-8")
        done = child("-m", *asked.split(), "-p", "no:cacheprovider", folder=tmp_path)
        said = re.sub(r" \d+ deselected,", "", done.stdout)
        for line in shown.splitlines():
            assert line in said, f"the suite doesn't say {line!r}:\n{said}{done.stderr}"


def section(page: str, heading: str) -> str:
    """The part of a page that a heading begins."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"\n{heading}\n" in text, f"{page} has no {heading!r}"
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


def python_of(part: str) -> list[str]:
    """Its blocks of Python."""
    return re.findall(r"```python\n(.*?)```", part, re.DOTALL)


def test_the_example_in_javascript(tmp_path: Path) -> None:
    """The code of the section is the port's own, and its mistake gets the message shown there."""
    if shutil.which("node") is None:
        pytest.skip("not run: no node")
    part = section("docs/subjects.md", "## In any other language")
    web = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.mjs")}
    table, right = re.findall(r"```js\n(.*?)```", part, re.DOTALL)
    assert all(line in web["subject.mjs"] for line in table.splitlines()), f"these aren't the lines: {table}"
    assert right in web["codec.mjs"], f"this isn't the line: {right}"
    (wrong,) = re.findall(r"`(.*>> 17)`", part)
    for name, text in web.items():
        mistaken = text.replace(right, f"const leaky = (out) => (out < 0 ? {wrong} : out);\n")
        (tmp_path / name).write_text(mistaken, encoding="utf-8")
    asked = ("--requirement", "EXACT-1", "-k", "saturated", "-p", "no:cacheprovider")
    done = child("-m", "mbtref", "conformance", "--subject", "cmd:node subject.mjs", *asked, folder=tmp_path)
    (shown,) = re.findall(r"```\n(EXACT-1.*?)```", part, re.DOTALL)
    assert all(line in done.stdout for line in shown.splitlines()), done.stdout + done.stderr


@oracle.needs_compressai
def test_the_examples_for_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docs/subjects.md find the files of every model, fill a port, and adapt a fork."""
    example, filling, fork = python_of(section("docs/subjects.md", "## In Python"))
    names: dict[str, Any] = {"MyCodec": lambda weights, tables: (weights, tables)}
    exec(example, names)
    for model in frozen().models:
        weights, tables = names["load"](model)
        assert {"g_a.0.weight", "h_s.4.bias"} <= weights.keys(), f"{model}: the file has {sorted(weights)}"
        assert tables["thresholds"].shape == (63,), "these aren't the tables of y"

    kind = compressai("models").JointAutoregressiveHierarchicalPriors
    port = SimpleNamespace(encoder=kind().g_a, hyper_encoder=kind().h_a, decoder=kind().g_s)
    exec(filling, {"mypkg": SimpleNamespace(Codec=lambda: port), "model": "edge"})
    assert port.encoder[6].weight.shape == (5, 3, 5, 5), "the port isn't filled"

    monkeypatch.setitem(sys.modules, "theirs", ModuleType("theirs"))
    monkeypatch.setitem(sys.modules, "theirs.models", SimpleNamespace(JointAutoregressiveHierarchicalPriors=kind))
    exec(fork, names)
    pixels = picture(50, 70)
    held, due = (of.call("reconstruct", "lite-q3", {"image": pixels}) for of in (names["Subject"](), CompressAI()))
    assert np.array_equal(held["image"], due["image"]), "the fork isn't the same codec"


def test_the_requirement_recipe(tmp_path: Path) -> None:
    """The recipe of CONTRIBUTING.md for a requirement runs as it is written, from its entry to its cases."""
    recipe = section("CONTRIBUTING.md", "## A requirement")
    (entry,), (code,) = re.findall(r"```toml\n(.*?)```", recipe, re.DOTALL), python_of(recipe)
    left_out = shutil.ignore_patterns("__pycache__", "*-q?.safetensors", "gaussian.safetensors")
    for folder in ("conformance", "docs", "vectors", "mbtref"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=left_out)
    for path in (ROOT / "mbtref" / "data").iterdir():
        (tmp_path / "mbtref" / "data" / path.name).symlink_to(path)
    with (tmp_path / "mbtref" / "suite" / "data" / "requirements.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{entry}")
    (name,) = re.findall(r"`(test_\w+\.py)`, whole:", recipe)
    (tmp_path / "conformance" / name).write_text(code, encoding="utf-8")
    commands = re.findall(r"^(mbtref|pytest conformance) (.*?)(?: +#.*)?$", recipe, re.MULTILINE)
    assert len(commands) == 4, f"the recipe has the commands {commands}"
    for program, options in commands[:3]:
        module = program.replace("pytest", "pytest -p no:cacheprovider")
        said = output_of(
            "-m", *module.split(), *options.split(), folder=tmp_path, more={"PYTHONPATH": str(tmp_path)}
        )
        if "generate" in options:
            assert re.findall("^  .*", said, re.MULTILINE) == ["  manifest.json, requirements: changed"], said
    assert re.search(r"[1-9] passed, \d+ deselected", said), said


def anchors(path: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    """Every relative link of a page leads to a file or a heading, and every path in its words is there."""
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"the link {link} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{link}: no such heading"
    for named in re.findall(r"`((?:mbtref|conformance|vectors|training|tests|docs|mutants)/[\w./-]+)`", text):
        assert "NAME" in named or (ROOT / named).exists(), f"there is no {named}"
