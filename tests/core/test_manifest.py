"""What a manifest says about the source."""

import subprocess
from pathlib import Path

import pytest

from toyshift.core.manifest import git_revision


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("core/seeds.py", "results/rows.parquet", "docs/page.md", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was committed\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


@pytest.mark.parametrize("name", ["core/new.py", "results/rows.parquet", "docs/page.md", "README.md"])
def test_what_a_study_writes_leaves_the_source_clean(source: Path, name: str) -> None:
    revision = git_revision(source)
    assert len(revision) == 12
    (source / name).write_text("other\n")
    assert git_revision(source) == revision


def test_changed_source_is_dirty(source: Path) -> None:
    revision = git_revision(source)
    (source / "core/seeds.py").write_text("other\n")
    assert git_revision(source) == f"{revision}+dirty"


def test_a_folder_without_git_has_no_revision(tmp_path: Path) -> None:
    assert git_revision(tmp_path) == "none"
