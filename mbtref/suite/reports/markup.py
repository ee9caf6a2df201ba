"""Text of somebody else in a terminal, in HTML and SVG, and in Markdown: it shows as it is, and does nothing."""

import html
import re

MARKDOWN = re.compile(r"[&<>|`*~$@[\]]|\\(?![A-Za-z0-9 ])|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
"""What may be markup in a cell of a table, on GitHub too. A `_` inside a word isn't."""


def plain(text: object) -> str:
    """For a terminal, in one line: what isn't visible is written as in Python, such as \\x1b for Escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def xml(text: str) -> str:
    """For HTML and SVG, in attributes too."""
    return html.escape(plain(text))


def markdown(text: str) -> str:
    """For a cell of a table in Markdown, and in a line elsewhere."""
    return MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", plain(text))
