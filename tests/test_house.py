"""The parts of the project and the arrows between them; what starts without PyTorch; what an extra adds."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, child, output_of, picture, write_png

CODEC = ("mbtref", "mbtref.openloop")
DECODER = "mbtref.decoder"
MAKING = ("mbtref.making", *CODEC)
SUITE = ("mbtref.suite", *CODEC)
GENERATE = ("mbtref.suite.generate", *SUITE, *MAKING)
WORKBENCH = ("mbtref.workbench", *GENERATE)
PARTS: dict[str, tuple[str, ...]] = {
    "mbtref": ("mbtref",),
    "mbtref.__main__": ("mbtref.workbench",),
    DECODER: (),
    "mbtref.openloop": CODEC,
    "mbtref.making": MAKING,
    "mbtref.suite": (*SUITE, DECODER),
    "mbtref.suite.generate": GENERATE,
    "mbtref.suite.fuzz": ("mbtref.suite.fuzz", *GENERATE, DECODER),
    "mbtref.workbench": WORKBENCH,
    "conformance": ("mbtref.suite",),
    "training": ("training", *WORKBENCH),
    "benchmarks": ("benchmarks", *WORKBENCH),
    "mutants": ("mutants", *GENERATE, DECODER),
    "release": ("release", *SUITE),
    "docs": ("docs", *WORKBENCH),
}
"""Each part of the project, and the parts that it may import."""
ALL = (*PARTS, "tests")


MISSING = {
    "codec": ("torch", "safetensors"),
    "report": ("bjontegaard", "jinja2", "matplotlib"),
    "cluster": ("dask", "distributed"),
    "import": ("flint",),
    "onnx": ("onnx",),
}
"""Packages that an extra installs."""


def part(module: str) -> str | None:
    """The innermost part that a module is in; None for a library."""
    inside = [name for name in ALL if module == name or module.startswith(f"{name}.")]
    return max(inside, key=len, default=None)


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the parts, by its name."""
    for folder in dict.fromkeys(name.partition(".")[0] for name in PARTS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_imports_upwards() -> None:
    """The codec imports nothing above it, the suite no workbench, and nobody the white-box tests."""
    seen = 0
    for name, path in modules():
        allowed = PARTS[str(part(name))]
        for target in imported(path):
            there = part(target)
            seen += there is not None
            assert there is None or there in allowed, f"{name} imports {target}: an arrow that runs upwards"
    assert seen > 300, f"only {seen} imports were looked at"


WEB = {
    "buffers.mjs": {"./codec.mjs"},
    "codec.mjs": set(),
    "digests.mjs": {"./codec.mjs"},
    "page.mjs": {"worker.mjs"},
    "subject.mjs": {"./buffers.mjs", "./codec.mjs", "node:fs", "node:path", "node:readline"},
    "worker.mjs": {"./codec.mjs"},
}
"""Each module of web/, and what it may import or start."""


def test_the_javascript_stands_alone() -> None:
    """The codec in JavaScript imports nothing, the page no library, and none of its files names another host."""
    for path in (ROOT / "web").glob("*.*"):
        text = path.read_text(encoding="utf-8")
        hosts = set(re.findall(r"https?://[^/\s\"']+", text)) - {"http://www.w3.org"}  # a namespace of SVG
        assert not hosts, f"{path.name} names {hosts}"
        if path.suffix == ".mjs":
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)  # types may come from anywhere
            found = set(re.findall(r"\b(?:from|import|URL)\b[\s(]*[\"']([^\"']+)", code))
            assert found <= WEB[path.name], f"{path.name} imports {found - WEB[path.name]}"
    lines = (ROOT / "web" / "codec.mjs").read_text(encoding="utf-8").count("\n")
    assert lines <= 1000, f"codec.mjs has {lines} lines: it is to be read beside the specification"


def test_assertions_change_nothing() -> None:
    """No assertion stores, takes or writes anything: `python -O` leaves it out."""
    changing = r":=|\.(add|append|clear|extend|insert|pop|put|remove|setdefault|store|unlink|update|write\w*)\("
    for name, path in modules():
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        found = [ast.unparse(node) for node in nodes if isinstance(node, ast.Assert)]
        wrong = [text for text in found if re.search(changing, text)]
        assert not wrong, f"{name}: an assertion does something: {wrong}"


def test_no_link_is_tracked() -> None:
    """A clone without symbolic links, as on Windows, is whole."""
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not run: an unpacked sdist has no list of tracked files")
    links = [line for line in listed.stdout.splitlines() if line.startswith("120000")]
    assert not links, f"symbolic links hide the structure: {links}"


def test_vectors_hold_no_code() -> None:
    """The vectors are data for any language."""
    assert not list((ROOT / "vectors").rglob("*.py")), "there is code among the vectors"


def test_the_one_file_decoder_needs_numpy_alone() -> None:
    """decoder.py imports NumPy and the standard library."""
    found = {name.partition(".")[0] for name in imported(ROOT / "mbtref" / "decoder.py")}
    outside = found - sys.stdlib_module_names
    assert outside == {"numpy"}, f"it needs {outside}"


@pytest.mark.parametrize(
    "code",
    [
        "import mbtref.workbench.cli as cli; cli.parser().format_help()",
        "import mbtref; mbtref.BitstreamError",
        "import mbtref; mbtref.workbench.zoo.load, mbtref.workbench.picturefiles.read",
        "import mbtref.suite.plugin, conformance.test_vectors, conformance.test_portable",
        "import mbtref.decoder",
        "from mbtref.workbench import website; website.files()",
        "import sys; sys.modules['pytest'] = None; import mbtref.workbench.cli",
    ],
)
def test_what_needs_no_network_starts_without_torch(code: str) -> None:
    """The command line's help, the suite and the one-file decoder start without PyTorch."""
    check = "import sys; assert 'torch' not in sys.modules, 'torch is imported'"
    output_of("-c", f"{code}\n{check}")


def test_what_loading_and_encoding_need(tmp_path: Path) -> None:
    """Loading imports nothing that makes tables or files; `mbtref encode` opens nothing known from elsewhere."""
    write_png(tmp_path / "a.png", picture(64, 64))
    code = """
import sys
import mbtref
mbtref.load("lite-q4")
print(*sys.modules)
opened = []
sys.addaudithook(lambda event, given: event == "open" and opened.append(str(given[0])))
from mbtref.workbench.cli import main
assert main(sys.argv[1:]) == 0
assert not [path for path in opened if "workbench/data" in path], "the facts are read"
"""
    printed = output_of("-c", code, "encode", tmp_path / "a.png", "-o", tmp_path / "a.mbt")
    found = {name for name in printed.partition("\n")[0].split() if name.startswith("mbtref.")}
    assert found, f"no module is printed, but {printed!r}"
    assert all(part(name) == "mbtref" for name in found), f"mbtref.load imports {sorted(found)}"


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("encode a.png -o a.mbt", "codec"),
        ("eval a.png --model lite-q3", "codec"),
        ("report a.png --model lite-q3 -o report", "report"),
        ("compare jpeg webp", "report"),
        ("eval a.png --model lite-q3 --cluster tcp://127.0.0.1:9", "cluster"),
        ("tables -o a.safetensors", "import"),
        ("export lite-q3 -o out", "onnx"),
    ],
)
def test_a_missing_extra_is_named(words: str, extra: str, tmp_path: Path) -> None:
    """A command that lacks its packages says in one line what to install."""
    write_png(tmp_path / "a.png", picture(64, 64))
    hidden = f"import sys; sys.modules.update(dict.fromkeys({MISSING[extra]}))"
    code = f"{hidden}; from mbtref.workbench.cli import main; sys.exit(main({words.split()}))"
    done = child("-c", code, folder=tmp_path)
    assert done.returncode == 1, f"it ended with {done.returncode}"
    assert f"pip install 'mbtref[{extra}]'" in done.stderr, f"no advice in {done.stderr!r}"
    assert done.stderr.count("\n") == 1, f"more than a line: {done.stderr!r}"
