"""The tools around the codec: command line, evaluation, report, zoo, exports. The codec never imports them."""

import importlib
from typing import TYPE_CHECKING

__all__ = ["picturefiles", "zoo"]

if TYPE_CHECKING:
    from mbtref.workbench import picturefiles, zoo


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'mbtref.workbench' has no attribute {name!r}")
    return importlib.import_module(f"mbtref.workbench.{name}")
