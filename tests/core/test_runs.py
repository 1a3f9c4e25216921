"""Runs that are taken up again: whose a folder is, what came of it, and what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import write_json
from toyshift.core.runs import claim, differences, finish, found


def look(marker: Path, key: str = "k", **settings: object) -> object:
    return found(marker, key, "a dataset", "toyshift collect", settings)


def test_a_run_is_new_then_begun_then_finished(tmp_path: Path) -> None:
    marker = tmp_path / "run" / "run.json"
    assert look(marker) is None
    assert not marker.parent.exists()  # looking takes nothing over
    claim(marker, "k", {"seed": 1})
    assert look(marker) is None
    finish(marker, {"episodes": 3})
    assert look(marker) == {"episodes": 3}


def test_another_run_and_a_folder_of_something_else_are_refused(tmp_path: Path) -> None:
    marker = tmp_path / "run.json"
    claim(marker, "k", {"seed": 1, "out": "a"})
    with pytest.raises(ConfigError, match=r"a dataset of another configuration \(seed: 2 now, 1 there\)"):
        look(marker, "other", seed=2, out="a")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(ConfigError, match="not empty and was not made by `toyshift collect`"):
        look(tmp_path / "photos" / "run.json")
    with pytest.raises(ConfigError, match="is a file; choose another"):
        look(tmp_path / "photos" / "cat.png" / "run.json")  # a file where the folder would be
    for damaged in ("[1]", '{"key": '):
        marker.write_text(damaged)
        with pytest.raises(FileError, match="is not what `toyshift collect` writes; restore it, or delete"):
            look(marker)


def test_markers_of_older_versions_are_understood(tmp_path: Path) -> None:
    marker = tmp_path / "run.json"
    write_json(marker, {"key": "k", "config": {"seed": 2}, "finished": {"episodes": 3}})
    assert look(marker, seed=1) == {"episodes": 3}
    with pytest.raises(ConfigError, match="a dataset of another configuration; choose"):
        look(marker, "other", seed=1)


def test_differences_name_what_either_side_lacks_and_take_tuples_for_lists() -> None:
    now, there = {"a": 1, "b": (1, 2), "c": 3}, {"a": 1, "b": [1, 2], "d": 4}
    assert differences(now, there, but=("d",)) == ["c: 3 now, None there"]
