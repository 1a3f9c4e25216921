"""`data check` of LeRobot datasets of others finds what was planted, and nothing in what LeRobot wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json, write_json
from toyshift.data.formats.alike import CLOSE_BY, PART, SAME, Alike, alike, fingerprint
from toyshift.data.formats.lerobot_checks import KINDS, check_any
from toyshift.scripts.data.check import Config, main

HIGH = "observation.images.cam_high"


def found(folder: Path, **options: Any) -> list[tuple[str, int | None]]:
    result = check_any(folder, **options)
    assert {p.kind for p in result.problems} <= set(KINDS)
    return [(p.kind, p.episode) for p in result.problems]


def test_nothing_is_wrong_with_what_lerobot_wrote(v3: Any, tmp_path: Path) -> None:
    result = check_any(v3.pick(tmp_path / "d"))
    assert result.problems == ()
    assert any("what its actions mean" in line for line in result.unknown)


@pytest.mark.parametrize(
    ("column", "planted", "problem"),
    [
        ("timestamp", lambda v: v * 0.5, "timestamps"), ("frame_index", lambda v: v + 1, "numbering"),
        ("index", lambda v: v[::-1], "numbering"), ("task_index", lambda v: 1 - v, "tasks"),
    ],
)
def test_columns_that_contradict_meta(v3: Any, tmp_path: Path, column: str, planted: Any, problem: str) -> None:
    folder, name = v3.pick(tmp_path / "d"), "data/chunk-000/file-001.parquet"  # of episode 3, or 2 and 3
    table = pq.read_table(folder / name)
    v3.rewrite(folder, name, **{column: planted(table[column].to_numpy())})
    episodes = sorted(set(table["episode_index"].to_pylist()))
    assert [p for p in found(folder, images=False) if p[0] != "statistics"] == [(problem, i) for i in episodes]


def test_times_at_another_rate_are_told(v3: Any, tmp_path: Path) -> None:
    folder = v3.write(tmp_path / "d", [v3.walk(0)], info={"fps": 30})
    (problem,) = check_any(folder).problems
    assert str(problem).endswith("frame 1 is said to be at 0.0667 s; at fps 30 it is not; frames are 0.0667 s apart")


def test_wrong_statistics(v3: Any, tmp_path: Path) -> None:
    folder = v3.pick(tmp_path / "d")
    stats = read_json(folder / "meta/stats.json")
    stats["action"]["mean"][3] += 1.0
    stats["observation.image"]["mean"] = [[[0.9]], [[0.9]], [[0.9]]]
    del stats["observation.state"]
    write_json(folder / "meta/stats.json", stats)
    told = sorted(str(p) for p in check_any(folder).problems)
    assert len(told) == 3
    assert "action, mean of gripper.pos is noted as" in told[0]
    assert "has nothing of observation.state" in told[1]
    assert "observation.image, mean of the pixels is noted as 0.900" in told[2]
    write_json(folder / "meta/stats.json", {"action": {"mean": "none"}, "observation.state": 3})
    (problem,) = check_any(folder).problems
    assert "it should have an object for each feature" in str(problem)
    (folder / "meta/stats.json").unlink()
    assert found(folder, images=False) == [("statistics", None)]


def test_statistics_of_an_episode(v3: Any, tmp_path: Path) -> None:
    folder, name = v3.pick(tmp_path / "d"), "meta/episodes/chunk-000/file-000.parquet"
    values = pq.read_table(folder / name)["stats/action/max"].to_pylist()
    values[2][1] += 5.0
    v3.rewrite(folder, name, **{"stats/action/max": values})
    assert found(folder, images=False) == [("statistics", 2)]


def test_nan_and_videos_that_end_early(v3: Any, tmp_path: Path) -> None:
    folder, name = v3.pick(tmp_path / "d"), "data/chunk-000/file-000.parquet"
    states = pq.read_table(folder / name)["observation.state"].to_pylist()
    states[10][2] = float("nan")  # frame 2 of episode 1
    v3.rewrite(folder, name, observation__state=states)
    first, last = (folder / f"videos/{HIGH}/chunk-00{k}/file-000.mp4" for k in (0, 1))
    last.write_bytes(first.read_bytes())  # of 17 frames; the last episode has 11
    places, rows = "meta/episodes/chunk-000/file-000.parquet", [0.0, 8 / 15, 0.0, 8 / 15]
    v3.rewrite(folder, places, **{f"videos/{HIGH}/from_timestamp": rows})
    told = [str(p) for p in check_any(folder).problems]
    assert any("not finite" in line and "episode 1, frame 2" in line for line in told)
    assert any("chunk-001/file-000.mp4, episode 3: the video has no frame for frame 9" in line for line in told)


def test_meta_against_itself(v3: Any, tmp_path: Path) -> None:
    folder = v3.write(tmp_path / "d", [v3.walk(i) for i in range(3)], info={"total_frames": 61, "total_episodes": 4})
    told = [p.detail for p in check_any(folder).problems]
    assert told == ["total_episodes is 4, meta/episodes has 3", "total_frames is 61, meta/episodes has 60"]
    info = read_json(folder / "meta/info.json")
    features = info["features"] | {"observation.force": {"dtype": "float32", "shape": [2], "names": None}}
    write_json(folder / "meta/info.json", info | {"total_frames": 60, "total_episodes": 3, "features": features})
    assert found(folder) == [("unreadable", i) for i in range(3)]


def test_twins(v3: Any, tmp_path: Path) -> None:
    states = [v3.walk(i, 40) for i in range(8)]
    states[3] = states[1].copy()
    states[5] = states[0][6:31]  # cut out of the first
    states[6] = states[2] + np.random.default_rng(9).normal(size=states[2].shape).astype(np.float32) * 1e-3
    folder = v3.write(tmp_path / "d", states, info={"splits": {"train": "0:5", "test": "5:8", "extra": "4:6"}})
    result = check_any(folder)
    told = {(p.kind, p.episode): p.detail for p in result.problems if p.kind != "splits"}
    assert told.keys() == {("duplicated episode", 3), ("near-duplicate", 5), ("near-duplicate", 6)}
    assert told["duplicated episode", 3] == "the same actions and states as episode 1"
    assert "in both, it and episode 0" in told["near-duplicate", 5]
    assert "moves as episode 2, but for" in told["near-duplicate", 6]
    splits = [p.detail for p in result.problems if p.kind == "splits"]
    assert "splits train and extra share the episodes 4 to 4" in splits
    assert "splits test and extra share the episodes 5 to 5" in splits
    assert any(line.startswith("episode 6 of split test: moves as episode 2 of split train") for line in splits)
    assert any(line.startswith("episode 5 of split extra: ") for line in splits)
    assert len(splits) == 5  # and episode 5 of split test


def test_splits_that_cannot_be(v3: Any, tmp_path: Path) -> None:
    splits = {"train": "0:2", "test": "2:9", "val": "some"}
    folder = v3.write(tmp_path / "d", [v3.walk(i) for i in range(3)], info={"splits": splits})
    told = [p.detail for p in check_any(folder).problems]
    expected = "split val is 'some'; it should be FIRST:END, such as 0:3"
    assert told == ["split test is 2:9, and there are 3 episodes", expected]


def test_two_datasets_that_share_an_episode(v3: Any, tmp_path: Path) -> None:
    states = [v3.walk(i) for i in range(9)]
    train = v3.write(tmp_path / "train", states[:5])
    test = v3.write(tmp_path / "test", [*states[6:], states[4]])
    (problem,) = check_any(train, against=test).problems
    assert (problem.kind, problem.episode) == ("shared episode", 4)
    assert problem.detail == f"the same actions and states as episode 3 of {test}"
    with pytest.raises(ConfigError, match="cannot be compared"):
        check_any(train, against=v3.pick(tmp_path / "pick"))


def test_ours_are_checked_as_before_and_against_others(maker: Any, tmp_path: Path) -> None:
    maker.dataset(tmp_path / "a", range(4))
    maker.dataset(tmp_path / "b", range(3, 6))
    before = check_any(tmp_path / "a")
    after = check_any(tmp_path / "a", against=tmp_path / "b")
    assert after.problems[:-1] == before.problems
    assert after.problems[-1].detail == f"the same actions and states as episode 0 of {tmp_path / 'b'}"
    assert before.unknown == ()


def test_no_copy_without_a_contract_and_no_version_2(v3: Any, tmp_path: Path) -> None:
    folder = v3.pick(tmp_path / "d")
    with pytest.raises(ConfigError, match="--contract FILE"):
        check_any(folder, repair=tmp_path / "clean")
    write_json(folder / "meta/info.json", read_json(folder / "meta/info.json") | {"codebase_version": "v2.0"})
    with pytest.raises(FileError, match=r"2\.0 must become 2\.1 first"):
        check_any(folder)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_independent_walks_are_not_alike_and_copies_are(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    walks = [rng.normal(size=3) + np.cumsum(rng.normal(size=(length, 3)), axis=0) for _ in range(6)]
    prints = [fingerprint(walk) for walk in walks]
    assert alike(prints) == []
    assert alike([*prints, prints[2]]) == [Alike(2, 6, SAME, 1.0)]


def test_how_they_are_alike() -> None:
    rng = np.random.default_rng(0)
    walks = [np.cumsum(rng.normal(size=(50, 2)), axis=0) for _ in range(5)]
    standing = np.tile(walks[0][:1], (50, 1))
    prints = [fingerprint(w) for w in (*walks, walks[3][10:40], walks[4] + 1e-3, standing)]
    (part, close) = alike(prints)
    assert (part.first, part.second, part.how, part.amount) == (3, 5, PART, 1.0)
    assert (close.first, close.second, close.how) == (4, 6, CLOSE_BY)
    assert close.amount < 1e-3
    assert len(prints[-1].windows) == 0  # nothing moves: it could be alike by chance


def test_the_command_names_what_gives_the_task_away(v3: Any, tmp_path: Path, capsys: Any) -> None:
    tasks = ["stack", "pour"] * 20
    rng = np.random.default_rng(0)
    starts = [(float(task == "pour"), *rng.normal(size=2)) for task in tasks]
    folder = v3.write(
        tmp_path / "d", [v3.walk(i, 6, start) for i, start in enumerate(starts)], tasks=tasks,
        noted={"light": [str(v) for v in rng.integers(0, 2, 40)], "made": [f"10:{i}" for i in range(40)]},
        constant={"operator": rng.integers(0, 3, 40).tolist(), "camera_preset": [int(t == "pour") for t in tasks]},
    )  # fmt: skip
    result = main(Config(data=folder))
    assert not result["ok"]
    tied = {(p["relevant"], p["irrelevant"]): p for p in result["dependence"]["pairs"]}
    assert tied["task", "camera_preset"]["nmi"] == pytest.approx(1.0)
    assert ("task", "made") not in tied  # another one in each episode
    told = [p["detail"].split(":")[0] for p in result["problems"]]
    assert sorted(told) == ["camera_preset gives away task", "start of joint_0 gives away task"]
    assert "dependence: " in capsys.readouterr().out


def test_the_command_says_what_it_cannot_know(v3: Any, tmp_path: Path, capsys: Any) -> None:
    result = main(Config(data=v3.write(tmp_path / "d", [v3.walk(i) for i in range(12)])))
    assert result["ok"]
    told = capsys.readouterr().out
    assert "not known: what gives away what has to be done: no factor of that varies" in told
    assert "task is 'pick' in all" in told
    assert "not known: whether viewpoint, light or background go with the task" in told
