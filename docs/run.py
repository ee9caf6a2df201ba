"""Runs the Python blocks of a Markdown page, and puts what they print into the text blocks after them:

    python docs/run.py docs/walkthrough.md

All blocks share their names, in order. A block of text that follows a Python block is its output.
"""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

from mbtref.files import write_whole

BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?P<output>\n```text\n.*?```\n)?", re.DOTALL)


def page(text: str, names: dict[str, Any]) -> str:
    """The page with fresh outputs. names: where the blocks keep theirs. Raises what a block raises."""

    def run(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], "a block of the page", "exec"), names)
        output = f"\n```text\n{printed.getvalue()}```\n" if printed.getvalue() else ""
        return f"```python\n{block['code']}```\n{output}"

    return BLOCK.sub(run, text)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_whole(path, page(path.read_text(encoding="utf-8"), {}).encode())
