"""Numbers behind a figure: a table that the page shows, sorts and filters, and the same figures as CSV inside it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.reporting.formatting import p_value, percent, points, span

WIDE = 9  # columns, beyond which a table is printed line by line
TALL = 16  # lines, beyond which it scrolls on a screen
LONG = 32  # characters, beyond which a text gets more room
NONE = "\u2013"


def _plain(value: float) -> str:
    """Returns a figure with three significant digits; whole numbers as they are."""
    if isinstance(value, int) or (math.isfinite(value) and value == round(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", "\u2212")
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    return f"{value:.3g}".replace("-", "\u2212")


SHOWN: dict[str, Callable[..., str]] = {  # kind of a column -> its text, from the values of its keys
    "text": lambda value: ("yes" if value else "no") if isinstance(value, bool) else str(value),
    "count": lambda value: f"{value:,}",
    "of": lambda k, n: f"{k} / {n}",
    "percent": percent,
    "percents": lambda low, high: span((low, high)),
    "rate": lambda value, low, high: f"{percent(value)} ({span((low, high))})",
    "points": points,
    "points between": lambda low, high: f"{points(low)} to {points(high)}",
    "change": lambda value, low, high: f"{points(value)} ({points(low)} to {points(high)})",
    "number": _plain,
    "between": lambda low, high: f"{_plain(low)} to {_plain(high)}",
    "ratio": lambda value, low, high: f"{value:.2f} [{low:.2f}, {high:.2f}]",
    "p": p_value,
}


@dataclasses.dataclass(frozen=True)
class TableColumn:
    """A column of the page; in CSV a column for each of its keys.

    Attributes:
        title: above it.
        kind: of `SHOWN`.
        keys: of a line's values; the first is what is sorted by.
    """

    title: str
    kind: str
    keys: tuple[str, ...]

    @property
    def is_text(self) -> bool:
        return self.kind == "text"


@dataclasses.dataclass(frozen=True)
class TableCell:
    """A cell: its text, and the value that it is sorted by."""

    text: str
    sort: str


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The numbers of a figure.

    Attributes:
        name: of the CSV file, without its ending.
        columns: in order.
        lines: of equal keys; None or nan where there is no value.
        n: what they are of, in words, as "96 episodes with 32 objects".
        commands: that made them.
    """

    name: str
    columns: Sequence[TableColumn]
    lines: Sequence[Mapping[str, Any]]
    n: str = ""
    commands: Sequence[str] = ()

    def __post_init__(self) -> None:
        if unknown := [column.kind for column in self.columns if column.kind not in SHOWN]:
            raise ConfigError(f"the table {self.name} has columns of the unknown kinds {', '.join(unknown)}")

    @property
    def is_wide(self) -> bool:
        return len(self.columns) > WIDE

    @property
    def is_tall(self) -> bool:
        return len(self.lines) > TALL

    @property
    def classes(self) -> list[str]:
        """What the cells of each column are to the page's style."""
        longest = [max((len(line[i].text) for line in self.cells), default=0) for i in range(len(self.columns))]
        return [
            "num" if not column.is_text else "long" if length > LONG else ""
            for column, length in zip(self.columns, longest, strict=True)
        ]  # fmt: skip

    @functools.cached_property
    def cells(self) -> list[list[TableCell]]:
        """Lines as the page shows them."""
        return [[_cell(column, [line.get(key) for key in column.keys]) for column in self.columns]
                for line in self.lines]  # fmt: skip

    @property
    def csv(self) -> str:
        """The same as CSV, figures as exact as they are known."""
        keys = list(dict.fromkeys(key for column in self.columns for key in column.keys))
        out = io.StringIO()
        writer = csv.DictWriter(out, keys, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if _missing(line.get(key)) else line[key] for key in keys} for line in self.lines)
        return out.getvalue()

    @property
    def uri(self) -> str:
        """The CSV as an address that holds it: a browser saves it without a network."""
        return "data:text/csv;charset=utf-8," + urllib.parse.quote(self.csv)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _cell(column: TableColumn, values: Sequence[Any]) -> TableCell:
    if any(map(_missing, values)):
        return TableCell(NONE, "")
    return TableCell(SHOWN[column.kind](*values), str(values[0]))
