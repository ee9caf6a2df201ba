"""Runs the Python blocks of a Markdown page, puts what they print below them, and makes a notebook of the page:

    python docs/run.py docs/walkthrough.md

All blocks share their names, in order. A block of text that follows a Python block is its output. A picture that
follows it is the value of its last line. The notebook has the same words, code and outputs. It is made anew if it
lies beside the page already.
"""

import ast
import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from mbtref.files import write_whole

BLOCK = re.compile(
    r"```python\n(?P<code>.*?)```\n(?P<shown>\n```text\n(?P<text>.*?)```\n)?"
    r"(?P<picture>\n!\[(?P<alt>[^]]*)\]\((?P<png>[^)]*)\)\n)?",
    re.DOTALL,
)


def page(text: str, names: dict[str, Any], folder: Path) -> str:
    """The page with fresh outputs.

    names: where the blocks keep theirs. folder: gets the pictures. Raises what a block raises.
    """

    def fresh(block: re.Match[str]) -> str:
        printed, value = run(block["code"], names)
        if block["png"]:
            write_whole(folder / block["png"], value._repr_png_())
        shown = f"\n```text\n{printed}```\n" if printed else ""
        return f"```python\n{block['code']}```\n{shown}{block['picture'] or ''}"

    return BLOCK.sub(fresh, text)


def run(code: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Runs a block. Returns what it prints, and the value of its last line if that is an expression."""
    tree, printed, value = ast.parse(code), io.StringIO(), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "a block of the page", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "a block of the page", "eval"), names)
    return printed.getvalue(), value


def notebook(text: str, folder: Path) -> str:
    """The page as a notebook, in nbformat 4.5. folder: has the pictures."""
    cells, end = [], 0
    for block in BLOCK.finditer(text):
        cells += [*words(text[end : block.start()]), code_cell(block, folder)]
        end = block.end()
    cells += words(text[end:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def words(text: str) -> list[dict[str, Any]]:
    """A cell of text, unless it is empty."""
    return [{"cell_type": "markdown", "metadata": {}, "source": lines(text)}] if text.strip() else []


def code_cell(block: re.Match[str], folder: Path) -> dict[str, Any]:
    """A cell of code with its outputs."""
    outputs: list[dict[str, Any]] = []
    if block["text"]:
        outputs.append(
            {"name": "stdout", "output_type": "stream", "text": block["text"].splitlines(keepends=True)}
        )
    if block["png"]:
        png = base64.b64encode((folder / block["png"]).read_bytes()).decode()
        data = {"image/png": png, "text/plain": [block["alt"]]}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    source = lines(block["code"])
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": outputs, "source": source}


def lines(text: str) -> list[str]:
    """The source of a cell."""
    return text.strip("\n").splitlines(keepends=True)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        text = page(path.read_text(encoding="utf-8"), {}, path.parent)
        write_whole(path, text.encode())
        if (beside := path.with_suffix(".ipynb")).exists():
            write_whole(beside, notebook(text, path.parent).encode())
