"""The protocol with a small fake world: same states for all policies, resume, worker processes, outcomes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ContractError, FileError, GraspError, MissingDependencyError, UnknownNameError
from toyshift.core.failures import BY_HEIGHTS
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Pool, worker_pool
from toyshift.diagnostics import evaluation
from toyshift.diagnostics.actors import (
    EnvSpec,
    FolderActor,
    RandomActor,
    look_of_episode,
    make_grasp_env,
    make_look,
    policy_fingerprint,
)
from toyshift.diagnostics.evaluation import (
    EvaluateConfig,
    evaluate,
    evaluate_all,
    opening_on,
    reset_options,
    run_episode,
    run_key,
    served,
)
from toyshift.diagnostics.rows import read_rows, read_rows_manifest, write_rows
from toyshift.envs.shifts import Shifts
from toyshift.toys import load_objects

FAKE = '''
import numpy as np
from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.seeds import episode_rng, object_of_episode
from toyshift.envs import Look

CONTRACT = ActionContract("eef_delta", ("dx", "grip"), ("m", "1"), (-0.05, 0.0), (0.05, 1.0), 20.0, ("j1",))

class Env:
    """Height rises by the first action where it points up; the start is drawn from (seed, episode)."""
    action_contract = CONTRACT
    observation_contract = ObservationContract((("front", (8, 8)),), ("height",))
    task_description, lift_height = "", 0.3

    def __init__(self, objects, gain=1.0):
        self.gain, self.rendered, self.look = gain, 0, Look()

    def reset(self, seed, options):
        self.height = self.start = float(episode_rng(seed, options["episode"]).uniform(0.0, 0.2))
        self.object_id = options["object"]

    def set_look(self, look):
        self.look = look

    def observe(self):
        self.rendered += 1
        return {"agent_pos": np.array([self.height], dtype=np.float32)}

    def advance(self, action):
        self.height += self.gain * float(action[0])
        done = self.height > 0.3
        success, touched = done and self.look.table == 0, self.height > self.start
        return 0.0, done, {"lift_height": self.height, "is_success": success, "touched": touched}

    def close(self):
        pass
'''


@pytest.fixture
def fake(tmp_path, monkeypatch) -> types.ModuleType:
    (tmp_path / "fakeworld.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("fakeworld", None)
    import importlib

    return importlib.import_module("fakeworld")


THREE = "toys:train?n=3"  # objects


class Lifter:
    """Goes up at a fixed speed in chunks of four, of which three are executed."""

    name, needs_masks, execute, pooling = "lifter", False, 3, "detpool"
    observation_contract = ObservationContract((("front", (8, 8)),), ("height",))

    def __init__(self, contract: ActionContract, speed: float = 0.02) -> None:
        self.action_contract, self.speed, self.calls = contract, speed, 0

    def reset(self) -> None:
        self.calls = 0

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        self.calls += 1
        return np.tile(np.array([self.speed, 0.0], dtype=np.float32), (4, 1))


def without_time(rows):
    return [dataclasses.replace(r, wall_s=0.0) for r in rows]


def test_objects_take_even_turns_in_a_seeded_order():
    ids = tuple("abcdefg")
    turns = [object_of_episode(ids, 3, i) for i in range(21)]
    assert set(collections.Counter(o for o, _ in turns).values()) == {3}
    assert [t for _, t in turns] == [0] * 7 + [1] * 7 + [2] * 7
    assert turns[10] == object_of_episode(ids, 3, 10)
    assert [o for o, _ in turns] != [object_of_episode(ids, 4, i)[0] for i in range(21)]


def test_an_episode_renders_only_for_new_chunks(fake):
    env, config = fake.Env("x"), EvaluateConfig("lifter", "x", env=EnvSpec(make_env=fake.Env))
    lifter = Lifter(fake.CONTRACT)
    outcome = run_episode(FolderActor(lifter), env, config, "a", 0)
    assert outcome["success"]
    assert outcome["failure"] == ""
    assert outcome["steps"] == int(np.ceil((0.3 - env.start) / 0.02))
    assert env.rendered == lifter.calls == int(np.ceil(outcome["steps"] / 3))


def test_outcomes_of_failures(fake):
    env, config = fake.Env("x"), EvaluateConfig("lifter", "x", max_steps=5, env=EnvSpec(make_env=fake.Env))
    slow = run_episode(FolderActor(Lifter(fake.CONTRACT, 1e-4)), env, config, "a", 1)
    assert (slow["success"], slow["steps"], slow["failure"]) == (False, 5, "timeout")

    class NoPlan(RandomActor):
        def actions(self, env):
            raise GraspError("too wide")

    assert run_episode(NoPlan(), env, config, "a", 1)["failure"] == "no_plan"
    class Swapped(fake.Env):
        def advance(self, action):
            reward, done, info = super().advance(action)
            return reward, done, info | {"lifted_object": "b"}

    swapped = run_episode(FolderActor(Lifter(fake.CONTRACT, 1e-4)), Swapped("x"), config, "a", 1)
    assert swapped["failure"] == "wrong_object"
    class Soft(fake.Env):
        """A grasp that sinks in at first: it fails the episode wherever that ends otherwise, however it goes on."""

        succeeds, steps = False, 0

        def advance(self, action):
            reward, done, info = super().advance(action)
            self.steps += 1
            sunk = {"predicates": {"not_penetrated": self.steps > 1}, "penetration": 0.006}
            return reward, done, info | sunk | {"is_success": self.succeeds}

    soft = Soft("x")
    sank = run_episode(FolderActor(Lifter(fake.CONTRACT, 1e-4)), soft, config, "a", 1)
    assert (sank["failure"], sank["penetration"]) == ("penetrated", 0.006)
    soft.succeeds = True
    assert run_episode(FolderActor(Lifter(fake.CONTRACT, 1e-4)), soft, config, "a", 1)["failure"] == ""
    changed = dataclasses.replace(config, max_steps=100, look={"table": 1})
    assert run_episode(FolderActor(Lifter(fake.CONTRACT)), env, changed, "a", 0)["failure"] == "not_held"


def test_a_shift_reaches_the_environment_and_the_rows_and_keeps_the_initial_states(tmp_path):
    env = EnvSpec({"cameras": (), "settled_start": 0.1})
    plain = EvaluateConfig("random", "toys:train?n=3", trials=3, max_steps=2, env=env)
    shifted = dataclasses.replace(plain, shift="object-size=5")
    rows = evaluate(shifted, tmp_path / "shifted.parquet", workers=0, progress=False)
    before = evaluate(plain, tmp_path / "plain.parquet", workers=0, progress=False)
    assert {r.shift for r in rows} == {"object-size=5"}
    assert {r.shift for r in before} == {""}
    assert [(r.object_id, r.episode) for r in rows] == [(r.object_id, r.episode) for r in before]
    assert run_key(shifted, "f") != run_key(plain, "f")
    world = env.open("toys:train?n=3")
    states = []
    for config in (plain, shifted):
        run_episode(RandomActor(), world, dataclasses.replace(config, max_steps=1), rows[0].object_id, 0)
        assert world.shifts == Shifts.parse(config.shift)
        world.reset(seed=config.seed, options=reset_options(config, rows[0].object_id, 0))
        states.append((world.object_position()[:2], world.commanded_joints()))
    world.close()
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_episodes_of_before_there_were_events_are_played_again(tmp_path):
    """Successes as well: played again, failures alone would only ever gain."""
    env = EnvSpec({"cameras": ()})
    config = EvaluateConfig("random", "toys:train?n=3", trials=3, max_steps=2, env=env)
    new = evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    assert [row.failure for row in new] == ["never_reached"] * 3
    succeeded = dataclasses.replace(new[2], success=True, failure="")
    old = [dataclasses.replace(row, failure="no_contact", wall_s=-1.0) for row in new[:2]] + [succeeded]
    write_rows(tmp_path / "rows.parquet", old, read_rows_manifest(tmp_path / "rows.parquet"))
    again = evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    assert without_time(again) == without_time(new)  # a success of before counts no more than a failure
    assert all(row.wall_s > 0 for row in again)
    assert evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False) == again
    assert read_rows(tmp_path / "rows.parquet") == again


def test_a_world_without_events_is_judged_by_heights_and_keeps_its_rows(fake, tmp_path):
    config = EvaluateConfig("random", THREE, trials=6, seed=5, max_steps=2, env=EnvSpec(make_env=fake.Env))
    first = evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    assert {row.failure for row in first} & set(BY_HEIGHTS)
    assert {row.events for row in first} == {""}
    assert evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False) == first  # seconds and all


def test_looks_take_turns_over_episodes(fake, tmp_path):
    looks = [look_of_episode({"table": (1, 2), "light": 0.5}, i) for i in (0, 1, 2)]
    assert looks == [{"table": t, "light": 0.5} for t in (1, 2, 1)]
    config = EvaluateConfig("random", THREE, trials=30, seed=5, look={"table": (0, 1)}, env=EnvSpec(make_env=fake.Env))
    rows = evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    assert {r.look for r in rows} == {"table=0|1"}
    assert any(r.success for r in rows)
    assert not any(r.success for r in rows if r.episode % 2)  # the fake world never succeeds on table 1


def test_the_key_of_a_run_says_nothing_of_where_code_lies_and_leaves_defaults_out(fake):
    plain = EvaluateConfig("random", THREE)
    assert EnvSpec().to_json() == {}
    same = dataclasses.replace(plain, env=EnvSpec(make_env=make_grasp_env), trials=7)
    assert run_key(plain, "f") == run_key(same, "f")
    others = (EnvSpec(make_env=fake.Env), EnvSpec({"gain": 2.0}), EnvSpec(masks="noisy:0.5"))
    changed = [dataclasses.replace(plain, env=env) for env in others]
    changes = {"seed": 1, "max_steps": 9, "look": {"table": 1}, "shift": "camera-azimuth=1"}
    changed += [dataclasses.replace(plain, **{k: v}) for k, v in changes.items()]
    keys = {run_key(config, "f") for config in (plain, *changed)}
    assert len(keys) == 1 + len(changed)


def test_unknown_looks_are_named():
    with pytest.raises(UnknownNameError, match=r"'tabel'.*table"):
        make_look({"tabel": 1})


def test_random_actions_fill_the_box_and_depend_on_the_episode_only(fake):
    env, actor = fake.Env("x"), RandomActor()
    actor.reset(env, 1, 2)
    first = np.concatenate([actor.actions(env) for _ in range(200)])
    actor.reset(env, 1, 2)
    assert np.array_equal(first[:1], actor.actions(env))
    assert first[:, 0].min() < -0.045
    assert first[:, 1].max() > 0.95
    actor.reset(env, 1, 3)
    assert not np.array_equal(first[:1], actor.actions(env))


def test_a_killed_run_goes_on_and_equals_an_uninterrupted_one(fake, tmp_path, monkeypatch):
    config = EvaluateConfig("random", THREE, trials=50, seed=5, max_steps=30, env=EnvSpec(make_env=fake.Env))
    whole = evaluate(config, tmp_path / "whole.parquet", workers=0, progress=False)
    assert [r.episode for r in whole] == list(range(50))
    assert 0 < sum(r.success for r in whole) < 50

    played = []
    original = evaluation.play_row

    def dying(config, ids, opened, episode):
        if len(played) == 33:
            raise KeyboardInterrupt
        played.append(episode)
        return original(config, ids, opened, episode)

    monkeypatch.setattr(evaluation, "play_row", dying)
    out = tmp_path / "killed.parquet"
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, out, workers=0, progress=False)
    assert not out.exists()
    # As after kill -9: the last, unflushed rows are gone.
    parts = sorted((tmp_path / "killed.parquet.parts").rglob("*.parquet"))
    parts[-1].unlink()
    played.clear()
    played_before = len(read_rows(parts[0]))
    monkeypatch.setattr(evaluation, "play_row", lambda *a: (played.append(a[-1]), original(*a))[1])
    assert without_time(evaluate(config, out, workers=0, progress=False)) == without_time(whole)
    assert len(played) == 50 - played_before
    assert not (tmp_path / "killed.parquet.parts").exists()
    assert read_rows_manifest(out)["config"]["trials"] == 50

    played.clear()
    assert evaluate(config, out, workers=0, progress=False) == read_rows(out)
    assert played == []  # a finished run plays nothing
    longer = evaluate(dataclasses.replace(config, trials=60), out, workers=0, progress=False)
    assert played == list(range(50, 60))  # more trials play only the new ones
    assert [dataclasses.replace(r, trials=50) for r in without_time(longer[:50])] == without_time(whole)
    played.clear()
    evaluate(dataclasses.replace(config, seed=6), out, workers=0, progress=False)
    assert len(played) == 50  # another seed shares nothing


def test_fewer_trials_return_fewer_rows_and_delete_none(fake, tmp_path, monkeypatch):
    config = EvaluateConfig("random", THREE, trials=30, max_steps=30, env=EnvSpec(make_env=fake.Env))
    out = tmp_path / "rows.parquet"
    whole = evaluate(config, out, workers=0, progress=False)
    before, played = out.read_bytes(), []
    original = evaluation.play_row
    monkeypatch.setattr(evaluation, "play_row", lambda *a: (played.append(a[-1]), original(*a))[1])
    fewer = evaluate(dataclasses.replace(config, trials=12), out, workers=0, progress=False)
    assert fewer == [dataclasses.replace(row, trials=12) for row in whole[:12]]
    assert out.read_bytes() == before
    assert without_time(evaluate(config, out, workers=0, progress=False)) == without_time(whole)
    assert played == []

    parts = tmp_path / "killed.parquet.parts" / evaluation.run_key(config, load_objects(THREE).fingerprint)
    write_rows(parts / "0000000.parquet", whole, {})
    evaluate(dataclasses.replace(config, trials=12), tmp_path / "killed.parquet", workers=0, progress=False)
    again = evaluate(config, tmp_path / "killed.parquet", workers=0, progress=False)
    assert (again, played) == (whole, [])  # what a killed run had played beyond them is there, too
    assert not (tmp_path / "killed.parquet.parts").exists()


def test_damaged_parts_are_named_and_played_again(fake, tmp_path):
    config = EvaluateConfig("random", THREE, trials=4, env=EnvSpec(make_env=fake.Env))
    key = evaluation.run_key(config, load_objects(THREE).fingerprint)
    part = tmp_path / "rows.parquet.parts" / key / "0000000.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PAR1 half a file")
    with pytest.warns(UserWarning, match=r"0000000\.parquet.*played again"):
        assert len(evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)) == 4


def test_worker_processes_give_the_same_rows(fake, tmp_path):
    config = EvaluateConfig("random", THREE, trials=6, seed=1, max_steps=20, env=EnvSpec(make_env=fake.Env))
    alone = evaluate(config, tmp_path / "a.parquet", workers=0, progress=False)
    with worker_pool(2) as pool:
        together = evaluate(config, tmp_path / "b.parquet", progress=False, pool=pool)
        changed = dataclasses.replace(config, look={"table": 1})
        other = evaluate(changed, tmp_path / "c.parquet", progress=False, pool=pool)
    assert without_time(alone) == without_time(together)
    assert not any(r.success for r in other)


def test_two_ray_workers_give_the_same_rows(tmp_path):
    pytest.importorskip("ray")
    plain = EvaluateConfig("random", THREE, trials=3, max_steps=4)
    configs = [dataclasses.replace(plain, shift=shift) for shift in ("", "object-size=5")]
    alone = evaluate_all([(c, tmp_path / f"a{c.shift}.parquet") for c in configs], workers=0, progress=False)
    asked = [(c, tmp_path / f"b{c.shift}.parquet") for c in configs]
    begun = [(dataclasses.replace(c, trials=1), path) for c, path in asked]
    first = evaluate_all(begun, workers=0, progress=False)
    together = evaluate_all(asked, workers=2, progress=False, ray="local")
    assert [without_time(rows) for rows in together] == [without_time(rows) for rows in alone]
    assert [rows[0].wall_s for rows in together] == [rows[0].wall_s for rows in first]  # was not played again


def test_a_cluster_is_asked_for_only_where_something_is_missing(fake, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    config = EvaluateConfig("random", THREE, trials=3, env=EnvSpec(make_env=fake.Env))
    out = tmp_path / "rows.parquet"
    with pytest.raises(MissingDependencyError, match=r'pip install "toyshift\[ray\]"'):
        evaluate(config, out, progress=False, ray="local")
    rows = evaluate(config, out, workers=0, progress=False)
    assert evaluate(config, out, progress=False, ray="local") == rows


@pytest.mark.parametrize("changed", ["policy", "objects"])
def test_another_policy_or_object_set_on_a_node_is_refused(policy_folder, tmp_path, changed, monkeypatch):
    folder, objects = policy_folder(tmp_path / "policy", b"1"), load_objects(THREE)
    elsewhere = Pool(lambda *work: None, 1, (), elsewhere=True)
    config = EvaluateConfig(str(folder), THREE)
    opening = opening_on(elsewhere, [config], contextlib.nullcontext)
    with opening():
        pass
    if changed == "policy":
        policy_folder(folder, b"other weights")
    else:
        other = load_objects("toys:train?n=2")
        monkeypatch.setattr("toyshift.toys.load_objects", {THREE: other}.__getitem__)
        assert other.fingerprint != objects.fingerprint
    with pytest.raises(FileError, match=r"is another one on .* all nodes of a cluster"), opening():
        pass


def test_workers_are_told_where_a_policy_is_whatever_folder_they_work_in(policy_folder, tmp_path, monkeypatch):
    policy_folder(tmp_path / "policy")
    monkeypatch.chdir(tmp_path)
    with served(EvaluateConfig("policy", THREE)) as playing:
        assert playing.policy == str(tmp_path / "policy")
    for known in ("oracle", "ws://localhost:1"):
        with served(EvaluateConfig(known, THREE)) as playing:
            assert playing.policy == known


def test_errors_in_workers_arrive_and_keep_what_is_done(fake, tmp_path):
    config = EvaluateConfig("random", THREE, trials=3, look={"colour": 1}, env=EnvSpec(make_env=fake.Env))
    with pytest.raises(UnknownNameError, match="colour"):
        evaluate(config, tmp_path / "rows.parquet", workers=1, progress=False)


def test_contracts_that_differ_are_refused(fake):
    other = dataclasses.replace(fake.CONTRACT, control_hz=10.0)
    with pytest.raises(ContractError, match="control_hz"):
        FolderActor(Lifter(other)).check(fake.Env("x"))


def test_unknown_policy_is_named(policy_folder, tmp_path: Path):
    with pytest.raises(FileError, match="nowhere"):
        policy_fingerprint("nowhere")
    with pytest.raises(FileError, match="did you mean 'oracle'"):
        policy_fingerprint("oracel")
    with pytest.raises(FileError, match="no policy folder"):
        policy_fingerprint(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileError, match=r"holds no state\.json"):
        policy_fingerprint(str(tmp_path))
    found = {policy_fingerprint(str(policy_folder(tmp_path, weights))) for weights in (b"1", b"2")}
    assert len(found) == 2


def test_shifts_played_start_by_start_give_the_rows_that_each_gives_alone(tmp_path, monkeypatch):
    kwargs = {"task": "pick", "cameras": ("front",), "image_size": 32}
    plain = EvaluateConfig("random", "toys:train?n=6", trials=3, max_steps=4, env=EnvSpec(kwargs))
    shifts = ("", "camera-azimuth=3", "object-size=5", "distractors=2", "object-texture=3")
    configs = [dataclasses.replace(plain, shift=shift) for shift in shifts]
    alone = [evaluate(one, tmp_path / f"{i}.parquet", workers=0, progress=False) for i, one in enumerate(configs)]

    played, opened = [], []
    play_row, open_actor = evaluation.play_row, evaluation.open_actor
    monkeypatch.setattr(
        evaluation, "play_row", lambda c, i, o, e: (played.append((e, shifts.index(c.shift))), play_row(c, i, o, e))[1]
    )
    monkeypatch.setattr(evaluation, "open_actor", lambda *a: (opened.append(a), open_actor(*a))[1])
    asked = [(one, tmp_path / f"all{i}.parquet") for i, one in enumerate(configs)]
    together = evaluate_all(asked, workers=0, progress=False)
    assert [without_time(rows) for rows in together] == [without_time(rows) for rows in alone]
    assert len({row.max_height for rows in together for row in rows}) > 3  # they are not all alike
    assert played == sorted(played)
    assert (len(played), len(opened)) == (15, 1)
    for (_, path), rows in zip(asked, together, strict=True):
        assert read_rows(path) == rows

    played.clear()
    longer = [(dataclasses.replace(one, trials=4), path) for one, path in asked]
    assert [len(rows) for rows in evaluate_all(longer, workers=0, progress=False)] == [4] * len(asked)
    assert played == [(3, i) for i in range(len(asked))]  # what is there is not played again


def test_evaluations_that_share_nothing_open_their_own_in_one_pool(fake, tmp_path):
    worlds = [EnvSpec({"gain": gain}, make_env=fake.Env) for gain in (1.0, 2.0, 1.0)]
    configs = [EvaluateConfig("random", THREE, trials=5, max_steps=20, env=env) for env in worlds]
    alone = [evaluate(one, tmp_path / f"{i}.parquet", workers=0, progress=False) for i, one in enumerate(configs)]
    asked = [(one, tmp_path / f"all{i}.parquet") for i, one in enumerate(configs)]
    together = evaluate_all(asked, workers=2, progress=False)
    assert [without_time(rows) for rows in together] == [without_time(rows) for rows in alone]
    assert without_time(together[0]) != without_time(together[1])
