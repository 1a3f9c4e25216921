"""Rows: round trips, summaries from counts, comparisons on shared episodes, readable tables."""

from __future__ import annotations

import dataclasses
import json

import pyarrow.parquet as pq
import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.rows import (
    Row,
    Summary,
    compare,
    failure_kind,
    per_object,
    read_rows,
    read_rows_manifest,
    shift_table,
    summarise,
    summary_table,
    write_rows,
)
from toyshift.diagnostics.statistics import PairedDifference


def row(episode=0, success=False, policy="detpool", object_id="ball", **changes) -> Row:
    kind = "" if success else "not_lifted"
    values = {
        "policy": policy, "pooling": "detpool", "object_set": "toys:test", "object_id": object_id, "seed": 7, "episode": episode, "success": success,
        "max_height": 0.31 if success else 0.01, "steps": 60, "failure": kind, "look": "", "wall_s": 0.5,
    }
    return Row(**{**values, **changes})


def test_round_trip_keeps_rows_and_manifest(tmp_path):
    rows = [row(i, i % 3 == 0, look="table=1") for i in range(10)]
    path = write_rows(tmp_path / "deep" / "rows.parquet", rows, {"seed": 7, "config": {"a": [1, 2]}})
    assert read_rows(path) == rows
    assert read_rows_manifest(path) == {"seed": 7, "config": {"a": [1, 2]}}
    assert [p.name for p in path.parent.iterdir()] == ["rows.parquet"]
    assert read_rows(write_rows(tmp_path / "none.parquet", [], {})) == []


def test_damaged_and_missing_files_are_named(tmp_path):
    path = write_rows(tmp_path / "rows.parquet", [row()], {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"rows\.parquet.*truncated"):
        read_rows(path)
    with pytest.raises(FileError, match="does not exist"):
        read_rows(tmp_path / "absent.parquet")


def test_summaries_group_by_policy_set_and_look():
    rows = [row(i, i < 6, object_id=f"o{i % 5}") for i in range(10)] + [row(0, True, policy="oracle", pooling=""), row(0, False, look="table=1")]
    first, oracle, changed = summarise(rows)
    assert (first.k, first.n, first.objects, first.rate) == (6, 10, 5, 0.6)
    assert first.failures == {"not_lifted": 4}
    assert (oracle.policy, oracle.rate, oracle.clustered) == ("oracle", 1.0, (0.0, 1.0))
    assert changed.look == "table=1"
    assert Summary.from_json(json.loads(json.dumps(first.to_json()))) == first
    table = summary_table([first, oracle, changed])
    assert "60.0" in table
    assert "not_lifted 4" in table
    assert len({line.index("60.0") for line in table.splitlines() if "60.0" in line}) == 1
    assert next(iter(per_object(rows[:10]).values())) == (2, 2)


def test_shifts_are_groups_of_their_own_with_a_table_by_factor_and_level():
    both = "camera-azimuth=1,object-mass=2"
    rows = [row(i, i < 6) for i in range(10)] + [row(i, i < 3, shift="camera-azimuth=3") for i in range(10)]
    rows += [row(i, i < 5, shift="camera-azimuth=0") for i in range(10)] + [row(i, True, shift=both) for i in range(10)]
    found = summarise(rows)
    assert [(s.shift, s.k) for s in found] == [("", 6), ("camera-azimuth=3", 3), ("camera-azimuth=0", 5), (both, 10)]
    assert Summary.from_json(json.loads(json.dumps(found[1].to_json()))) == found[1]
    assert both in summary_table(found)
    header, _, *lines = shift_table(found).splitlines()
    assert header.split() == ["policy", "objects", "of", "factor", "level", "0", "level", "3"]
    assert [line.split()[-5:] for line in lines] == [["camera-azimuth", "50.0", "(5/10)", "30.0", "(3/10)"]]
    assert shift_table(found[:1]) == ""
    assert compare(rows[:10], [dataclasses.replace(r, policy="mean") for r in rows[:10]]).both == 6
    with pytest.raises(ConfigError, match="share no"):
        compare(rows[:10], rows[10:20])  # an episode under a shift is another one


def test_rows_from_before_there_were_shifts_are_read(tmp_path):
    path = write_rows(tmp_path / "rows.parquet", [row()], {"seed": 1})
    pq.write_table(pq.read_table(path).drop_columns(["shift"]), path)
    assert read_rows(path) == [row()]
    pq.write_table(pq.read_table(path).drop_columns(["success"]), path)
    with pytest.raises(FileError, match="success"):
        read_rows(path)


def test_comparison_uses_shared_episodes_only():
    a = [row(i, True) for i in range(10)]
    b = [row(i, i % 2 == 0, policy="mean") for i in range(5, 15)]
    result = compare(a, b)
    assert result.only_a == 3
    assert result.both == 2
    assert PairedDifference.from_json(json.loads(json.dumps(result.to_json()))) == result
    with pytest.raises(ConfigError, match="share no"):
        compare(a, [dataclasses.replace(r, seed=8) for r in a])
    with pytest.raises(ConfigError, match="twice"):
        compare([*a, a[0]], a)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("", (True, 0.3, 0.3, True)),
        ("no_contact", (False, 0.0, 0.0, False)),
        ("not_lifted", (False, 0.01, 0.0, True)),
        ("dropped", (False, 0.2, 0.0, True)),
        ("not_held", (False, 0.31, 0.3, None)),
        ("timeout", (False, 0.2, 0.2, None)),
    ],
)
def test_failures_are_told_apart(kind, values):
    assert failure_kind(*values, threshold=0.3) == kind
