"""The tools around the codec: command line, evaluation, report, zoo, exports. The codec never imports them."""

from mbtref.workbench import picturefiles, zoo

__all__ = ["picturefiles", "zoo"]
