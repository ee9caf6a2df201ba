"""The JavaScript codec as a program whose text can be changed: as a subject, and as the owner of changes."""

import shutil
import tempfile
from pathlib import Path

from mbtref.suite.folders import project_folder
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import node

WEB = project_folder("web")
TEXT = (WEB / "codec.mjs").read_text(encoding="utf-8")
"""What a new `Program` runs in place of `codec.mjs`."""
SECONDS = 30
"""For an answer."""


class Program(Command):
    """TEXT in a folder of its own, run by Node. Raises ValueError without Node, Crashed if it can't start."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mbtref-", ignore_cleanup_errors=True)
        program = Path(shutil.copy(WEB / "subject.mjs", self._folder.name))
        program.with_name("codec.mjs").write_text(TEXT, encoding="utf-8")
        super().__init__([node(), str(program)], SECONDS)


def edited(right: str, wrong: str) -> str:
    """TEXT with one part of it replaced. Raises ValueError unless it has this part once."""
    if TEXT.count(right) != 1:
        raise ValueError(f"web/codec.mjs has this {TEXT.count(right)} times, not once: {right}")
    return TEXT.replace(right, wrong)
