"""Computes the numbers of README.md and docs/*.md again from the rows in results/, and says which differ.

python benchmarks/check_claims.py                                                      exit code 1 where any differs
python benchmarks/check_claims.py "rate clustered of recipe/rows?object_set=*half b"   what a mark would stand for

A number that comes from rows carries a mark right behind it, which is not seen where Markdown is rendered:

    lifts 70 % (53-83)<!-- claim: rate clustered of recipe/rows?object_set=*half b --> of half b

A mark stands behind as many numbers as it asks for, and reads `STATISTIC... of SOURCE`, or `STATISTIC... of SOURCE vs
SOURCE` where two are compared. Numbers are compared as they are written: 70 without decimals, 2.4e-29 with two digits.

A source of rows is `PATH[?column=value&column=value]`, spelled as object sets are:

    path     a file, or a folder of Parquet files, below results/, without the suffix; * stands for anything
    column   a column of the rows (policy, object_set, seed, shift, failure, ...), or half (a or b) of the objects
    value    * stands for anything, + joins alternatives, each of which must occur; column!=value leaves such rows out;
             %2B, %2C and %26 stand for + , and &
    vs       the second source in full, or only what it changes in the first: `vs policy=mean-1000`
    {x,y}    x, then y, the leftmost braces slowest: one mark for the line of a table

Its statistics:

    rate k n objects            success in %, successes, episodes, objects
    wilson clustered            its 95 % interval in %, for episodes and for new objects; two numbers each
    seeds                       success in % of each seed, a number for each
    difference difference-95    of A vs B: A minus B in points over the episodes that both played; its interval
    p holm                      of A vs B: McNemar's p; the same after Holm's correction for all comparisons with A that
                                `among` names: `holm of A vs policy=mean-1000 among policy=mean-1000,cls-1000`
    retention retention-95      of A vs B: success on A over success on B; its interval

A figure of a JSON file is `value`, `percent` or `minutes` (of seconds) of `FILE.json#key/key`; an item of a list is
found by its number (from 0) or its `key=value&key=value`: `percent of
quickstart.json#success/policy=detpool&set=toys:test/rate`. Where the figure is a list, all its numbers are meant.

What stands between "made by `COMMAND`" and "end of what is made" needs no marks: COMMAND is run again in a copy of
docs/ and results/, and the pages are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import functools
import io
import itertools
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from toyshift.core.errors import ConfigError, FileError, ToyShiftError, UnknownNameError
from toyshift.core.files import read_json, whole_files
from toyshift.diagnostics import (
    PairedDifference,
    Row,
    Summary,
    clustered,
    compare,
    holm,
    per_seed,
    rate_ratio,
    read_rows,
    summarise,
)
from toyshift.scripts import cli
from toyshift.toys.objectset import half_of

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- claim: (?P<claim>(?:(?!-->).)*) -->")
MADE = re.compile(r"<!-- made by `(toyshift [^`]*)` -->(?!\s*<!-- end of what is made -->)")  # where anything was
# not within a word; a sign only where no number stands before it: 57-83 is 57 and 83, (-3 to +12) is -3 and +12
NUMBER = re.compile(r"(?<![\w.])(?:(?<![\w.)%])[+-])?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w|\.\d)")
COLUMNS = (*(field.name for field in dataclasses.fields(Row)), "half")
SEVERAL = ("object_set", "pooling", "policy", "look", "shift")  # a selection may mix them and is one group

OF_ROWS: dict[str, Callable[[Summary], Sequence[float]]] = {
    "rate": lambda s: [100 * s.rate],
    "k": lambda s: [s.k],
    "n": lambda s: [s.n],
    "objects": lambda s: [s.objects],
    "wilson": lambda s: [100 * x for x in s.wilson],
    "clustered": lambda s: [100 * x for x in s.clustered],
}
OF_PAIRS: dict[str, Callable[[PairedDifference], Sequence[float]]] = {
    "difference": lambda d: [100 * d.difference.value],
    "difference-95": lambda d: [100 * d.difference.low, 100 * d.difference.high],
    "p": lambda d: [d.p_value],
}
OF_JSON: dict[str, Callable[[float], float]] = {
    "value": float,
    "percent": lambda x: 100 * x,
    "minutes": lambda x: x / 60,
}
STATISTICS = (*OF_ROWS, "seeds", *OF_PAIRS, "holm", "retention", "retention-95", *OF_JSON)

Filters = dict[tuple[str, bool], str]  # (column, whether such rows are kept) -> value


def expand(text: str) -> list[str]:
    """Returns the texts that {x,y} stands for, the leftmost braces slowest."""
    found = re.search(r"\{([^{}]*)\}", text)
    if not found:
        return [text]
    before, after = text[: found.start()], text[found.end() :]
    return [one for choice in found[1].split(",") for one in expand(before + choice + after)]


# ---------------------------------------------------------------- rows


def parse_filters(query: str) -> Filters:
    """Reads `column=value&column!=value`."""
    filters: Filters = {}
    for item in query.split("&") if query else []:
        found = re.fullmatch(r"(\w+)(!?)=(.*)", item)
        if not found:
            raise ConfigError(f"{item!r} is no filter; write column=value or column!=value")
        if found[1] not in COLUMNS:
            raise UnknownNameError("column", found[1], COLUMNS)
        filters[found[1], not found[2]] = found[3]
    return filters


@functools.cache
def _rows_below(results: Path, pattern: str) -> tuple[Row, ...]:
    paths = whole_files(results, f"{pattern}.parquet") or whole_files(results, f"{pattern}/*.parquet")
    if not paths:
        raise FileError(f"{results.name}/{pattern} is neither a Parquet file (without its suffix) nor a folder of some")
    return tuple(row for path in paths for row in read_rows(path))


def _value(row: Row, column: str) -> str:
    return half_of(row.object_id) if column == "half" else str(getattr(row, column))


def select(results: Path, pattern: str, filters: Filters) -> list[Row]:
    """Returns the rows of some files that pass all filters.

    Raises:
        FileError: there is no such file.
        ConfigError: an alternative of a filter, or all filters together, select nothing.
    """
    rows = list(_rows_below(results, pattern))
    for (column, keep), text in filters.items():
        alternatives = [unquote(one) for one in text.split("+")]
        values = {_value(row, column) for row in rows}
        for one in alternatives:
            if not any(fnmatch.fnmatchcase(value, one) for value in values):
                there = ", ".join(sorted(values)[:12])
                raise ConfigError(f"{column}={one} selects nothing; there is {there or 'nothing left'}")
        hits = {value for value in values if any(fnmatch.fnmatchcase(value, one) for one in alternatives)}
        rows = [row for row in rows if (_value(row, column) in hits) == keep]
    if not rows:
        raise ConfigError(f"{pattern} with these filters selects nothing")
    return rows


def of_rows(words: Sequence[str], rows: Sequence[Row]) -> list[float]:
    """Returns the figures of one selection."""
    (found,) = summarise(dataclasses.replace(row, **dict.fromkeys(SEVERAL, "")) for row in rows)  # as one group
    by_seed = [100 * k / n for k, n in per_seed(rows).values()]
    return [x for word in words for x in (by_seed if word == "seeds" else OF_ROWS[word](found))]


def of_two(words: Sequence[str], results: Path, first: str, second: str, among: str) -> list[float]:
    """Returns the figures of a comparison: A, B, and the other B's that Holm's correction counts."""
    pattern, _, query = first.partition("?")
    filters = parse_filters(query)

    def side(pattern: str, filters: Filters, other: Filters) -> list[Row]:
        # an appearance or a shift that both sides name is what is compared, or the same
        named = [c for c in ("look", "shift") if (c, True) in filters and (c, True) in other]
        rows = select(results, pattern, filters)
        return [dataclasses.replace(row, **dict.fromkeys(named, "")) for row in rows]

    def versus(changes: str) -> tuple[list[Row], list[Row]]:
        where, mark, rest = changes.partition("?")
        whole = bool(mark) and "=" not in where
        others = parse_filters(rest) if whole else filters | parse_filters(changes)
        return side(pattern, filters, others), side(where if whole else pattern, others, filters)

    def corrected() -> float:
        column, _, values = among.partition("=")
        family = {value: f"{column}={value}" for value in values.split(",")}
        own = parse_filters(second).get((column, True), "")
        if own not in family:
            raise ConfigError(f"holm: {second!r} is none of those that 'among {among}' names")
        p_values = [compare(*versus(f"{second}&{changes}")).p_value for changes in family.values()]
        return float(holm(p_values)[list(family).index(own)])

    out: list[float] = []
    for word in words:
        if word in OF_PAIRS:
            out += OF_PAIRS[word](compare(*versus(second)))
        elif word == "holm":
            out.append(corrected())
        else:
            a, b = (clustered([r.success for r in rows], [r.object_id for r in rows]) for rows in versus(second))
            found = rate_ratio(a, b)
            out += [found.value] if word == "retention" else [found.low, found.high]
    return out


# ---------------------------------------------------------------- JSON


def of_json(words: Sequence[str], path: Path, keys: str) -> list[float]:
    """Returns the figures at a place of a JSON file."""
    value = read_json(path)
    for key in map(unquote, keys.split("/")):
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, list):
            wanted = dict(item.split("=", 1) for item in key.split("&") if "=" in item)
            hits = [x for x in value if all(fnmatch.fnmatchcase(str(x.get(k)), v) for k, v in wanted.items())]
            if len(hits) != 1 or not wanted:
                raise ConfigError(f"{path.name}: {key!r} is {len(hits)} of {len(value)} items; it must be one")
            value = hits[0]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            raise UnknownNameError(f"key of {path.name}", key, value if isinstance(value, dict) else ())
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(x, int | float) for x in values):
        raise ConfigError(f"{path.name}#{keys} is no number")
    return [OF_JSON[word](x) for word in words for x in values]


# ---------------------------------------------------------------- claims


@functools.cache
def figures(claim: str, results: Path) -> tuple[float, ...]:
    """Returns the numbers that a claim stands for, in order.

    Raises:
        ToyShiftError: it cannot be read, or selects nothing.
    """
    head, of, source = claim.partition(" of ")
    words = head.split()
    if not of or not words:
        raise ConfigError(f"{claim!r} must read 'STATISTIC... of SOURCE'")
    for word in words:
        if word not in STATISTICS:
            raise UnknownNameError("statistic", word, STATISTICS)
    out: list[float] = []
    for one in expand(source.strip()):
        first, vs, rest = one.partition(" vs ")
        second, _, among = rest.partition(" among ")
        file, at, keys = first.partition("#")
        fits = OF_JSON if at else (*OF_PAIRS, "holm", "retention", "retention-95") if vs else (*OF_ROWS, "seeds")
        for word in words:
            if word not in fits:
                raise UnknownNameError("statistic of " + ("a figure" if at else "A vs B" if vs else "rows"), word, fits)
        if at:
            out += of_json(words, results / file, keys)
        elif vs:
            out += of_two(words, results, first, second, among)
        else:
            pattern, _, query = first.partition("?")
            out += of_rows(words, select(results, pattern, parse_filters(query)))
    return tuple(out)


def as_written(value: float, shown: str) -> str:
    """Returns a number with the digits, the commas and the sign of the one that is shown."""
    mantissa, exponent, _ = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    sign, comma = "+" if shown[0] == "+" else "", "," if "," in shown else ""
    return f"{value:{sign}{comma}.{decimals}{'e' if exponent else 'f'}}"


def _number(text: str) -> float:
    return float(text.replace(",", ""))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A mark, the numbers that stand before it, and where they stand in the page: (start, end) of each."""

    text: str
    line: int
    before: tuple[tuple[int, int], ...]


def claims_of(page: str) -> list[Claim]:
    """Returns the marks of a page; the numbers before one are those behind the mark before it, in its paragraph."""
    out, begin = [], 0
    for found in MARK.finditer(page):
        begin = max(begin, page.rfind("\n\n", begin, found.start()))
        numbers = NUMBER.finditer(page, begin, found.start())
        line = page.count("\n", 0, found.start()) + 1
        out.append(Claim(found["claim"], line, tuple(number.span() for number in numbers)))
        begin = found.end()
    return out


def problems(page: str, results: Path) -> list[str]:
    """Returns what is wrong with the marked numbers of a page, each as "LINE: what"."""
    marks = {found.start() for found in MARK.finditer(page)}
    out = [
        f"{page.count(chr(10), 0, found.start()) + 1}: a mark that cannot be read; write '<!-- claim: ... -->'"
        for found in re.finditer(r"<!--+\s*claim", page, re.IGNORECASE) if found.start() not in marks
    ]
    for claim in claims_of(page):
        try:
            wanted = figures(claim.text, results)
        except ToyShiftError as error:
            out.append(f"{claim.line}: {claim.text}: {error}")
            continue
        if len(claim.before) < len(wanted):
            out.append(f"{claim.line}: {claim.text}: {len(wanted)} numbers, but {len(claim.before)} stand before it")
            continue
        shown = [page[start:end] for start, end in claim.before[-len(wanted) :]]
        for text, value in zip(shown, wanted, strict=True):
            if _number(text) != _number(again := as_written(value, text)):
                out.append(f"{claim.line}: shows {text}, recomputed {again} ({claim.text})")
    return out


def made_again(root: Path) -> list[str]:
    """Runs the commands that made a part of a page in a copy, and returns where the pages come out otherwise.

    They run in this process, one after the other: to start Python for each takes longer than what they do.
    """
    pages = {page: page.read_text(encoding="utf-8") for page in sorted((root / "docs").glob("*.md"))}
    out = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("docs", "results"):
            shutil.copytree(root / name, copy / name)
        for command in dict.fromkeys(itertools.chain.from_iterable(map(MADE.findall, pages.values()))):
            told, wrong = io.StringIO(), io.StringIO()
            with contextlib.chdir(copy), contextlib.redirect_stdout(told), contextlib.redirect_stderr(wrong):
                code = cli.main(shlex.split(command)[1:])
            if code:
                out.append(f"{command}: {wrong.getvalue().strip() or told.getvalue().strip()}")
        for page, text in pages.items():
            again = (copy / "docs" / page.name).read_text(encoding="utf-8")
            for i, (old, new) in enumerate(itertools.zip_longest(text.splitlines(), again.splitlines())):
                if old != new:
                    out.append(f"docs/{page.name}:{i + 1}: shows {old!r}, made again {new!r}")
    return out


def check(root: Path) -> tuple[list[str], int]:
    """Returns what is wrong with the pages of a checkout, and how many marks they hold."""
    out, count = [], 0
    for page in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        count += len(claims_of(text))
        out += [f"{page.relative_to(root)}:{problem}" for problem in problems(text, root / "results")]
    return out + made_again(root), count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", nargs="?", help="print the numbers that this claim stands for; check nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout or copy: README.md, docs/, results/")
    cfg = parser.parse_args()
    if cfg.claim:
        print(*(f"{x:.6g}" for x in figures(cfg.claim, cfg.root / "results")))
        return 0
    found, count = check(cfg.root)
    print("\n".join(found) or f"{count} marks, and the parts that are made: every number comes from its rows")
    return bool(found)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToyShiftError as error:
        sys.exit(f"error: {error}")
