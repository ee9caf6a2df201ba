"""Model files that aren't loaded yet. Finding, naming and inspecting one needs no PyTorch."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mbtref.modelfile import embedded, fingerprint_of, integers
from mbtref.suite.reports.markup import plain

if TYPE_CHECKING:
    from mbtref.model import Model
    from mbtref.rans import Tables


@dataclass(frozen=True)
class ModelFile:
    """A model by its file. It is small, and can be sent to another process of this machine."""

    name: str
    fingerprint: bytes
    """FINGERPRINT_BYTES bytes."""
    read: Callable[[], bytes] = field(compare=False, repr=False)
    """Gives the file's bytes."""

    def data(self) -> bytes:
        """The file's bytes. Raises OSError, or ValueError if they aren't those of the fingerprint any more."""
        data = self.read()
        if fingerprint_of(data) != self.fingerprint:
            raise ValueError(f"{self.name}: the model file has changed since this command started")
        return data

    def load(self, device: str = "cpu") -> "Model":
        """The model. device: as for `mbtref.load`.

        Raises OSError, or ValueError if the file isn't a model file or the device can't be used.
        """
        from mbtref.model import parse

        return parse(self.name, self.data(), device)

    def carried(self) -> "ModelFile":
        """The same with its bytes, for a machine that doesn't have the file. Errors as for `data`."""
        return replace(self, read=functools.partial(bytes, self.data()))

    def z_tables(self) -> "Tables":
        """(N,) the tables of z, one for each channel. Raises OSError, or ValueError as `load` does."""
        from mbtref.rans import Tables
        from mbtref.tables import PARTS, from_arrays

        try:
            arrays = integers(self.data(), [f"entropy_bottleneck.{part}" for part in PARTS])
            return Tables(from_arrays(dict(zip(PARTS, arrays, strict=True))))
        except ValueError as error:
            raise ValueError(f"{self.name}: not a model file of mbtref ({error})") from error


def of_package(name: str) -> ModelFile:
    """An embedded model. name: one of EMBEDDED."""
    return ModelFile(name, fingerprint_of(embedded(name)), functools.partial(embedded, name))


def of_path(path: Path) -> ModelFile:
    """A model file by its path; the model's name is the file's. Raises OSError."""
    return ModelFile(plain(path.stem), fingerprint_of(path.read_bytes()), path.read_bytes)
