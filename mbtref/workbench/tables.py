"""The figures of an evaluation as tables: for a terminal and Markdown, for the report page, and as CSV.

A Markdown table has one row of heads. So the groups are its heads, and the names of the columns the row below.
"""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from mbtref.suite.msssim import decibels
from mbtref.suite.reports.markup import markdown
from mbtref.workbench.records import NULLABLE, Record, means


class Column(NamedTuple):
    """A column of figures."""

    group: str
    name: str
    form: str
    field: str
    """Of `Record`, or "over_theoretical", see `cells`."""


COLUMNS = (
    Column("bitstream", "bpp", "{:.4f}", "bpp_bitstream"),
    Column("bitstream", "PSNR / dB", "{:.2f}", "psnr_bitstream"),
    Column("bitstream", "MS-SSIM / dB", "{:.2f}", "msssim_bitstream"),
    Column("theoretical", "bpp", "{:.4f}", "bpp_theoretical"),
    Column("theoretical", "PSNR / dB", "{:.2f}", "psnr"),
    Column("theoretical", "MS-SSIM / dB", "{:.2f}", "msssim"),
    Column("over theoretical", "%", "{:+.2f}", "over_theoretical"),
    Column("buffer / bpp", "zlib", "{:.4f}", "bpp_buffer_zlib"),
    Column("buffer / bpp", "raw", "{:.4f}", "bpp_buffer_raw"),
    Column("time / s", "encode", "{:.2f}", "encode_seconds"),
    Column("time / s", "decode", "{:.2f}", "decode_seconds"),
)


def cells(row: Mapping[str, Any], columns: Iterable[Column] = COLUMNS) -> Iterator[tuple[str, float]]:
    """The cells of a row: the text of each, and its value for sorting.

    row: a record, or a mean of them, by the names of `Record`. A PSNR of None is infinite.
    """
    in_db = {name: math.nan if row[name] is None else decibels(row[name]) for name in NULLABLE}
    over = 100 * (row["bpp_bitstream"] / row["bpp_theoretical"] - 1)
    values = {**row, **in_db, "over_theoretical": over}
    for column in columns:
        value = math.inf if values[column.field] is None else values[column.field]
        special = "∞" if value == math.inf else "–" if math.isnan(value) else None
        yield special or column.form.format(value).replace("-", "−"), value


def groups(columns: Iterable[Column]) -> list[tuple[str, int]]:
    """Each group with the number of its columns."""
    return [(name, len(list(own))) for name, own in itertools.groupby(columns, lambda column: column.group)]


def heads(columns: Sequence[Column], *first: str) -> list[list[str]]:
    """The two rows of heads: each group above its first column, then the names. first: those of columns before."""
    above = [name for group, count in groups(columns) for name in (group, *[""] * (count - 1))]
    return [["" for _ in first] + above, [*first, *(column.name for column in columns)]]


def lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table whose columns are aligned for a terminal too. rows: the heads first, of equal length."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    for n, (first, *others) in enumerate(rows):
        right = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield f"| {' | '.join((f'{first:<{widths[0]}}', *right))} |"
        if n == 0:
            yield f"|{'-' * (widths[0] + 2)}|{rule}"


def table(records: Sequence[Record]) -> Iterator[str]:
    """Lines of the means, for a terminal; also valid Markdown. The last one tells where times were measured."""
    rows = [
        [markdown(mean["model"]), str(mean["images"]), *(text for text, _ in cells(mean))]
        for mean in means(records)
    ]
    yield from lines([*heads(COLUMNS, "model", "images"), *rows])
    if known := machines(records):
        yield from ("", f"Times: {known}")


def machines(records: Iterable[Record]) -> str:
    """Where the times of records were measured; of older records it isn't known."""
    return "; ".join(dict.fromkeys(record.machine for record in records if record.machine))


def as_csv(records: Iterable[Record]) -> bytes:
    """A row for each record under the names of its fields. None is empty, and an infinite PSNR is `inf`."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Record)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, records))
    return file.getvalue().encode()
