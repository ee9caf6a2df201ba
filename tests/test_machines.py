"""The table of machines: what isn't here is not run, and one digest that differs is a failure."""

import hashlib
import platform
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mbtref.suite.operations import GRID, Values
from mbtref.suite.reports import browsers, emulate, machines
from tests.miniatures import LooksUp

GOOD = ("real", "mbtref", "3 passed", "`aa`", "`bb`", "`cc`")


@pytest.mark.parametrize("missing", ["qemu-s390x-static", "debootstrap"])
def test_a_missing_program_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the emulator, or what sets it up, Node or a GPU, a machine has a row that says what to install."""
    monkeypatch.setattr("shutil.which", lambda program: None if program in (missing, "node") else program)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(emulate, "EMULATORS", {"s390x": emulate.EMULATORS["s390x"]})
    found = [machine for machine in machines.machines(tmp_path) if not isinstance(machine, machines.Machine)]
    assert found == [
        ("real: CUDA", "no CUDA device"),
        (f"real: {platform.machine()}, Node", "it needs Node 20 or later; there is no node on the PATH"),
        ("emulated: s390x", f"{missing} isn't installed ({emulate.INSTALL})"),
    ], f"{found}"


def test_packages_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What debootstrap says last is the reason, and a folder that isn't whole isn't used."""
    monkeypatch.setattr("shutil.which", lambda program: program)
    (tmp_path / "debootstrap").write_text("#!/bin/sh\necho 'E: no mirror' >&2; exit 1\n")
    (tmp_path / "debootstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(emulate.NotHere, match="debootstrap failed: E: no mirror"):
        emulate.python("s390x", tmp_path)
    assert not (tmp_path / "s390x" / emulate.READY).exists(), "half a folder counts as whole"


def test_a_digest_stands_for_all_latents() -> None:
    """The digest of a subject changes with any latent of any stream."""
    vectors = machines.chosen("DECODE-1")
    whole = machines.digest(LooksUp(), vectors, "y_hat")
    assert whole == machines.digest(LooksUp(), vectors, "y_hat"), "a digest isn't the same twice"

    class Wrong(LooksUp):
        def call(self, operation: str, model: str | None, inputs: Values) -> Values:
            right = super().call(operation, model, inputs)
            y_hat = np.array(right["y_hat"])
            y_hat[-1, -1, -1] += inputs["stream"] == vectors[-1].inputs["stream"]
            return {**right, "y_hat": y_hat}

    assert machines.digest(Wrong(), vectors, "y_hat") != whole, "the last latent isn't in the digest"


@pytest.mark.parametrize("name", browsers.BROWSERS)
def test_a_browser_computes_the_digests(name: str) -> None:
    """In a real browser, latents and pixels have the digests of the golden ones, and an error is told in words."""
    if shutil.which(browsers.BROWSERS[name][0][0]) is None:
        pytest.skip(f"not run: no {name}")
    latents = [vector for vector in machines.chosen("DECODE-1") if "y_hat" in vector.expected][:3]
    pixels = [vector for vector in machines.chosen("REPRODUCIBLE-2") if "image" in vector.expected][:1]
    golden = [
        b"".join((np.asarray(vector.expected["y_hat"]) * GRID).astype("<i4").tobytes() for vector in latents),
        b"".join(np.asarray(vector.expected["image"]).tobytes() for vector in pixels),
    ]
    _, found = browsers.digests(name, [("y_hat", latents), ("image", pixels)])
    assert found == [hashlib.sha256(data).hexdigest() for data in golden], f"{found}"
    malformed = machines.chosen("DECODE-2")[:1]
    with pytest.raises(ValueError, match=str(malformed[0].rejected)):
        browsers.digests(name, [("y_hat", malformed)])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "chromium isn't installed (apt-get install chromium)"),
        ('[ "$1" = --version ] || exec sleep 60', "chromium was silent for 0.1 s"),
        ("true", "chromium was silent for 0.1 s"),
    ],
)
def test_a_browser_that_does_not_answer(
    script: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser that is missing, hangs or ends is not run, and its row says why."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("shutil.which", lambda program: None if script is None else program)
    monkeypatch.setattr(browsers, "START", 0.1)
    (tmp_path / "chromium").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "chromium").chmod(0o755)
    with pytest.raises(emulate.NotHere, match=re.escape(message)):
        browsers.digests("Chromium", [])


@pytest.mark.parametrize(
    ("rows", "agreed"),
    [
        ([GOOD, ("emulated", "one-file decoder", "3 passed", "`aa`", "", "")], True),
        ([GOOD, ("emulated", "", "not run: debootstrap failed: E: no mirror", "", "", "")], True),
        ([GOOD, ("emulated", "one-file decoder", "3 passed", "`ab`", "", "")], False),
        ([GOOD, ("emulated", "one-file decoder", "2 passed, 1 failed", "`aa`", "", "")], False),
        ([GOOD, ("emulated", "one-file decoder", "2 passed, 1 crashed", "`aa`", "", "")], False),
    ],
)
def test_agreement(rows: list[tuple[str, ...]], agreed: bool) -> None:
    """All digests of a column and all cases must be right; what isn't run says nothing."""
    assert machines.agree(rows) is agreed, f"{rows}"
    assert all(row[0] in machines.page(rows) for row in rows), "a row isn't on the page"
