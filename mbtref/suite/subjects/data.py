"""The files that any implementation may read: weights and Gaussian tables, but no expected values."""

from importlib import resources
from pathlib import Path

from mbtref.suite.folders import project_folder

MODELS = project_folder("vectors") / "models"
"""Models that only vectors have: their weights are rare, not trained."""


def model_file(model: str) -> Path:
    """The weights of a model of the vectors: an embedded one, or one of MODELS."""
    embedded = data_file(f"{model}.safetensors")
    return embedded if embedded.is_file() else MODELS / f"{model}.safetensors"


def gaussian_file() -> Path:
    """The Gaussian tables and the thresholds between them."""
    return data_file("gaussian.safetensors")


def data_file(name: str) -> Path:
    """A file shipped with the reference. The package is installed as plain files."""
    return Path(str(resources.files("mbtref") / "data" / name))
