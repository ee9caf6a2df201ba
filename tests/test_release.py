"""A release: its archive of vectors says the same in plain bytes, and every place names one version."""

import ast
import io
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

import mbtref
from mbtref.suite.vectors import FOLDER
from release import __main__ as release
from release import archive, minima
from tests.support import ROOT, output_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
"""The versions of Python that pyproject.toml names."""


@pytest.fixture(scope="module")
def unpacked() -> dict[str, bytes]:
    """The files of the archive, by path, before they are compressed."""
    files: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "zipped", files.update)
        archive.archive("set")
    return {name.removeprefix("set/"): data for name, data in files.items()}


def test_the_vectors_are_there_as_they_are(unpacked: dict[str, bytes]) -> None:
    """Manifest, schema, README and all vectors have their own bytes, and the model files lie among them."""
    for path in FOLDER.rglob("*"):
        if path.is_file():
            name = path.relative_to(FOLDER).as_posix()
            assert unpacked[name] == path.read_bytes(), f"{name} has other bytes"
    for name in ("lite-q3", "lite-q6", "edge", "gaussian"):
        assert f"models/{name}.safetensors" in unpacked, f"{name} isn't there"


def test_raw_arrays_need_no_library(unpacked: dict[str, bytes]) -> None:
    """Each array is there as little-endian numbers, whose dtype and shape a line of text tells; so are weights."""
    weights = mbtref.load("lite-q3").networks.state_dict()
    raw = {}
    for path, dtype, *shape in (line.split() for line in unpacked[archive.RAW].decode().splitlines()):
        numbers = np.frombuffer(unpacked[path], np.dtype(dtype).newbyteorder("<"))
        raw[path.removesuffix(".bin")] = numbers.reshape([int(side) for side in shape])
    expected = {f"models/lite-q3/{name}": weights[name].numpy() for name in ("g_a.0.weight", "h_s.4.bias")}
    for path, data in unpacked.items():
        if path.endswith(".npy"):
            expected[path.removesuffix(".npy")] = np.load(io.BytesIO(data))
    for path, array in expected.items():
        assert np.array_equal(raw[path], array), f"{path} has other numbers"


def test_pictures_as_ppm(unpacked: dict[str, bytes]) -> None:
    """A picture's PPM has its header and its pixels, row by row."""
    data = unpacked["stages/lite-q4/odd/picture.ppm"]
    assert data[:15] == b"P6\n71 97\n255\n" + data[13:15], f"its header is {data[:15]!r}"
    assert len(data) == 13 + 97 * 71 * 3, f"it has {len(data)} bytes"


def test_the_archive_depends_on_its_files_alone() -> None:
    """The same files give the same bytes, in whatever order they come."""
    files = {"b/c": b"1", "a": b"2" * 1000}
    zipped = archive.zipped(files)
    assert zipped == archive.zipped(dict(reversed(files.items()))), "another order, other bytes"
    with zipfile.ZipFile(io.BytesIO(zipped)) as found:
        assert {name: found.read(name) for name in found.namelist()} == files, "other files come out of it"


def test_big_endian_arrays() -> None:
    """Raw numbers are little-endian, whatever the array in memory is."""
    array = np.arange(3, dtype=">i4")
    assert archive.little_endian(array) == b"\0\0\0\0\1\0\0\0\2\0\0\0", "another byte order"


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_fit_the_declarations(python: str) -> None:
    """Each requirement of pyproject.toml takes the version of constraints.txt, for each Python."""

    def holds(each: Requirement) -> bool:
        return each.marker is None or each.marker.evaluate({"python_version": python})

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pins = [
        (each.name.lower(), bound.version)
        for each in map(Requirement, lines)
        if holds(each)
        for bound in each.specifier
    ]
    assert len(dict(pins)) == len(pins) > 90, "a package has two versions"
    declared = [each for each in minima.declared() if each.name not in ("mbtref", "build", "twine")]
    wrong = [str(each) for each in declared if holds(each) and dict(pins)[each.name.lower()] not in each.specifier]
    assert not wrong, f"constraints.txt has other versions than {wrong}"


def test_one_oldest_version() -> None:
    """Each package of pyproject.toml has one oldest version."""
    names = [line.partition("==")[0] for line in minima.minima()]
    assert len(set(names)) == len(names) > 20, f"a package is missing, or has two oldest versions: {sorted(names)}"


def test_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changelog, citation and package name the version of pyproject.toml."""
    monkeypatch.setattr(release, "output", lambda *command: "")  # nothing is uncommitted
    version = release.checked_version()
    assert mbtref.__version__ == version, f"installed is {mbtref.__version__}: install again"


@pytest.mark.parametrize(
    ("top", "limit", "complaint"),
    [
        ("tests", 10**6, "would install mbtref, tests"),
        ("mbtref", 100, "more than 100"),
        ("mbtref", 10**6, "doesn't name the repository"),
    ],
)
def test_a_wheel_that_is_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str, limit: int, complaint: str
) -> None:
    """What would be installed beside mbtref is named; a wheel that is too large or names nobody is refused."""
    monkeypatch.setattr(release, "LARGEST_WHEEL", limit)
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as out:
        out.writestr("mbtref/__init__.py", "")
        out.writestr(f"{top}/more.py", "")
        out.writestr(
            "mbtref-0.0.0.dist-info/METADATA", "Project-URL: Issues, https://github.com/OWNER/mbtref/issues"
        )
    with pytest.raises(release.ReleaseError, match=complaint):
        release.check_wheel(tmp_path / "a.whl")


def test_a_full_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old files never get among those of a release."""
    monkeypatch.setattr(release, "checked_version", lambda: "0.0.0")
    (tmp_path / "old.whl").touch()
    assert release.main(["-o", str(tmp_path)]) == 1, "a folder with files in it was taken"
    assert "isn't empty" in capsys.readouterr().err, "it should say why"


def test_a_failing_step_says_its_last_words() -> None:
    """A command that fails ends the release with what it wrote."""
    with pytest.raises(release.ReleaseError, match="ended with 3:\nit went wrong"):
        release.output(sys.executable, "-c", "import sys; print('it went wrong'); sys.exit(3)")


REPOSITORY = PROJECT["project"]["urls"]["Repository"]
LINKS = {
    "[a](docs/a.md#b)": f"[a]({REPOSITORY}/blob/v42.0/docs/a.md#b)",
    "![a](docs/a.png)": f"![a]({REPOSITORY}/raw/v42.0/docs/a.png)",
    "[![a](a.svg)](a.md)": f"[![a]({REPOSITORY}/raw/v42.0/a.svg)]({REPOSITORY}/blob/v42.0/a.md)",
    '<img src="a.png">': f'<img src="{REPOSITORY}/raw/v42.0/a.png">',
    '<source srcset="a.png">': f'<source srcset="{REPOSITORY}/raw/v42.0/a.png">',
    '<a href="LICENSE">': f'<a href="{REPOSITORY}/blob/v42.0/LICENSE">',
    "[a](https://example.org/a.md)": "[a](https://example.org/a.md)",
    "[a](#a)": "[a](#a)",
}
"""Lines of a README, and what an index shows."""


def test_links_on_an_index(tmp_path: Path) -> None:
    """An index gets the README with links and pictures that lead to the repository, at the tag of the version."""
    pytest.importorskip("hatch_fancy_pypi_readme", reason="not run: the extra 'test' is older")
    (tmp_path / "README.md").write_text("\n".join(LINKS), encoding="utf-8")
    shown = output_of("-m", "hatch_fancy_pypi_readme", ROOT / "pyproject.toml", folder=tmp_path)
    assert shown.split("\n")[: len(LINKS)] == list(LINKS.values()), "an index would show other links"


def test_no_text_names_a_file_that_the_wheel_lacks() -> None:
    """Help and messages name only files that are installed too."""
    wrong = []
    for path in [*(ROOT / "mbtref").rglob("*.py"), *(ROOT / "conformance").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
        for word in re.findall(
            r"[\w.-]+/[\w./-]*\w|\w+\.md", " ".join(text for text in texts if isinstance(text, str))
        ):
            inside = word.startswith(("mbtref/", "conformance/", "vectors/", "web/")) or (FOLDER / word).is_file()
            if (ROOT / word).is_file() and not inside:
                wrong.append(f"{path.name}: {word}")
    assert not wrong, f"{wrong} aren't in the wheel"


def test_the_workflow() -> None:
    """The workflow takes the Pythons that pyproject.toml names, and a shell can read its steps."""
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS, "other Pythons than in the classifiers"
    for step in job["steps"]:
        read = subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, capture_output=True)
        assert not read.stderr, f"{step['name']}: {read.stderr}"
