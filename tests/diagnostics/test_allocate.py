"""Demonstrations where regret is largest: a planted learner gains, and what cannot be learnt does not eat it all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.play import object_of_attempt
from toyshift.diagnostics import Row, write_rows
from toyshift.diagnostics.allocate import EVEN, allocated, cell_of, mean, shares, size_of
from toyshift.scripts.collect import Config, shares_of
from toyshift.toys import load_objects


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0.05, 0.95)), min_size=1, max_size=9))
def test_shares_add_up_and_leave_no_cell_out(cells: list[tuple[int, int, float]]) -> None:
    successes, more, expert = (np.array(column, np.float64) for column in zip(*cells, strict=True))
    found = shares(successes, successes + more, expert)
    assert found.sum() == pytest.approx(1.0)
    assert found.min() >= EVEN / len(cells) - 1e-12
    behind = expert - mean(successes, successes + more)
    if behind.max() > 0:
        assert found[np.argmax(behind)] == found.max()


@pytest.fixture(scope="module")
def toys() -> Any:
    return {obj.id: obj for obj in load_objects("toys:train?n=30")}


def rows_of(toys: Any, policy: str, fails: str, thirds: Array) -> list[Row]:
    """Two rows of each toy, of a policy that fails in one cell."""
    return [
        Row(policy, "", "toys:train?n=30", i, 0, e, cell_of(toys[i], thirds) != fails, 0.0, 1, "", "", 0.0)
        for i in toys for e in range(2)
    ]  # fmt: skip


def test_collecting_follows_the_rows(toys: Any, tmp_path: Path) -> None:
    thirds = np.quantile([size_of(toys[i]) for i in toys], (1 / 3, 2 / 3))
    cells = {i: cell_of(toys[i], thirds) for i in toys}
    worst = max(set(cells.values()), key=list(cells.values()).count)
    rows = [*rows_of(toys, "p", worst, thirds), *rows_of(toys, "oracle", "", thirds)]
    each, table = allocated(rows, toys, toys)
    assert table[0].cell == worst
    assert table[0].share > 0.5
    assert sum(each.values()) == pytest.approx(1.0)
    path = write_rows(tmp_path / "rows.parquet", rows, {})
    cfg = Config(objects="toys:train?n=30", out=tmp_path / "more", allocate=(path,))
    assert shares_of(cfg) == tuple(sorted(each.items()))
    config = CollectConfig("toys:train?n=30", 5, tmp_path / "more", shares=shares_of(cfg))
    drawn = [cells[str(object_of_attempt(config, 30, k))] for k in range(1000)]
    assert drawn.count(worst) / 1000 == pytest.approx(table[0].share, abs=0.05)
    plain = CollectConfig("toys:train?n=30", 5, tmp_path / "more")
    assert [object_of_attempt(plain, 30, k) for k in (0, 31)] == [0, 1]
    assert config.key != plain.key
    assert dataclasses.replace(config, shares=()).key == plain.key  # older datasets keep theirs


def test_rows_that_tell_nothing_are_refused(toys: Any, tmp_path: Path) -> None:
    thirds, played = np.array([0.05, 0.06]), toys
    rows = rows_of(toys, "p", "", thirds)
    with pytest.raises(ConfigError, match="there are no rows of oracle"):
        allocated(rows, toys, played)
    with pytest.raises(ConfigError, match="of one policy, and there are p, q"):
        allocated([*rows, *rows_of(toys, "q", "", thirds)], toys, played)
    with pytest.raises(ConfigError, match="of one policy, and there are none"):
        allocated(rows_of(toys, "oracle", "", thirds), toys, played)
    with pytest.raises(ConfigError, match="cells are of toys"):
        cell_of(dataclasses.replace(toys[next(iter(toys))], info={}), thirds)
    with pytest.raises(ConfigError, match="--allocate-before is what --allocate is compared with"):
        shares_of(Config(out=tmp_path, allocate_before=(tmp_path,)))
