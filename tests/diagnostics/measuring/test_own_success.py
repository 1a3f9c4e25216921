"""Sub-datasets on disk tell what their cue implies; success as in training is played where cue and place agree."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.workers import Pool
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import collect_fragments
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import own_success as room
from toyshift.diagnostics.measuring.implied import folders_of, implied_of, read_episodes
from toyshift.diagnostics.measuring.own_success import own_success, ways_of
from toyshift.diagnostics.rows import read_rows
from toyshift.diagnostics.swapped_cells import EpisodeCell, training_cells
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv

OBJECTS = "toys:train?n=3"


def collected(out: Path, correlation: float) -> Path:
    design = fragment(2, diversity=0.25, disparity=1.0, correlation=correlation, factor="table")
    collect_fragments(design, CollectConfig(OBJECTS, 8, out, workers=0, image_size=32, cameras=("front",)))
    return out


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("tied") / "fragments", 1.0)


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plays in this process."""
    evaluate = room.evaluate
    monkeypatch.setattr(room, "evaluate", lambda config, out, pool: evaluate(config, out, 0, progress=False))


def ask(out: Path, *trained_on: Path, training_set: str = "") -> Asked:
    return Asked(
        policy="oracle", objects=OBJECTS, training_set=training_set, trained_on=trained_on, scenes=2, looks=1,
        trials=3, camera="front", seed=0, out=out,
    )  # fmt: skip


def test_fragments_tell_what_their_cue_implies(tied: Path) -> None:
    assert [folder.name for folder in folders_of((tied,))] == ["part-0", "part-1"]
    assert folders_of((tied / "part-1",)) == [tied / "part-1"]
    factors, places = read_episodes((tied,))
    assert {len(values) for values in factors.values()} == {8} == {len(places)}
    found, nothing = implied_of(factors, places)
    assert {*found} == {"table"}
    (one, other), (first, second) = found["table"].values, found["table"].places
    assert one != other
    assert abs(first[1] - second[1]) == pytest.approx(0.1, abs=0.03)  # centres half spans of 10 cm apart
    assert nothing["light"] == "it is the same in all episodes"


@pytest.mark.usefixtures("_here")
def test_success_is_played_where_cue_and_place_agree(tied: Path, tmp_path: Path) -> None:
    pool: Pool = None  # type: ignore[assignment]  # not asked for: played here
    found = own_success(ask(tmp_path, tied), pool)
    assert found is not None
    assert found[1] == 4  # two of each sub-dataset
    assert found[0] >= 2
    rows = [row for file in (tmp_path / "rows").glob("*.parquet") for row in read_rows(file)]
    assert {row.look for row in rows} == {"table=part-0,place=part-0", "table=part-1,place=part-1"}
    assert {row.seed for row in rows} == {room.STARTS}


@pytest.mark.usefixtures("_here")
def test_without_a_cue_places_and_looks_are_the_plan_s_too(tmp_path: Path) -> None:
    free = collected(tmp_path / "free", 0.0)
    found = own_success(ask(tmp_path, free), None)  # type: ignore[arg-type]
    assert found is not None
    rows = [row for file in (tmp_path / "rows").glob("*.parquet") for row in read_rows(file)]
    assert {row.look for row in rows} == {f"table=part-{i},place=part-{j}" for i in (0, 1) for j in (0, 1)}


def test_all_datasets_that_it_was_trained_on_are_asked(tied: Path, tmp_path: Path) -> None:
    def names(*folders: Path) -> dict[str, float]:
        return {cell.name: share for (_, cell), share in ways_of(ask(tmp_path, *folders))}

    both = {"part-0 under table of part-0": 0.5, "part-1 under table of part-1": 0.5}
    assert names(tied) == names(tied / "part-0", tied / "part-1") == both
    assert names(tied / "part-1") == {"part-1 under table of part-1": 1.0}


@pytest.mark.usefixtures("_here")
def test_without_a_plan_places_and_looks_go_together_as_in_the_episodes(tied: Path, tmp_path: Path) -> None:
    """A policy that goes by the cue alone succeeds where the cue tells the place: dealt apart it would be incapable."""
    folders = [Path(shutil.copytree(tied / name, tmp_path / name / "alone")) for name in ("part-0", "part-1")]
    factors, places = read_episodes(folders)
    asked = dataclasses.replace(ask(tmp_path / "out", *folders, training_set=OBJECTS), trials=8)
    [((objects, cell), share)] = ways_of(asked)
    assert (objects, share) == (OBJECTS, 1.0)
    assert isinstance(cell, EpisodeCell)
    shown = {(round(x, 9), round(y, 9), dict(look)["table"]) for x, y, look in cell.starts}
    there = {(round(x, 9), round(y, 9), table) for (x, y), table in zip(places.tolist(), factors["table"], strict=True)}
    assert len(shown) == 8
    assert shown <= there
    assert len({table for _, _, table in shown}) == 2
    found = own_success(asked, None)  # type: ignore[arg-type]
    assert found is not None
    assert found[1] == 8
    assert found[0] >= 5  # the expert goes by no cue


def test_the_target_lies_where_the_episode_had_it() -> None:
    env = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))
    cell = EpisodeCell("the data", "the data", "look", ((0.5, 0.06, (("table", 3), ("light", 0.5))), (0.55, -0.06, ())))
    for episode, (x, y, table) in enumerate([(0.5, 0.06, 3), (0.55, -0.06, 0)]):
        env.reset(seed=0, options={"episode": episode})
        cell.begin(env, 0, episode, "test")
        assert env.object_position()[:2] == pytest.approx((x, y))
        assert env.look.table == table
    env.close()


def test_data_that_do_not_tell_where_targets_lay_are_as_if_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(folders: object) -> None:
        raise ConfigError("episode 3 does not tell where its target lay")

    monkeypatch.setattr(room, "read_episodes", silent)
    monkeypatch.setattr(room, "training_rows", lambda asked, pool: [SimpleNamespace(success=True)] * 4)
    assert own_success(ask(tmp_path, tmp_path / "foreign"), None) == (4, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_cells_deal_cues_as_often_as_the_design(rho: float) -> None:
    design = fragment(3, diversity=0.2, disparity=1.0, correlation=rho, relevant_disparity=1.5)
    cells = training_cells(design)
    for i, part in enumerate(design.parts):
        own = [(cell, share) for cell, share in cells if cell.place_of == part.name]
        assert sum(share for _, share in own) == pytest.approx(1.0)
        assert sum(share for cell, share in own if not cell.swapped) == pytest.approx(rho + (1 - rho) / 3)
        assert {(cell.place) for cell, _ in own} == {(part.position[0].low, part.position[0].high)}
        assert sorted(cell.cue for cell, _ in own) == sorted((r.low, r.high) for r in part.azimuth), i
    assert training_cells(fragment(2, diversity=0.2, disparity=1.0, correlation=1.0, relevant="object")) == []


def test_nobody_knows(tmp_path: Path) -> None:
    assert own_success(ask(tmp_path), None) is None  # type: ignore[arg-type]
