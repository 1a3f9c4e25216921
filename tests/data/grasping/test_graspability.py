"""Graspability: easy and hopeless toys, the same figures however the work is split, a table that survives a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.data.grasping.graspability import measure_graspability
from toyshift.toys import load_objects
from toyshift.toys.graspability import read_table, table_path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))


def _spec(folder: Path, **fields: object) -> str:
    """Single cuboids with edges in a range, as a set of two toys."""
    path = folder / "cubes.json"
    path.write_text(json.dumps({"counts": [1], "kinds": [0, 1, 0, 0], **fields}), encoding="utf-8")
    return f"toys:{path}?n=2"


def test_a_cube_that_fits_the_hand_is_graspable_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    small = measure_graspability(_spec(tmp_path, cuboid_edge=[0.04, 0.041]), tries=3, workers=0)
    assert min(small.values()) > 0
    assert sum(small.values()) >= len(small) / 2
    large = measure_graspability(_spec(tmp_path, cuboid_edge=[0.11, 0.12]), tries=1, workers=0)
    assert set(large.values()) == {0.0}


def test_the_table_is_resumed_and_a_line_cut_short_is_measured_again(tmp_path: Path) -> None:
    spec = _spec(tmp_path, cuboid_edge=[0.03, 0.05])
    first, second = load_objects(spec).ids
    path = table_path(1, 0)
    path.write_text(json.dumps({"id": first, "successes": 7, "tries": 8}) + '\n{"id": "' + second, encoding="utf-8")
    found = measure_graspability(spec, tries=1, workers=0)
    assert found[first] == 7 / 8  # taken from the table, not measured again
    assert found[second] in (0.0, 1.0)
    assert read_table(path) == found
    assert measure_graspability(spec, tries=1, workers=0) == found


def test_only_toys_are_measured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one set of toys"):
        measure_graspability("ycb-like", workers=0)
    with pytest.raises(ConfigError, match="at least 1"):
        measure_graspability(_spec(tmp_path), tries=0)
