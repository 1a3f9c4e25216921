"""What a manifest says about the source."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from toyshift.core.manifest import git_revision, manifest, other_kind


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


def test_two_results_of_one_machine_are_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    now, again = manifest(seed=1, gl_renderer="llvmpipe"), manifest(seed=2, gl_renderer="llvmpipe")
    assert other_kind(now, again) == []
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2")  # another kernel, and the same name of the processor
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    told = " ".join(other_kind(manifest(gl_renderer="softpipe"), again))
    assert "'NPY_DISABLE_CPU_FEATURES': 'AVX2'" in told
    assert "threads: 7 now" in told
    assert "gl_renderer: 'softpipe' now, 'llvmpipe' there" in told


def test_the_command_can_be_given_to_a_shell_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["toyshift", "evaluate", "--objects", "ycb:my scans?graspable&half=a", "--clutter", "", "--trials", "9"]
    monkeypatch.setattr(sys, "argv", words)
    assert shlex.split(manifest()["command"]) == words


@pytest.mark.parametrize(("given", "kept"), [("2", 2), (" 2 ", 2), ("4,2", "4,2"), ("many", "many"), ("-1", "-1")])
def test_threads_are_kept_as_they_are_given(given: str, kept: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert manifest()["machine"]["kernels"]["threads"] == kept


def test_other_instructions_and_versions_are_another_kind() -> None:
    now = manifest()
    kernels = now["machine"]["kernels"]
    assert kernels["instructions"] or platform.system() != "Linux"
    other = {
        **now, "machine": {**now["machine"], "kernels": {**kernels, "instructions": "sse sse2"}},
        "versions": {**now["versions"], "torch": "1.0"},
    }  # fmt: skip
    assert [reason.partition(":")[0] for reason in other_kind(now, other)] == ["torch", "instructions"]


def test_a_manifest_of_before_kernels_were_written_down_is_of_another_kind() -> None:
    now = manifest()
    old = {**now, "machine": {key: value for key, value in now["machine"].items() if key != "kernels"}}
    assert other_kind(now, old) == ["kernels: not said there"]
