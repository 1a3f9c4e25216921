"""Rows: round trips, damaged files, files from before a column was there."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from toyshift.core.errors import FileError
from toyshift.diagnostics.rows import read_rows, read_rows_manifest, write_rows


def test_round_trip_keeps_rows_and_manifest(tmp_path, row):
    rows = [row(i, i % 3 == 0, look="table=1", mask_iou=0.1 * i if i % 2 else None) for i in range(10)]
    path = write_rows(tmp_path / "deep" / "rows.parquet", rows, {"seed": 7, "config": {"a": [1, 2]}})
    assert read_rows(path) == rows
    assert read_rows_manifest(path) == {"seed": 7, "config": {"a": [1, 2]}}
    assert [p.name for p in path.parent.iterdir()] == ["rows.parquet"]
    assert read_rows(write_rows(tmp_path / "none.parquet", [], {})) == []


def test_damaged_and_missing_files_are_named(tmp_path, row):
    path = write_rows(tmp_path / "rows.parquet", [row()], {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"rows\.parquet.*truncated"):
        read_rows(path)
    with pytest.raises(FileError, match="does not exist"):
        read_rows(tmp_path / "absent.parquet")


def test_rows_from_before_there_were_shifts_are_read(tmp_path, row):
    path = write_rows(tmp_path / "rows.parquet", [row()], {"seed": 1})
    for column in ("shift", "events"):
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
        assert read_rows(path) == [row()]
    pq.write_table(pq.read_table(path).drop_columns(["success"]), path)
    with pytest.raises(FileError, match="success"):
        read_rows(path)
