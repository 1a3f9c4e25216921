"""The study of latency: cells of every way of compensating, resumable, and a table made of their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics import read_rows
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts.studies.latency import Config, main


@pytest.fixture(scope="module")
def policy(grasp_policy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    env = GraspEnv(EnvConfig(objects="toys:test?n=2", image_size=32))
    folder = grasp_policy(tmp_path_factory.mktemp("latency") / "mine", env)
    env.close()
    return folder


def test_every_way_of_compensating_is_played_from_the_same_starts(policy: Path, tmp_path: Path) -> None:
    asked = Config(
        policy=(str(policy),), objects="toys:test?n=2", latencies=(300,), trials=1, out=tmp_path / "run",
        results=tmp_path / "results", docs=tmp_path / "docs", workers=1, allow_dirty=True,
    )  # fmt: skip
    cell = "mine-toys-test"
    first = main(dataclasses.replace(asked, cells=1))
    assert first["ran"] == [f"{cell}-now"]
    assert first["missing"] == [f"{cell}-{how}-300" for how in ("skip", "none", "wait")]
    assert main(asked)["ran"] == first["missing"]
    table = main(dataclasses.replace(asked, policy=(), tabulate=True))["rows"]
    assert [(x["compensation"], x["latency"]) for x in table] == [("", 0), ("skip", 0.3), ("none", 0.3), ("wait", 0.3)]
    assert [x["minus_no_latency"] is None for x in table] == [True, False, False, False]
    assert [x["minus_none"] is None for x in table] == [True, False, True, False]
    rows = [row for path in (tmp_path / "results" / "rows").iterdir() for row in read_rows(path)]
    assert len(rows) == 4
    assert len({(row.seed, row.episode, row.object_id) for row in rows}) == 1
    page = (tmp_path / "docs" / "robot.md").read_text()
    assert "| `mine` | toys:test | wait | 300 | 0 | 1 |" in page
    again = dataclasses.replace(asked, results=tmp_path / "results", docs=None, from_scratch=True, trials=2)
    with pytest.raises(ConfigError, match="trials"):
        main(again)


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no policy was given"):
        Config()
    with pytest.raises(ConfigError, match="latencies must be from 1"):
        Config(policy=("p",), latencies=(0,))
    with pytest.raises(FileError, match="holds no rows yet; run `toyshift study latency"):
        main(Config(tabulate=True, results=tmp_path, docs=tmp_path))
