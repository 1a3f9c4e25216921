"""Swapped cues: cells from a plan, episodes that differ in the cue only, planted followers of cue and of target."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.arrays import Float32
from toyshift.core.contract import ObservationContract
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import write_json
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import DIALS, PLAN, VERSION
from toyshift.diagnostics import read_rows, summarise, undertrained
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig, begin_episode, play_row, run_key
from toyshift.diagnostics.swapped import swapped_of, swapped_table
from toyshift.diagnostics.swapped_cells import StripCell, SwapCell, ToldCell, Watch, cells_of, half_of
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts import cli
from toyshift.scripts.evaluate import Config

OBJECTS = "toys:train?n=3"
FAR = {"diversity": 0.25, "disparity": 1.5}  # places 10 cm and more apart


def planned(folder: Path, m: int = 2, **dials: Any) -> Path:
    """Writes the plan of sub-datasets, without their episodes."""
    design = fragment(m, **{"diversity": 0.5, "disparity": 0.8, "correlation": 1.0, **dials})
    parts = json.loads(json.dumps(design.to_json()["parts"]))
    own = {name: getattr(design, name) for name in DIALS}
    write_json(folder / PLAN, {"version": VERSION, **own, "m": m, "parts": parts, "objects": OBJECTS})
    return folder


@pytest.fixture(scope="module")
def env() -> Iterator[GraspEnv]:
    made = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))
    yield made
    made.close()


def test_cues_are_swapped_at_the_outermost_ends_of_their_ranges(tmp_path: Path) -> None:
    # centres at -24 and 24 degrees and at -4 and 4 cm; ranges reach 15 degrees and 2.5 cm to either side
    cells = cells_of(planned(tmp_path))
    assert [(cell.place_of, cell.cue_of, cell.swapped) for cell in cells] == [
        ("part-0", "part-0", False), ("part-0", "part-1", True),
        ("part-1", "part-1", False), ("part-1", "part-0", True),
    ]  # fmt: skip
    assert np.allclose([cell.cue for cell in cells], [(-39, -9), (39, 39), (9, 39), (-39, -39)])
    low, high = (-0.065, -0.015), (0.015, 0.065)
    assert np.allclose([cell.place for cell in cells], [low, low, high, high])
    assert np.allclose([cell.implied for cell in cells], [high, high, low, low])


def test_cues_that_are_choices(tmp_path: Path) -> None:
    # six tables: disparity 1 puts the centres at 1.5 and 4.5, diversity 0.5 reaches 0.75 to either side
    cells = cells_of(planned(tmp_path, factor="table", disparity=1.0))
    assert [cell.cue for cell in cells] == [(0, 2), (5, 5), (3, 5), (0, 0)]
    assert all(cell.whole for cell in cells)


def test_of_many_the_outermost_two_are_swapped(tmp_path: Path) -> None:
    cells = cells_of(planned(tmp_path, m=4, correlation=0.5))
    assert {cell.place_of for cell in cells} == {"part-0", "part-3"}
    assert np.allclose([cell.cue for cell in cells], [(-39, -9), (39, 39), (9, 39), (-39, -39)])


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        ({"correlation": 0.0}, "correlation is 0"),
        ({"relevant": "object"}, "relevant factor is 'object'"),
        ({"factor": "robot", "diversity": 0.0}, "its cue is the robot"),
        ({"disparity": 0.0}, "azimuth .* occurs in part-0 too"),
        ({"factor": "table", "diversity": 1.6, "disparity": 0.2}, "table 5 of part-1 occurs in part-0 too"),
        ({"relevant_diversity": 0.0, "relevant_disparity": 0.2}, "at most 2 cm .* within reach"),
    ],
)
def test_designs_without_a_cue_to_swap_are_refused(tmp_path: Path, dials: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        cells_of(planned(tmp_path, **dials))


def test_folders_without_a_plan_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no folder"):
        cells_of(tmp_path / "none")
    with pytest.raises(ConfigError, match=f"has no {PLAN}"):
        cells_of(tmp_path)
    part = planned(tmp_path) / "part-0"
    part.mkdir()
    with pytest.raises(ConfigError, match=r"one sub-dataset; .* give "):
        cells_of(part)


def test_only_the_cue_differs_between_a_cell_and_its_control(tmp_path: Path, env: GraspEnv) -> None:
    cells = cells_of(planned(tmp_path))
    for control, swapped in (cells[:2], cells[2:]):
        seen = []
        for cell in (control, swapped):
            begin_episode(env, EvaluateConfig("random", OBJECTS, cell=cell), env.objects.ids[0], 5)
            assert cell.cue[0] <= env.look.azimuth <= cell.cue[1]
            assert cell.place[0] <= env.object_position()[1] <= cell.place[1]
            seen.append(env.sim_state())
        assert np.array_equal(*seen)
    begin_episode(env, EvaluateConfig("random", OBJECTS, cell=cells[0]), env.objects.ids[0], 6)
    assert not np.array_equal(env.sim_state(), seen[0])


def test_every_value_of_a_choice_is_shown(tmp_path: Path, env: GraspEnv) -> None:
    control = cells_of(planned(tmp_path, factor="table", disparity=1.0))[0]
    shown = set()
    for episode in range(20):
        begin_episode(env, EvaluateConfig("random", OBJECTS, cell=control), env.objects.ids[0], episode)
        shown.add(env.look.table)
    assert shown == {0, 1, 2}


class Goer:
    """Goes to the middle of the places that the sign of the azimuth tells of, or to the target, and stays."""

    pooling = ""

    def __init__(self, follows_cue: bool) -> None:
        self.name, self.follows_cue = "cue" if follows_cue else "target", follows_cue
        self.ious: list[float] = []

    def reset(self, env: Any, seed: int, episode: int) -> None:
        self.goal = env.object_position()
        if self.follows_cue:
            x, y = env.config.centre
            self.goal = np.array([x, y + np.sign(env.look.azimuth) * 0.075, self.goal[2]])
        self.goal += [0.0, 0.0, 0.03]

    def actions(self, env: Any) -> Float32:
        return env.action_for(self.goal - env.commanded_pose()[0], np.zeros(3), 1.0)[None]  # type: ignore[no-any-return]


def test_planted_followers_are_told_apart(tmp_path: Path, env: GraspEnv) -> None:
    cells, ids = cells_of(planned(tmp_path, **FAR)), tuple(env.objects.ids)
    found = {}
    for actor in (Goer(follows_cue=True), Goer(follows_cue=False)):
        config = {cell: EvaluateConfig("random", OBJECTS, trials=3, max_steps=25, cell=cell) for cell in cells}
        rows = [(cell, [play_row(config[cell], ids, (actor, env), i) for i in range(3)]) for cell in cells]
        found[actor.name] = swapped_of(rows)
        assert {row.look for _, some in rows for row in some} == {cell.label for cell in cells}
    cue, target = found["cue"], found["target"]
    assert (cue.degree.dsl.value, cue.degree.conditional.value, cue.by_chance.dsl.value) == (1.0, 1.0, 0.0)
    assert cue.excess is not None
    assert (cue.excess.difference.value, cue.excess.p_value) == (1.0, 0.03125)  # McNemar's of 6 to 0
    assert target.degree.counts == {"cue": 0, "instructed": 6, "neither": 0, "undefined": 0}
    assert target.by_chance.counts == target.degree.counts
    assert "incapable: 0 % success" in swapped_table([cue])  # it goes there, and grasps nothing


def made(row: Any, cell: SwapCell, approached: str, success: bool) -> list[Any]:
    return [row(i, success=success, object_id=f"o{i}", approached=approached) for i in range(20)]


def test_verdicts_and_rates_of_made_rows(tmp_path: Path, row: Any) -> None:
    cells = cells_of(planned(tmp_path))
    shortcut = swapped_of([(c, made(row, c, "cue" if c.swapped else "instructed", not c.swapped)) for c in cells])
    assert shortcut.verdict.startswith("shortcut on azimuth")
    assert (shortcut.id_success.value, shortcut.ood_success.value) == (1.0, 0.0)
    assert shortcut.degree.dsl.low > 0.7
    assert set(shortcut.cells) == {"part-0 under azimuth of part-1", "part-1 under azimuth of part-0"}
    wanders = swapped_of([(c, made(row, c, "cue", True)) for c in cells])  # with its own cue as well
    assert (wanders.degree.dsl.value, wanders.verdict) == (1.0, "no shortcut on azimuth was shown")
    blind = swapped_of([(c, made(row, c, "undefined", True)) for c in cells])
    assert blind.excess is None
    assert "unknown" in blind.verdict
    assert "undefined" in swapped_table([blind])
    assert json.loads(json.dumps(blind.to_json()))["degree"]["dsl"]["value"] is None
    with pytest.raises(ConfigError, match="and their controls"):
        swapped_of([(cells[1], made(row, cells[1], "cue", True))])


def test_an_unstable_simulation_is_undefined(tmp_path: Path, env: GraspEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cells_of(planned(tmp_path, **FAR))[1]
    monkeypatch.setattr("toyshift.envs.tasks.grasp.UNSTABLE_SPEED", 0.0)
    config = EvaluateConfig("random", OBJECTS, max_steps=3, cell=cell)
    played = play_row(config, tuple(env.objects.ids), (Goer(follows_cue=True), env), 0)
    assert (played.failure, played.approached) == ("unstable", "undefined")


def test_cells_are_part_of_what_a_run_is(tmp_path: Path) -> None:
    cells = cells_of(planned(tmp_path))
    keys = {run_key(EvaluateConfig("random", OBJECTS, cell=cell), "") for cell in (None, *cells)}
    assert len(keys) == 5


def test_a_policy_that_cannot_see_the_cue_is_refused(tmp_path: Path, env: GraspEnv) -> None:
    cell = cells_of(planned(tmp_path))[0]
    with pytest.raises(ConfigError, match="it sees no images"):
        cell.require_seen(env)

    class Wrist:
        observation_contract = ObservationContract((("wrist", (8, 8)),), ("height",))

    with pytest.raises(ConfigError, match="its cameras are wrist; it needs the front camera"):
        cell.require_seen(Wrist())  # type: ignore[arg-type]
    cells_of(planned(tmp_path, factor="light"))[0].require_seen(Wrist())  # type: ignore[arg-type]


def test_foreign_environments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ToyShift's own environment"):
        EvaluateConfig("random", OBJECTS, env=EnvSpec(make_env=print), cell=cells_of(planned(tmp_path))[0])  # type: ignore[arg-type]


def test_the_command_plays_all_cells_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--policy", "random", "--no-references", "--swapped", str(planned(tmp_path / "fragments"))]
    words += ["--max-steps", "2", "--workers", "1", "--out", str(tmp_path / "out"), "--json", "--trials"]
    assert cli.main([*words, "2"]) == 0
    told = capsys.readouterr()
    assert "DSL_cond" in told.err
    [found] = json.loads(told.out)["swapped"]
    assert sum(found["degree"]["counts"].values()) == 4
    rows = read_rows(tmp_path / "out" / "rows.parquet")
    assert [row.object_set for row in rows] == [OBJECTS] * 8  # the plan's
    assert {row.look for row in rows} == {f"azimuth=part-{i},place=part-{j}" for i in (0, 1) for j in (0, 1)}
    named = [dataclasses.replace(row, policy="trained") for row in rows]  # which never succeeds
    assert undertrained(summarise(named), {"trained": OBJECTS}) == []  # these rows say nothing of the plain look
    assert {row.approached for row in rows} <= {"neither", "undefined"}  # two steps lead nowhere
    assert cli.main([*words, "3"]) == 0
    again = [row for row in read_rows(tmp_path / "out" / "rows.parquet") if row.episode < 2]
    assert [row.wall_s for row in again] == [row.wall_s for row in rows]  # they were not played again


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"shift": ("table-texture=1",)}, "leave out --shift"),
        ({"task": "pick"}, "leave out --task"),
        ({"clutter": "2"}, "leave out --clutter"),
        ({"objects": ("a", "b")}, "leave out several --objects"),
        ({"objects": ("a",), "training_set": "a"}, "leave out --training-set"),
        ({"policy": ("a", "b"), "until": "decided"}, "leave out --until"),
        ({"reach": 0.0}, "--reach must be from"),
        ({"swapped": None, "reach": 0.05}, "give --swapped as well"),
    ],
)
def test_options_that_do_not_go_with_swapped_cues(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Config(**{"policy": ("random",), "swapped": Path("fragments"), **options})


def test_a_strip_is_told_from_every_strip_of_the_other(env: GraspEnv) -> None:
    strips = ((-0.1, -0.09), (0.09, 0.1))
    where: Any = {"place_of": "strip-1", "cue_of": "strip-0", "factor": "azimuth"}
    where |= {"place": (0.03, 0.03), "cue": (40.0, 40.0)}
    cell = StripCell(**where, implied=strips[0], beside=strips[1:])
    begin_episode(env, EvaluateConfig("random", OBJECTS, cell=cell), env.objects.ids[0], 0)
    assert env.look.azimuth == 40.0
    assert env.object_position()[1] == pytest.approx(0.03)
    boxes = cell.implied_boxes(env)
    assert boxes[:, :, 1].tolist() == [list(span) for span in strips]
    assert np.all(boxes[:, :, 2] == env.object_position()[2])
    one = SwapCell(**where, implied=strips[0])
    keys = {run_key(EvaluateConfig("random", OBJECTS, cell=c), "") for c in (cell, one)}
    assert len(keys) == 2


PICKED = "toys:train?n=6"


@pytest.fixture(scope="module")
def pick() -> Iterator[GraspEnv]:
    env = GraspEnv(objects=PICKED, task="pick", clutter=1, image_size=32)
    yield env
    env.close()


def test_what_is_asked_for_decides_whose_cue_is_the_other_ones(pick: GraspEnv) -> None:
    spans = (-40.0, -20.0), (20.0, 40.0)
    control, swapped = (ToldCell("asked", cue, "azimuth", spans) for cue in ("asked", "other"))
    assert (control.swapped, swapped.swapped) == (False, True)
    assert swapped.label == "azimuth=other,place=asked"
    ids, met = pick.objects.ids, set()
    assert [half_of(i, ids) for i in ids] == [0, 0, 0, 1, 1, 1]
    for episode, object_id in enumerate((*ids, *ids)):
        own, states = half_of(object_id, ids), []
        for cell in (control, swapped):
            begin_episode(pick, EvaluateConfig("random", PICKED, cell=cell), object_id, episode)
            states.append(pick.sim_state())
            if cell.swapped:  # the end of the other's range that lies away from its own
                assert pick.look.azimuth == (40.0, -40.0)[own]
            else:
                assert spans[own][0] <= pick.look.azimuth <= spans[own][1]
        assert np.array_equal(*states)
        other = half_of(pick.other_ids[0], ids) != own
        assert len(swapped.implied_boxes(pick)) == other  # another of its own half is nothing that the cue points to
        if other:
            body = pick.scene.beside[0].body
            np.testing.assert_allclose(swapped.implied_boxes(pick)[0, 0], pick.scene.data.xipos[body], atol=1e-6)
        else:
            assert Watch(swapped, pick).approached() == "undefined"
        met.add(other)
    assert met == {True, False}
