"""The worked examples of the specification: their code makes all numbers, and the reference finds the same."""

import re
import runpy
from typing import Any

import numpy as np
import pytest

from mbtref import bitstream, rans
from mbtref.suite.subjects.data import gaussian_file
from mbtref.suite.subjects.reference import Reference
from mbtref.suite.vectors import read
from tests.support import ROOT

PAGE = ROOT / "docs" / "examples.md"
RUN = runpy.run_path(str(ROOT / "docs" / "run.py"))
"""The command that makes the page."""
CONSTANT = re.compile(r"§§?\d+(?:(?:, | and | to )\d+)*|2\^-?\d+")
"""A section, or a power of two that the specification defines."""


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks of the page computed."""
    names: dict[str, Any] = {}
    text = PAGE.read_text(encoding="utf-8")
    assert RUN["page"](text, names, PAGE.parent) == text, (
        "another number: make it anew, 'python docs/run.py docs/examples.md'"
    )
    return names


def test_every_number_is_made(names: dict[str, Any]) -> None:
    """Numbers stand in the blocks of code and in their outputs alone, so an edited one is noticed."""
    prose = RUN["BLOCK"].sub("", PAGE.read_text(encoding="utf-8"))
    assert "```" not in prose, "a block is neither Python nor the output of Python"
    found = re.findall(r".*\d.*", CONSTANT.sub("", re.sub(r"`[^`]*`", "", prose)))
    assert not found, f"a number that no code gives: {found}"


def test_the_coder(names: dict[str, Any]) -> None:
    """The reference codes the message to the same bytes."""
    message = names["message"]
    tables = rans.Tables([rans.Table(tuple(names["cdf"]), names["offset"])])
    data = rans.encode(message, [0] * len(message), tables)
    assert names["stream"] == data, f"the reference gives {data.hex(' ')}"
    decoder = rans.Decoder(data)
    assert decoder.pop([0] * len(message), tables).tolist() == message, "it decodes to another message"


def test_the_stream(names: dict[str, Any]) -> None:
    """The reference reads the same header, and the wavefronts are decoded to the golden latents."""
    stream = bitstream.unpack(names["data"])
    assert (stream.height, stream.width) == (names["height"], names["width"]), f"the reference reads {stream}"
    golden = read((ROOT / "vectors" / names["STREAM"]).with_name("y_hat.npy"))
    assert np.array_equal(names["decoded"], np.asarray(golden) * 1024), "latents differ from the golden ones"


def test_the_layers(names: dict[str, Any]) -> None:
    """The reference finds the same at the named position."""
    inputs = {name: names[name].astype(np.int32) for name in ("k_z", "y_hat")}
    stages = Reference().call("exact_parameters", names["MODEL"], inputs)
    for stage in ("psi", "phi", "sigma", "mu", "index"):
        right = np.asarray(stages[stage])[:, names["row"], names["column"]]
        assert np.array_equal(names[stage], right), f"{stage} is {right.tolist()} in the reference"


def test_the_likelihoods(names: dict[str, Any]) -> None:
    """The reference's float model finds the same likelihoods, to float32's digits."""
    model, c = names["model"], names["channel"]
    z_hat = np.zeros((model.N, 1, 5), np.float32)
    z_hat[c] = names["median"] + np.arange(-2, 3)
    p = np.asarray(Reference().call("factorized_likelihoods", names["MODEL"], {"z_hat": z_hat})["z_likelihoods"])
    low, high = ([names["cumulative"](float(v) + side) for v in z_hat[c, 0]] for side in (-0.5, 0.5))
    assert p[c, 0] == pytest.approx(np.array(high) - low, abs=1e-6), "of z"
    cases = [(0, 1.0), (1, 1.0), (0, 0.05)]
    r, sigma = np.array(cases, np.float32).T.reshape(2, 3, 1, 1)
    answer = Reference().call("gaussian_likelihoods", None, {"y": r, "mu": 0 * r, "sigma": sigma})
    shown = [names["likelihood"](*case) for case in cases]
    assert np.ravel(np.asarray(answer["y_likelihoods"])) == pytest.approx(shown, abs=1e-6), "of y"


def test_the_specification_says_the_same(names: dict[str, Any]) -> None:
    """The numbers of the specification that the examples compute are theirs."""
    text = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
    assert f"`123456789` is 0x{names['crc32'](b'123456789'):08X}" in text, "the check value of the CRC"
    assert names["hashlib"].sha256(gaussian_file().read_bytes()).hexdigest() in text, "the file of Gaussian tables"
    for name, array in names["gaussian"].items():
        shape = ", ".join(map(str, array.shape))
        assert f"| `{name}` | {array.dtype.name} | ({shape}) |" in text, f"the shape of {name}"
