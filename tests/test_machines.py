"""The table of machines: what can't be emulated is not run, and one digest that differs is a failure."""

from pathlib import Path

import numpy as np
import pytest

from mbtref.suite.operations import Values
from mbtref.suite.reports import emulate, machines
from mbtref.suite.vectors import frozen
from tests.miniatures import LooksUp

GOOD = ("real", "mbtref", "3 passed", "`aa`", "`bb`", "`cc`")


@pytest.mark.parametrize("missing", ["qemu-s390x-static", "debootstrap"])
def test_a_missing_program_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the emulator, or what sets it up, a machine has a row that says what to install."""
    monkeypatch.setattr("shutil.which", lambda program: None if program == missing else program)
    monkeypatch.setattr(emulate, "EMULATORS", {"s390x": emulate.EMULATORS["s390x"]})
    (found,) = [machine for machine in machines.machines(tmp_path) if not isinstance(machine, machines.Machine)]
    assert found == ("emulated: s390x", f"{missing} isn't installed ({emulate.INSTALL})"), f"{found}"


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
    whole = machines.digest(LooksUp(), "DECODE-1", "y_hat")
    assert whole == machines.digest(LooksUp(), "DECODE-1", "y_hat"), "a digest isn't the same twice"

    last = max((v for v in frozen().vectors if v.requirement == "DECODE-1"), key=lambda v: v.id)

    class Wrong(LooksUp):
        def call(self, operation: str, model: str | None, inputs: Values) -> Values:
            right = super().call(operation, model, inputs)
            y_hat = np.array(right["y_hat"])
            y_hat[-1, -1, -1] += inputs["stream"] == last.inputs["stream"]
            return {**right, "y_hat": y_hat}

    assert machines.digest(Wrong(), "DECODE-1", "y_hat") != whole, "the last latent isn't in the digest"


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
