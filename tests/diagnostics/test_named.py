"""Picking what is named: how many objects an episode had, chance, and what is said of who is told what."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.named import NOTHING, named_table, on_the_table, picked, told_of
from toyshift.diagnostics.rows import Row
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.policies import PolicyConfig

MakeRow = Callable[..., Row]
ALONE = {"object_set": "toys:test?n=20", "purpose": "test"}


@pytest.mark.parametrize(("clutter", "scene"), [(None, "task=pick"), ("2-3", "clutter=2-3,task=pick")])
def test_as_many_objects_are_counted_as_lie_there(row: MakeRow, clutter: str | None, scene: str) -> None:
    env = GraspEnv(EnvConfig(objects="toys:test?n=20", task="pick", clutter=clutter, cameras=()))
    for episode, shift in [(0, ""), (1, ""), (2, ""), (3, "distractors=2"), (4, "object-mass=3")]:
        options = {"episode": episode, "purpose": "test", "observe": False, "shift": shift}
        _, info = env.reset(seed=7, options=options)
        played = row(episode, seed=7, scene=scene, shift=shift, **ALONE)
        assert on_the_table(played) == len(info["objects"])
    env.close()


def played(
    row: MakeRow, pick: Callable[[int, np.random.Generator], int | None], stream: int = 0, **changes: Any
) -> list[Row]:
    """400 episodes in which a policy lifts object number pick(n, rng) of n, 0 the named one, or none."""
    rng, rows = episode_rng(stream, 0, "picks"), []
    for episode in range(400):
        own = {"object_id": f"o{episode % 20}", "scene": "task=pick", **ALONE, **changes}
        lifted = pick(on_the_table(row(episode, **own)), rng)
        failure = "" if lifted == 0 else "never_reached" if lifted is None else "wrong_object"
        rows.append(row(episode, lifted == 0, failure=failure, **own))
    return rows


def test_a_policy_that_heeds_nothing_is_at_chance(row: MakeRow) -> None:
    """Whichever it lifts of n: its share is the mean of 1 / n, which is no good policy's."""
    (found,) = picked(played(row, lambda n, rng: int(rng.integers(n))), {"detpool": ""})
    assert found.chance == pytest.approx(np.mean([1 / n for n in range(2, 7)]), abs=0.02)
    assert found.share.low < found.chance < found.share.high
    assert found.named + found.other == found.n == 400
    assert found.verdict == "not shown to heed what is named: chance would do as well"
    alarms = 0
    for seed in range(60):
        rows = played(row, lambda n, rng: int(rng.integers(n)), stream=seed, seed=seed)
        alarms += "more often" in picked(rows, {})[0].verdict
    assert alarms <= 5  # of 60 at 2.5 %: more in 1 of 250 such tests


def test_what_is_lifted_is_told_from_chance_either_way(row: MakeRow) -> None:
    heeds = picked(played(row, lambda n, rng: 0 if rng.random() < 0.6 else 1), {})[0]
    assert heeds.verdict == "lifts the named object more often than chance"
    assert heeds.share.value == pytest.approx(0.6, abs=0.06)
    avoids = picked(played(row, lambda n, rng: 1 + int(rng.integers(n - 1))), {})[0]
    assert (avoids.verdict, avoids.named) == ("lifts the named object less often than chance", 0)
    idle = picked(played(row, lambda n, rng: None), {"detpool": NOTHING})[0]
    assert (idle.verdict, math.isnan(idle.chance)) == ("is told nothing of what is named, and lifted nothing", True)
    assert json.loads(json.dumps(idle.to_json(), allow_nan=False))["share"]["value"] is None


def test_who_is_told_nothing_is_said_to_pick_by_chance(row: MakeRow) -> None:
    (found,) = picked(played(row, lambda n, rng: int(rng.integers(n))), {"detpool": NOTHING})
    assert found.verdict.endswith("what it lifts is the named one by chance")
    knows = picked(played(row, lambda n, rng: 0), {"detpool": NOTHING})[0]  # then something else tells it
    assert knows.verdict == "lifts the named object more often than chance, though it is told nothing of it"
    few = picked(played(row, lambda n, rng: 0, object_id="o1"), {})[0]
    assert few.verdict == "not told: what was lifted had fewer than 8 different targets"
    table = named_table([found, few])
    assert "chance %" in table
    assert NOTHING in table


def test_other_tasks_are_left_out(row: MakeRow) -> None:
    assert picked([row(0, True), row(1, True, scene="clutter=4")], {}) == []
    assert named_table([]) == ""


@pytest.mark.parametrize(("parts", "told"), [
    ({"pooling": "mean"}, NOTHING), ({"pooling": "mean", "instruction": "table"}, "the instruction"),
    ({"pooling": "mean", "instruction": "setup"}, NOTHING),  # told the name of a dataset's folder
    ({"pooling": "mean", "instruction": "table", "vocabulary": ("pick up a", "pick up b"), "latent": True}, NOTHING),
    ({"pooling": "detpool"}, "masks (truth)"), ({"pooling": "mean", "privileged": True}, "the target's pose"),
    ({"pooling": "detpool", "instruction": "minilm"}, "the instruction and masks (truth)"),
])  # fmt: skip
def test_a_policy_s_folder_says_what_it_is_told(tmp_path: Path, parts: dict[str, Any], told: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"policy": PolicyConfig(**parts).to_json()}))
    assert told_of(str(tmp_path)) == told
    assert told_of("ws://localhost:1") == ""
    assert (told_of("oracle"), told_of("random")) == ("the simulator", NOTHING)


def test_a_folder_that_says_nothing_is_not_known(tmp_path: Path) -> None:
    assert told_of(str(tmp_path)) == ""
