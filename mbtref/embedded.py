"""The models and tables that the package ships, as bytes."""

from importlib import resources
from itertools import chain

from mbtref.modelfile import fingerprint_of

LADDERS = {
    "lite": ("lite-q3", "lite-q4", "lite-q5", "lite-q6"),
    "wide": ("wide-q3", "wide-q4", "wide-q5", "wide-q6"),
}
"""Names of the models, from the lowest rate to the highest, by the name of their ladder."""
EMBEDDED = tuple(chain.from_iterable(LADDERS.values()))
"""Names of the models of all ladders."""


def embedded(name: str) -> bytes:
    """The file of a model, or of the Gaussian tables: `gaussian`."""
    return (resources.files("mbtref") / "data" / f"{name}.safetensors").read_bytes()


def name_of(fingerprint: bytes) -> str | None:
    """The name of the embedded model with this fingerprint, if there is one."""
    return next((name for name in EMBEDDED if fingerprint_of(embedded(name)) == fingerprint), None)
