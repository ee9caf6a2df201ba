"""Proven tables: their definition, bounds that decide and bounds that don't, and what no float digit moves."""

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from mbtref import Model, load
from mbtref.making import modelfile, proven
from mbtref.making.complete import export
from mbtref.making.proven import Bounds, Undecided
from mbtref.modelfile import EMBEDDED
from mbtref.networks import FactorizedPrior
from mbtref.rans import PRECISION, Table
from mbtref.suite.processors import PROCESSORS
from mbtref.suite.subjects.data import gaussian_file, model_file
from tests.support import Terminal, output_of, varied_networks

TOTAL = 1 << PRECISION
BITS = 60


def known(p: list[int], by: int = 0) -> Bounds:
    """Probabilities that are known to within `by`, in units of 2^-BITS."""
    return Bounds([max(0, v - by) for v in p], [v + by for v in p], BITS)


def defined(p: list[int], first: int) -> Table:
    """The definition in `proven.decide`, in fractions: what it gives, ties to the lower symbol."""
    parts = [Fraction(v, 1 << BITS) for v in p]
    tail = Fraction(1, 2 * 10**9)
    begin = next(i for i in range(len(parts)) if sum(parts[: i + 1]) > tail)
    end = next(i for i in range(len(parts), 0, -1) if sum(parts[i - 1 :]) > tail)
    parts, first = parts[begin:end], first + begin
    parts.append(Fraction(1) - sum(parts))
    deserved = [max(Fraction(0), v * TOTAL - 1) for v in parts]
    shares = [(TOTAL - len(parts)) * d / sum(deserved) for d in deserved]
    freq = [1 + math.floor(share) for share in shares]
    order = sorted(range(len(parts)), key=lambda i: (math.floor(shares[i]) - shares[i], i))
    for i in order[: TOTAL - sum(freq)]:
        freq[i] += 1
    return Table((0, *np.cumsum(freq).tolist()), first)


distributions = st.lists(st.integers(1, 10**6) | st.integers(1, 3), min_size=1, max_size=200).map(
    # the last 1/16 is the escape's; odd numerators make equal remainders rare
    lambda weights: [(15 << BITS - 4) * w // sum(weights) - i for i, w in enumerate(weights)]
)


@given(distributions, st.integers(-500, 500))
def test_tables_are_as_defined(p: list[int], first: int) -> None:
    """Known probabilities give the table of the definition, computed in fractions."""
    try:
        table = proven.decide(known(p), first)
    except Undecided:
        return  # two equal remainders: refused, as `test_a_genuine_tie_is_refused` shows
    assert table == defined(p, first), "a table isn't the definition's"


@given(distributions, st.integers(0, 1 << BITS - 20))
def test_bounds_decide_right_or_not_at_all(p: list[int], by: int) -> None:
    """Wider bounds give the same table, or none."""
    try:
        table = proven.decide(known(p, by), 0)
    except Undecided:
        return
    assert table == proven.decide(known(p), 0), f"bounds of ±{by} units decide wrongly"


def test_narrow_bounds_decide() -> None:
    """Bounds as narrow as float64's decide an ordinary distribution."""
    p = [(1 << BITS) * w // 6000 for w in (7, 130, 1801, 2503, 1201, 303, 54)]
    assert proven.decide(known(p, 1 << BITS - 40), -3) == defined(p, -3)


def test_a_genuine_tie_is_refused() -> None:
    """Two bins that deserve the same last count are an error, unless they are known to be equal."""
    p = [1 << BITS - 1, 1 << BITS - 1]
    with pytest.raises(Undecided, match="equal, or nearly"):
        proven.decide(known(p), -1)
    freq = np.diff(proven.decide(known(p), -1, symmetric=True).cdf).tolist()
    assert freq[0] == freq[1] + 1, f"of a symmetric pair the lower symbol comes first: {freq}"


def test_a_symmetric_density_is_refused() -> None:
    """A density of z that is symmetric around a symbol has ties that no precision decides: an error names it."""
    prior = FactorizedPrior(2)
    for bias in prior.biases:
        bias.data[1] = 0
    with pytest.raises(ValueError, match=r"channel 1: its table can't be made: two remainders .* with 1024 bits"):
        proven.z_tables(prior, torch.zeros(2, 1, 1))


def test_no_density_within_reach_is_refused() -> None:
    """A channel whose symbols all lie farther from its median than a table reaches is named by an error."""
    prior = FactorizedPrior(1)
    with pytest.raises(ValueError, match="channel 0: .* hardly a symbol"):
        proven.z_tables(prior, torch.full((1, 1, 1), 1e5))


@pytest.mark.parametrize("name", EMBEDDED)
def test_shipped_models_are_made_again(name: str, tmp_path: Path) -> None:
    """Exporting the networks of a shipped model gives its file, byte for byte, in any order of its description."""
    model = load(name)
    export(model.networks, tmp_path / "again.safetensors", dict(sorted(model.metadata.items(), reverse=True)))
    assert (tmp_path / "again.safetensors").read_bytes() == model_file(name).read_bytes(), f"{name} moved"


def test_shipped_gaussian_tables_are_made_again() -> None:
    """Making the Gaussian tables gives the shipped file, byte for byte."""
    assert modelfile.pack(proven.gaussian_arrays(), {}) == gaussian_file().read_bytes(), "the tables moved"


@pytest.mark.parametrize("wrong", [1 + 1e-12, 1 - 1e-12])
def test_wrong_digits_move_nothing(lite: Model, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    """Float functions that are wrong by 10^-12, every other value, give the same tables."""
    for name in ("exp", "tanh", "logaddexp"):
        monkeypatch.setattr(np, name, spoiled(getattr(np, name), wrong))
    prior = lite.networks.entropy_bottleneck
    assert tuple(proven.z_tables(prior, prior.medians)) == lite.tables[: lite.networks.N], "a table moved"


def spoiled(function: Any, wrong: float) -> Callable[..., Any]:
    """A function whose every other value is multiplied by `wrong`; that of balls stays."""

    def other(*arguments: Any) -> Any:
        value = function(*arguments)
        if getattr(value, "dtype", None) == np.float64:
            np.asarray(value).flat[::2] *= wrong
        return value

    return other


def test_what_float64_leaves_open_goes_to_balls(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where float64 is trusted less, ball arithmetic gives the same tables."""
    rises: list[int] = []

    def risen(attempt: Callable[[int], Table]) -> Table:
        rises.append(1)
        return original(attempt)

    original = proven.risen
    monkeypatch.setattr(proven, "risen", risen)
    monkeypatch.setattr(proven, "UNSURE", 1e-5)
    prior = lite.networks.entropy_bottleneck
    found = [proven.z_table(prior, prior.medians, c) for c in range(3)]
    assert len(rises) == 3, f"{len(rises)} of 3 channels went to ball arithmetic"
    assert found == list(lite.tables[:3]), "ball arithmetic gives another table"


def test_without_flint(lite: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ball arithmetic is needed and isn't there, the error says what to install."""
    monkeypatch.setitem(sys.modules, "flint", None)
    monkeypatch.setattr(proven, "UNSURE", 1e-5)
    prior = lite.networks.entropy_bottleneck
    with pytest.raises(ValueError, match=r"channel 0: .*pip install 'mbtref\[import\]'"):
        proven.z_table(prior, prior.medians, 0)


def test_a_checkpoint_has_one_model_file(tmp_path: Path, terminal: Terminal) -> None:
    """Importing a checkpoint gives the same bytes here and on simulated processors of one and two threads."""
    checkpoint = tmp_path / "checkpoint.pth"
    torch.save(varied_networks(12, 9).state_dict(), checkpoint)
    terminal.prints("import", checkpoint, "-o", tmp_path / "here.safetensors")
    for name in ("sse4", "avx2"):
        path = tmp_path / f"{name}.safetensors"
        output_of("-m", "mbtref", "import", checkpoint, "-o", path, more=PROCESSORS[name])
        assert path.read_bytes() == (tmp_path / "here.safetensors").read_bytes(), f"another file on {name}"


def test_model_files_are_safetensors() -> None:
    """Any library reads the canonical form; byte order and layout in memory don't matter."""
    tensors = {
        "b": np.arange(6, dtype=">f4").reshape(2, 3).T,
        "a": np.array([[1, 2]], np.int32),
        "empty": np.zeros((0, 3), np.float32),
    }
    data = modelfile.pack(tensors, {"of": "ü"})
    found = safetensors.numpy.load(data)
    assert found.keys() == tensors.keys(), f"tensors of other names: {sorted(found)}"
    for name, array in tensors.items():
        assert np.array_equal(found[name], array), f"{name} comes back as something else"
    assert data.endswith(modelfile.body(tensors)), "the body isn't the end"
    assert data[8:].startswith(b'{"__metadata__":{"of":"\xc3\xbc"},"b":{"dtype":"F32","shape":[3,2]'), data[:80]
