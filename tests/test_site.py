"""The documentation site: every page has its place, every public name its entry, and tutorials run as they are read."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from toyshift.core import workers
from toyshift.scripts import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = ("toys", "envs", "data", "policies", "augment", "diagnostics")
NOT_RUN = "<!-- not run here: "
BLOCK = re.compile(r"(?m)^(<!-- not run here: [^\n]+ -->\n)?```(bash|python)\n(.*?)^```$", re.DOTALL)
# in the order in which they build on one another
TUTORIALS = ("newcomer", "reinforcement", "data", "policy", "science", "robot")


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without the objects that its tags make."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def places(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from places(list(nav.values()))
    else:
        for part in nav:
            yield from places(part)


def test_every_page_has_one_place_in_the_site() -> None:
    listed = list(places(yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"]))
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room: str) -> None:
    there = importlib.import_module(f"toyshift.{room}")._PLACES
    wanted = [f"::: toyshift.{room}.{place}.{name}" for name, place in there.items()]
    lines = (DOCS / "api" / f"{room}.md").read_text().splitlines()
    assert [line for line in lines if line.startswith(":::")] == wanted


def test_tutorials_are_those_that_run() -> None:
    assert {path.stem for path in (DOCS / "tutorials").glob("*.md")} == set(TUTORIALS)


def test_tutorials_run_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "core_count", lambda: 1)  # for a few episodes a second process only costs its start
    for name in TUTORIALS:
        text, scope = (DOCS / "tutorials" / f"{name}.md").read_text(), {}
        blocks = BLOCK.findall(text)
        assert len(blocks) == len(re.findall(r"(?m)^```\w+$", text)), f"{name}: a block is neither bash nor python"
        for skipped, language, code in blocks:
            if skipped:
                continue
            if language == "python":
                exec(compile(code, f"{name}.md", "exec"), scope)
                continue
            for line in code.splitlines():
                program, *words = shlex.split(line)
                assert program == "toyshift", f"{name}.md: {line}"
                assert cli.main(words) == 0, f"{name}.md: {line}"
