"""The JavaScript codec as a program whose text can be changed: as a subject, and as the owner of changes."""

import base64

from mbtref.suite.folders import project_folder
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.loading import node

CODEC = "codec.mjs"
SUBJECT = (project_folder("web") / "subject.mjs").read_text(encoding="utf-8")
TEXT = (project_folder("web") / CODEC).read_text(encoding="utf-8")
"""What a new `Program` runs as the codec."""
SECONDS = 30
"""For an answer."""


class Program(Command):
    """TEXT, run by Node. Raises ValueError without Node, Crashed if it can't start."""

    def __init__(self) -> None:
        text = base64.b64encode(f"{TEXT}\n//# sourceURL={CODEC}".encode()).decode()
        program = replaced(SUBJECT, f'"./{CODEC}"', f'"data:text/javascript;base64,{text}"')
        super().__init__([node(), "--input-type=module", "--eval", program], SECONDS)


def replaced(text: str, right: str, wrong: str) -> str:
    """A text with one part of it replaced. Raises ValueError unless it has this part once."""
    if text.count(right) != 1:
        raise ValueError(f"the text in web/ has this {text.count(right)} times, not once: {right}")
    return text.replace(right, wrong)
