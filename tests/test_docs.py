"""Documents stay true: files that they name are there, and their `toyshift` examples have options that exist."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, ToyShiftError
from toyshift.scripts import cli
from toyshift.scripts.options import options_of, refusal

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
PAGES = sorted(page for page in PAGES if page.name != "CHANGELOG.md")  # which tells of what was
FOLDERS = (
    "core", "toys", "envs", "data", "policies", "augment", "diagnostics", "scripts", "benchmarks", "tests", "docs",
    "results",
)  # fmt: skip
ELSEWHERE = {"scripts/serve_policy.py"}  # openpi's
pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the tests run against an installed wheel")


def lines_of(block: str) -> Iterator[str]:
    """Yields the `toyshift` commands that stand on lines of their own, without what is said about them."""
    for line in block.replace("\\\n", " ").splitlines():
        if found := re.match(r"(?:\$ |Example: )?(toyshift .*)", line.strip()):
            yield re.split(r" {3,}| +# | \| |;| && ", found[1])[0]


def commands(page: str) -> Iterator[str]:
    """Yields the `toyshift` commands of a page: those of its blocks of code, and those in backquotes."""
    for number, part in enumerate(page.split("```")):
        if number % 2:
            yield from lines_of(part)
        else:
            yield from (" ".join(found.split()) for found in re.findall(r"`(toyshift [^`]+)`", part))


def wrong_with(command: str) -> ToyShiftError | None:
    """Returns what is wrong with a command, as far as names and numbers of its options tell."""
    words = [word for word in shlex.split(command)[1:] if word not in ("...", "[options]")]
    if not words or words[0].startswith("-") or any(word.isupper() for word in words[:2]):
        return None  # `toyshift --help`, `toyshift COMMAND`, `toyshift data WORD`
    if len(words) == 1 and words[0] in cli.COMMANDS:
        return None
    for second in "".join(words[1:2]).split("|"):  # `toyshift toys list|show`
        try:
            name, main, rest = cli.find([words[0], *filter(None, [second]), *words[2:]])
        except ToyShiftError as error:
            return error
        error = refusal(options_of(main), rest, name, complete=False)
        spoken_of = words[-1].startswith("--") and str(error).count("got none")
        if error and not spoken_of:
            return error
    return None


def names(text: str) -> set[str]:
    """Returns the files of this repository that a page names."""
    suffixes = "py|md|json|png|toml|txt|yaml|yml|ipynb|parquet|html"
    found = re.findall(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w./-]+\.(?:{suffixes}))\b", text)
    return set(found) - ELSEWHERE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_have_options_that_exist(page: Path) -> None:
    said = {command: wrong_with(command) for command in commands(page.read_text(encoding="utf-8"))}
    assert not {command: str(error) for command, error in said.items() if error}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_links_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if ":" not in link}
    missing = {link for link in links if not (page.parent / link).exists()}
    assert not missing | {name for name in names(text) if not (ROOT / name).exists()}


def test_examples_of_help_have_options_that_exist() -> None:
    texts = [cli.EPILOG]
    for command in cli.COMMANDS.values():
        for place in (command.module, *map(command.place, command.words)):
            module = importlib.import_module(place)
            texts += [module.__doc__ or "", inspect.getdoc(getattr(module, "main", None)) or ""]
    examples = [line for text in texts for line in lines_of(text)]
    assert len(examples) > 60
    assert not {line: str(error) for line in examples if (error := wrong_with(line))}


def test_a_stale_option_is_found() -> None:
    block = "```\ntoyshift evaluate --policy a --trails 3   # stale\n```\n"
    page = f"{block}and `toyshift data info runs/a`, `toyshift toys shwo`"
    stale, fine, word = commands(page)
    assert "Did you mean '--trials'" in str(wrong_with(stale))
    assert wrong_with(fine) is None
    assert "Did you mean 'show'" in str(wrong_with(word))
    assert isinstance(wrong_with("toyshift train --data a --steps many"), ConfigError)
    assert names("see `scripts/cli.py` and docs/gone.md") == {"scripts/cli.py", "docs/gone.md"}
