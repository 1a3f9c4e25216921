"""ToyGraspVectorEnv: Gymnasium's semantics to the letter, episode numbering, threads, errors, memory and closing."""

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs import EnvConfig, GraspEnv, ToyGraspVectorEnv
from toyshift.envs.render import renderer as rendering
from toyshift.envs.threads import Team, Worker, WorkerError

ID = "toyshift/Grasp-v0"
IDS = sorted(name for name in gym.registry if name.startswith("toyshift/"))
BLIND: dict[str, Any] = {"objects": "toys:train?n=6", "cameras": ()}
SEEING: dict[str, Any] = {"objects": "toys:train?n=6", "cameras": ("front",), "image_size": 32}


@pytest.fixture
def envs() -> Iterator[ToyGraspVectorEnv]:
    made = ToyGraspVectorEnv(3, 3, threads=2, **BLIND)
    yield made
    made.close()


def random_actions(envs: Any, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(envs.action_space.low, envs.action_space.high).astype(np.float32)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert set(a) == set(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize("name", IDS)
def test_every_id_passes_the_checker_without_a_word(name: str) -> None:
    made = gym.make(name, objects="toys:train?n=12", image_size=32, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped)
    made.close()


@pytest.mark.parametrize("name", IDS)
def test_make_vec_gives_it_with_everything_gymnasium_asks_for(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = gym.make_vec(name, num_envs=2, **(BLIND | {"objects": "toys:train?n=12"}))
    assert isinstance(made, ToyGraspVectorEnv)
    assert made.spec is not None
    assert made.spec.id == name
    assert made.max_episode_steps == gym.spec(name).max_episode_steps
    assert made.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert made.metadata["render_fps"] == 10
    observation, infos = made.reset(seed=0)
    assert made.observation_space.contains(observation)
    assert infos["_task"].all()
    assert made.action_space.shape == (2, *made.single_action_space.shape)
    assert made.render() is None
    made.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("options", [BLIND, SEEING], ids=["blind", "seeing"])
def test_every_return_is_that_of_the_sync_vector_env(mode: AutoresetMode, options: dict[str, Any]) -> None:
    """Observations, rewards, ends and infos with their masks, through two time limits."""
    ours = ToyGraspVectorEnv(2, 3, threads=2, autoreset_mode=mode, **options)
    theirs = gym.make_vec(ID, 2, "sync", vector_kwargs={"autoreset_mode": mode}, max_episode_steps=3, **options)
    assert isinstance(theirs, SyncVectorEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata == theirs.metadata
    rng = np.random.default_rng(0)
    assert_same(ours.reset(seed=[4, 7], options={"object": 1}), theirs.reset(seed=[4, 7], options={"object": 1}))
    for step in range(1, 8 if options is BLIND else 5):
        actions = random_actions(ours, rng)
        first, second = ours.step(actions), theirs.step(actions)
        assert_same(first, second)
        ended = first[2] | first[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            masks = [ended, np.array([False, True])] if step == 3 else [ended]
            for mask in masks:
                assert_same(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()}))
    ours.close()
    theirs.close()


def test_one_seed_deals_its_episodes_to_the_environments(envs: ToyGraspVectorEnv) -> None:
    _, infos = envs.reset(seed=11)
    assert infos["seed"].tolist() == [11, 11, 11]
    assert infos["episode"].tolist() == [0, 1, 2]
    assert envs.reset()[1]["episode"].tolist() == [3, 4, 5]
    assert envs.reset(options={"episode": 10})[1]["episode"].tolist() == [10, 11, 12]
    assert envs.reset(options={"episode": [7, 0, 2]})[1]["episode"].tolist() == [7, 0, 2]
    assert envs.reset(seed=5)[1]["episode"].tolist() == [0, 1, 2]
    still = np.zeros((3, 7), np.float32)
    for _ in range(3):
        truncated = envs.step(still)[3]
    assert truncated.all()
    _, rewards, _, truncated, infos = envs.step(still)  # NEXT_STEP: this one only resets
    assert infos["episode"].tolist() == [3, 4, 5]
    assert not rewards.any()
    assert not truncated.any()


def test_a_seed_list_counts_per_environment(envs: ToyGraspVectorEnv) -> None:
    _, infos = envs.reset(seed=[3, 3, 9])
    assert infos["seed"].tolist() == [3, 3, 9]
    assert infos["episode"].tolist() == [0, 0, 0]
    assert envs.reset()[1]["episode"].tolist() == [1, 1, 1]
    assert envs.reset(options={"episode": 6})[1]["episode"].tolist() == [6, 6, 6]
    assert envs.reset(seed=[None, 1, None])[1]["episode"].tolist() == [7, 0, 7]


def test_without_a_seed_runs_differ_and_environments_differ(envs: ToyGraspVectorEnv) -> None:
    observation, infos = envs.reset()
    assert len(set(infos["seed"])) == 1
    assert len({row.tobytes() for row in observation["agent_pos"]}) == 3
    other = ToyGraspVectorEnv(1, **BLIND)
    assert other.reset()[1]["seed"][0] != infos["seed"][0]
    other.close()


def test_objects_can_be_given_per_environment(envs: ToyGraspVectorEnv) -> None:
    _, infos = envs.reset(seed=0, options={"object": [4, 2, 0]})
    assert infos["object_id"].tolist() == [envs.envs[0].objects.ids[i] for i in (4, 2, 0)]
    _, infos = envs.reset(seed=0, options={"object": 3})
    assert len(set(infos["object_id"])) == 1


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        ([1, 2], None, "2 seeds for 3"),
        (0, {"object": [1, 2]}, "object has 2 entries for 3"),
        (0, {"reset_mask": np.array([1, 0, 0])}, "of bool"),
        (0, {"reset_mask": np.zeros(3, bool)}, "names no environment"),
        (0, {"reset_mask": np.array([True, False, False])}, "reset all environments"),
        (0, {"episode": -9}, "environment 0.*episode"),
        (0, {"object": [0, 99, 0]}, r"environment 1.*0\.\.5"),
        (0, {"objct": 1}, "environment 0.*Did you mean 'object'"),
    ],
)
def test_wrong_resets_say_what_is_wrong(envs: ToyGraspVectorEnv, seed: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        envs.reset(seed=seed, options=options)
    with pytest.raises(ConfigError, match="reset"):
        envs.step(np.zeros((3, 7), np.float32))
    assert envs.reset(seed=1)[1]["episode"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs=0"),
        ({"threads": 0}, "threads=0"),
        ({"autoreset_mode": "SameSteps"}, "Did you mean 'SameStep'"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"objcts": "ycb"}, "objects"),
    ],
)
def test_wrong_options_name_the_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        ToyGraspVectorEnv(**(BLIND | options))


def test_bad_actions_are_refused_before_anything_moves(envs: ToyGraspVectorEnv) -> None:
    envs.reset(seed=0)
    before = [state.copy() for state in envs.call("sim_state")]
    for value in (np.nan, np.inf):
        bad = np.zeros((3, 7), np.float32)
        bad[2, 3] = value
        with pytest.raises(ConfigError, match=r"environment 2: action entry 3 \(rx\)"):
            envs.step(bad)
    for wrong in (np.zeros(7), np.zeros((2, 7)), np.zeros((3, 8)), "up", None, [[0.0] * 7, [0.0] * 7, ["a"] * 7]):
        with pytest.raises(ConfigError, match="action"):
            envs.step(wrong)
    for a, b in zip(before, envs.call("sim_state"), strict=True):
        np.testing.assert_array_equal(a, b)
    envs.step(np.full((3, 7), 9.0))  # finite and outside: clipped


def test_a_step_that_only_resets_ignores_its_action() -> None:
    envs = ToyGraspVectorEnv(1, 1, **BLIND)
    envs.reset(seed=0)
    assert envs.step(np.zeros((1, 7), np.float32))[3].all()
    assert envs.step(np.full((1, 7), np.nan, np.float32))[4]["episode"].tolist() == [1]
    envs.close()


def test_stepping_what_is_over_is_refused_when_autoreset_is_disabled() -> None:
    envs = ToyGraspVectorEnv(2, 1, autoreset_mode="Disabled", **BLIND)
    still = np.zeros((2, 7), np.float32)
    envs.reset(seed=0)
    envs.step(still)
    with pytest.raises(ConfigError, match=r"\[0, 1\] are over"):
        envs.step(still)
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ConfigError, match=r"\[1\] are over"):
        envs.step(still)
    envs.close()


def test_a_failure_on_a_thread_names_the_environment_and_reset_begins_anew(envs: ToyGraspVectorEnv) -> None:
    envs.reset(seed=0)

    def broken() -> None:
        raise RuntimeError("the arm fell off")

    envs.envs[1].simulate = broken
    with pytest.raises(WorkerError, match="environment 1: the arm fell off") as caught:
        envs.step(np.zeros((3, 7), np.float32))
    assert isinstance(caught.value.__cause__, RuntimeError)
    del envs.envs[1].simulate
    with pytest.raises(ConfigError, match="reset"):
        envs.step(np.zeros((3, 7), np.float32))
    envs.reset(seed=0)
    envs.step(np.zeros((3, 7), np.float32))


def test_observations_are_kept_apart_unless_asked_otherwise() -> None:
    action = np.tile(np.array([0.05, 0, -0.05, 0, 0, 0, 0], np.float32), (2, 1))
    for copy in (True, False):
        envs = ToyGraspVectorEnv(2, copy=copy, **SEEING)
        first = envs.reset(seed=0)[0]
        kept = first["agent_pos"].copy(), first["pixels"]["front"].copy()
        second = envs.step(action)[0]
        assert np.shares_memory(first["agent_pos"], second["agent_pos"]) is not copy
        assert np.shares_memory(first["pixels"]["front"], second["pixels"]["front"]) is not copy
        assert np.array_equal(first["agent_pos"], kept[0]) is copy
        assert np.array_equal(first["pixels"]["front"], kept[1]) is copy
        second["agent_pos"][:] = 0  # what the caller does with it changes nothing
        assert envs.reset(options={"reset_mask": np.array([True, False])})[0]["agent_pos"][1].any()
        envs.close()


def test_environments_share_no_model_and_no_space() -> None:
    envs = ToyGraspVectorEnv(2, **BLIND)
    envs.reset(seed=0, options={"object": [0, 1]})
    a, b = (env.scene for env in envs.envs)
    assert a.loaded != b.loaded
    assert not np.array_equal(a.model.geom_size, b.model.geom_size)
    envs.close()


def test_calls_go_to_every_environment() -> None:
    envs = ToyGraspVectorEnv(2, render_mode="rgb_array", **SEEING)
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(256, 256, 3)] * 2
    assert not np.array_equal(*frames)
    assert envs.get_attr("task_description") == envs.call("task_description")
    envs.set_attr("note", ["a", "b"])
    assert envs.get_attr("note") == ("a", "b")
    with pytest.raises(ConfigError, match="3 values"):
        envs.set_attr("note", [1, 2, 3])
    with pytest.raises(WorkerError, match="environment 0"):
        envs.call("no_such_thing")
    envs.close()


def open_renderers() -> int:
    gc.collect()
    return sum(renderer._gl is not None for renderer in rendering._open)


def test_thirty_environments_made_and_closed_leave_nothing_behind() -> None:
    """Threads, GL contexts and file descriptors; the first round does not count: libraries keep what they load."""
    counts = []
    for _ in range(10):
        envs = ToyGraspVectorEnv(3, threads=2, **SEEING)
        observation, _ = envs.reset(seed=0)
        assert observation["pixels"]["front"].any()
        before = open_renderers()
        envs.close()
        envs.close()
        with pytest.raises(ConfigError, match="closed"):
            envs.reset()
        assert before - open_renderers() == 3
        counts.append((threading.active_count(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))))
    assert counts[-1] == counts[1], counts


def test_what_is_forgotten_is_closed_on_its_threads() -> None:
    before = open_renderers()
    envs = ToyGraspVectorEnv(2, threads=2, **SEEING)
    envs.reset(seed=0)
    workers = envs._team._workers
    assert open_renderers() == before + 2
    del envs
    gc.collect()
    for worker in workers:
        worker.join(timeout=60)
        assert not worker.is_alive()
    assert open_renderers() == before


def test_dropping_an_environment_does_not_spoil_another_ones_images() -> None:
    """MuJoCo frees textures through the context that is current: it must be the dropped environment's."""
    config = EnvConfig(**SEEING)
    kept, dropped = GraspEnv(config), GraspEnv(config)
    expected = kept.reset(seed=0)[0]["pixels"]["front"]
    dropped.reset(seed=1)
    kept.observe()
    del dropped
    gc.collect()
    np.testing.assert_array_equal(kept.observe()["pixels"]["front"], expected)
    kept.close()


def test_a_renderer_stays_with_its_thread() -> None:
    env = GraspEnv(EnvConfig(**SEEING))
    worker = Worker("stranger")
    worker.submit(env.reset, seed=0).result()
    with pytest.raises(ConfigError, match="belongs to thread 'stranger'"):
        env.observe()
    before = open_renderers()
    env.close()  # a worker is asked to
    assert open_renderers() == before - 1
    worker.stop()
    worker.stop()
    worker.join()
    with pytest.raises(ConfigError, match="stranger was stopped"):
        worker.submit(env.reset)
    env, outcome = GraspEnv(EnvConfig(**SEEING)), []
    thread = threading.Thread(target=lambda: outcome.append(env.reset(seed=0)[0]["agent_pos"]))
    thread.start()
    thread.join()
    with pytest.raises(ConfigError, match="close its environment there"):
        env.close()
    assert outcome[0].shape == (21,)


def test_a_team_deals_by_number_and_reports_the_first_failure() -> None:
    class Thing:
        def close(self) -> None:
            closed.append(threading.current_thread().name)

    closed: list[str] = []
    team = Team([Thing() for _ in range(5)], 2, "thing")
    names = team.each(lambda i: threading.current_thread().name, range(5))
    assert names == [f"thing worker {i % 2}" for i in range(5)]
    with pytest.raises(WorkerError, match="thing 3: division by zero"):
        team.each(lambda i: 1 / (3 - i), [4, 3])
    team.close()
    team.close()
    assert sorted(closed) == sorted(names)


def test_a_relay_alternates_between_the_calling_thread_and_the_workers() -> None:
    class Thing:
        def close(self) -> None: ...

    trace: dict[int, list[str]] = {i: [] for i in range(6)}

    def note(i: int) -> None:
        trace[i].append(threading.current_thread().name)

    def divide(i: int) -> str | None:
        note(i)
        return None if 1 // (i - 4) == -1 else "early"  # fails for 4; passes 0 to 3 on, answers for 5

    def finish(i: int) -> str:
        note(i)
        return f"late {i}"

    team = Team([Thing() for _ in range(6)], 2, "thing")
    here = threading.current_thread().name
    legs = ((note, divide), (note, finish))
    assert team.relay(legs, [3, 0, 5]) == ["late 3", "late 0", "early"]
    assert trace == {
        0: [here, "thing worker 0"] * 2, 1: [], 2: [], 3: [here, "thing worker 1"] * 2, 4: [],
        5: [here, "thing worker 1"],
    }
    with pytest.raises(WorkerError, match=r"thing 4: .*zero"):
        team.relay(legs, range(6))
    assert len(trace[4]) == 2  # goes no further
    assert len(trace[2]) == 4  # the others do
    team.close()


def test_leaving_without_closing_is_silent() -> None:
    """At exit, contexts are freed on their threads, before MuJoCo ends GL."""
    code = (
        "from toyshift.envs import ToyGraspVectorEnv, GraspEnv, EnvConfig\n"
        "envs = ToyGraspVectorEnv(3, threads=2, objects='toys:train?n=6', cameras=('front',), image_size=32)\n"
        "envs.reset(seed=0)\n"
        "env = GraspEnv(EnvConfig(objects='toys:train?n=6', image_size=32))\n"
        "env.reset(seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
