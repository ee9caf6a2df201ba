"""What the documentation shows is what its code does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mbtref.suite import kodak, requirements
from tests.support import picture, write_png

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d+(?:\.(\d+))?(e[+-]\d+)?")
SCATTER = 0.005
"""Relative: what the floats of another machine may move a figure by, where one latent is rounded otherwise."""


def run_page(text: str, folder: Path) -> str:
    """Runs the Python blocks of a page in a folder. Returns the page with what they printed."""
    (folder / "docs").mkdir()
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "run.py"), str(path)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"the page's code fails:\n{done.stderr}"
    return path.read_text(encoding="utf-8")


def test_the_walkthrough(tmp_path: Path) -> None:
    """The walkthrough's outputs are what its code prints, within what another machine's floats may move."""
    if not (kodak.folder() / "kodim20.png").is_file():
        pytest.skip("not run: no Kodak pictures, see 'mbtref kodak fetch'")
    text = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    fresh = run_page(text, tmp_path)
    assert NUMBER.sub("", fresh) == NUMBER.sub("", text), "the words of an output changed"
    for shown, found in zip(NUMBER.finditer(text), NUMBER.finditer(fresh), strict=True):
        last_digit = 10.0 ** -len(shown[1] or "") if shown[1] and not shown[2] else 0
        expected = pytest.approx(float(shown[0]), rel=SCATTER, abs=1.1 * last_digit)
        assert float(found[0]) == expected, f"it says {shown[0]}, found {found[0]}"
    made = {path.name for path in (tmp_path / "docs").iterdir()}
    linked = set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", text))
    assert linked <= made, f"figures {linked - made} aren't made"


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


def test_the_specification_states_all_limits() -> None:
    """Whoever reads the specification alone knows by which limits the suite judges."""
    text = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
    *_, table = requirements.page().split("## Limits")
    for line in table.strip().splitlines():
        assert line in text, f"§11 lacks: {line}"
