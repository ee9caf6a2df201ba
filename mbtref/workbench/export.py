"""A model as ONNX files, for runtimes other than PyTorch. `onnx_graphs` has the networks."""

from pathlib import Path

import mbtref
from mbtref.files import write_whole
from mbtref.model import Model
from mbtref.suite.subjects.onnx import FINGERPRINT, SUFFIX
from mbtref.workbench import onnx_graphs

UNITS = "int32 values of z_hat, psi, phi, sigma, mu, y_hat and context are multiples of 2^-10; k_z and index count"
"""What the integers of the exact graphs mean."""


def write(model: Model, folder: Path) -> list[Path]:
    """Writes all graphs of a model into folder/NAME, which need not exist. Returns the files. Raises OSError."""
    metadata = {
        FINGERPRINT: model.fingerprint.hex(),
        "mbtref.networks": model.name,
        "mbtref.N": str(model.networks.N),
        "mbtref.M": str(model.networks.M),
        "mbtref.units": UNITS,
        "mbtref.version": mbtref.__version__,
    }
    target = folder / model.name
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for graph in onnx_graphs.graphs(model):
        files.append(target / f"{graph.name}{SUFFIX}")
        write_whole(files[-1], graph.model(metadata).SerializeToString(deterministic=True))
    return files
