"""What LeRobot's evaluation asks of environments: attributes, calls, final_info under SAME_STEP, and the files of a Hub
repository.
"""

import ast
import importlib.util
import tomllib
import types
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import toyshift.envs  # noqa: F401  registers
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.seeds import object_of_episode
from toyshift.core.world import episode_options
from toyshift.envs import GraspEnv
from toyshift.envs.adapters.envhub import make_env, write_hub_files
from toyshift.scripts.cli import run

ROOT = Path(__file__).parents[3]
PLUGIN, ADAPTER = ROOT / "plugins" / "lerobot_env_toyshift", "toyshift.envs.adapters.lerobot_env"
TOYS = "toys:test?n=5"
SMALL = {"image_size": 32, "cameras": ("front",)}


def only(envs):
    ((name, tasks),) = envs.items()
    assert list(tasks) == [0]
    return name, tasks[0]


def plant_success(env, seconds):
    """Lets every episode of this environment succeed after so many seconds."""
    measure = env._measure

    def planted():
        measure()
        env._judge.success = env.scene.data.time > seconds

    env._measure = planted


@pytest.mark.parametrize("use_async_envs", [False, True])
def test_first_success_of_each_episode_is_in_final_info(use_async_envs):
    """The loop of an evaluation: all wait; the first two are said to succeed after 2 and 3 s, the last one is not."""
    name, env = only(make_env(3, use_async_envs, objects=(TOYS,), max_episode_steps=60, **SMALL))
    assert name == TOYS
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observation, info = env.reset(seed=[1000, 1001, 1002])
    assert info["is_success"].tolist() == [False] * 3
    assert env.call("_max_episode_steps") == (60, 60, 60)
    # LeRobot looks at the outermost wrapper
    assert all(hasattr(env.envs[0], word) for word in ("task", "task_description"))
    assert env.call("task_description") == env.call("task") == tuple(info["task"])
    assert all(isinstance(task, str) and task.startswith("pick up the ") for task in env.call("task"))
    assert observation["pixels"]["front"].shape == (3, 32, 32, 3)
    assert observation["agent_pos"].shape[0] == 3
    assert env.call("render")[0].ndim == 3
    for one, seconds in zip(env.envs[:2], (1.95, 2.95), strict=True):
        plant_success(one.unwrapped, seconds)
    done, success, ends = np.zeros(3, bool), np.zeros(3, bool), np.zeros(3, int)
    before = env.call("task")
    for step in range(60):
        waiting = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
        _, _, terminated, truncated, info = env.step(np.stack([waiting] * 3))
        now = (terminated | truncated) & ~done
        assert ("final_info" in info) == bool((terminated | truncated).any())
        if now.any():
            ends[now] = step
            success[now] = info["final_info"]["is_success"][now]
            np.testing.assert_array_equal(info["final_info"]["is_success"][now], terminated[now])
            assert not info["is_success"][now].any()  # of the next episode
            ended = np.flatnonzero(now)
            assert [info["final_info"]["task"][i] for i in ended] == [before[i] for i in ended]
        done |= now
        if done.all():
            break
    assert ends.tolist() == [19, 29, 59]
    assert success.tolist() == [True, True, False]
    env.close()


def test_threads_play_what_single_environments_play():
    frames = []
    for use_async_envs in (False, True):
        _, env = only(make_env(2, use_async_envs, objects=(TOYS,), max_episode_steps=3, **SMALL))
        env.reset(seed=[7, 8])
        for _ in range(4):  # into the second episodes
            observation, *_ = env.step(np.tile(np.float32([0.01, 0, -0.01, 0, 0, 0, 1]), (2, 1)))
        frames.append((observation["pixels"]["front"], observation["agent_pos"], env.call("task")))
        env.close()
    for one, other in zip(*frames, strict=True):
        np.testing.assert_array_equal(one, other)


def test_registered_environments_answer_by_lerobots_names():
    env = gym.make("toyshift/Grasp-v0", objects=TOYS, cameras=(), max_episode_steps=12)
    _, info = env.reset(seed=0)
    assert env.unwrapped.task == env.unwrapped.task_description == info["task"]
    assert env.get_wrapper_attr("_max_episode_steps") == 12
    env.close()
    for mode in ("vector_entry_point", "sync"):
        vector = gym.make_vec("toyshift/Grasp-v0", 2, mode, objects=TOYS, cameras=())
        _, info = vector.reset(seed=0)
        assert vector.call("_max_episode_steps") == (100, 100)
        assert vector.call("task") == vector.get_attr("task_description") == tuple(info["task"])
        vector.close()


def test_suites_come_from_the_configuration():
    envs = make_env(1, cfg=types.SimpleNamespace(task="toys:test?n=2, toys:train?n=2"), cameras=())
    assert list(envs) == ["toys:test?n=2", "toys:train?n=2"]
    for tasks in envs.values():
        tasks[0].close()
    _, env = only(make_env(1, cfg=types.SimpleNamespace(task=None), env_id="toyshift/GraspState-v0", objects=[TOYS]))
    assert "pixels" not in env.single_observation_space.spaces
    assert "environment_state" in env.single_observation_space.spaces
    env.close()


@pytest.mark.parametrize("wrong", [{"n_envs": 0}, {"objects": ()}, {"objects": (TOYS, TOYS)}])
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match="at least one of each"):
        make_env(**wrong)


def test_unknown_id_names_the_registered_ones(tmp_path):
    for call in (
        lambda: make_env(env_id="toyshift/Grsp-v0"),
        lambda: write_hub_files(tmp_path, env_id="toyshift/Grsp-v0", objects=(TOYS,)),
    ):
        with pytest.raises(UnknownNameError, match="Did you mean 'toyshift/Grasp-v0'"):
            call()


def test_hub_repository(tmp_path, capsys):
    assert run(["envs", "hub", "--out", str(tmp_path), "--objects", TOYS]) == 0
    assert "hf upload" in capsys.readouterr().out
    spec = importlib.util.spec_from_file_location("hub_env_user_repository", tmp_path / "env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name, env = only(module.make_env(n_envs=2, use_async_envs=False))
    assert (name, env.num_envs) == (TOYS, 2)
    env.close()
    readme = (tmp_path / "README.md").read_text()
    assert "toyshift/Grasp-v0" in readme
    assert "OBJECTS" not in readme
    with pytest.raises(ConfigError, match="exists already"):
        write_hub_files(tmp_path, env_id="toyshift/Grasp-v0", objects=(TOYS,))
    with pytest.raises(ValueError, match="unknown object"):
        run(["envs", "hub", "--out", str(tmp_path / "other"), "--objects", "tyos:x"])
    assert not (tmp_path / "other").exists()


def test_with_a_root_seed_lerobots_seeds_are_the_episodes_of_an_evaluation():
    toys = {"objects": (TOYS,), "cameras": ()}
    single = GraspEnv(objects=TOYS, cameras=(), purpose="test")
    ids = [one.id for one in single.objects]
    states = []
    for episode in (7, 2):
        target, _ = object_of_episode(ids, 3, episode)
        observation, info = single.reset(seed=3, options=episode_options(target, episode, "test"))
        assert info["object_id"] == target
        states.append(observation["agent_pos"])
    single.close()
    for threads in (False, True):
        _, env = only(make_env(2, threads, root_seed=3, **toys))
        observation, info = env.reset(seed=[7, 2], options={"lerobot_new_rollout": True})  # as LeRobot 0.6 says it
        np.testing.assert_array_equal(observation["agent_pos"], states)
        assert info["object_id"].tolist() == [object_of_episode(ids, 3, episode)[0] for episode in (7, 2)]
        if threads:
            with pytest.raises(ConfigError, match="give one for each of 2"):
                env.reset(seed=5)
        env.close()


def test_one_environment_needs_no_threads_and_lerobot_makes_videos_of_it():
    _, env = only(make_env(1, True, objects=(TOYS,), cameras=()))
    assert isinstance(env, gym.vector.SyncVectorEnv)
    env.close()


@pytest.mark.skipif(not PLUGIN.is_dir(), reason="the tests run against an installed wheel")
def test_the_plugin_is_called_as_lerobot_looks_for_it():
    """LeRobot imports the module that is called as an installed distribution, underscores and all."""
    name = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["name"]
    assert name.startswith("lerobot_env_")
    assert (PLUGIN / name / "__init__.py").is_file()
    code = ast.parse((PLUGIN / name / "__init__.py").read_text())
    assert [line.module for line in code.body if isinstance(line, ast.ImportFrom)] == [ADAPTER]


@pytest.mark.skipif(not PLUGIN.is_dir(), reason="the tests run against an installed wheel")
def test_nothing_else_imports_what_imports_lerobot():
    rooms = ("core", "envs", "data", "policies", "diagnostics", "scripts")
    files = (path for room in rooms for path in (ROOT / room).rglob("*.py"))
    assert not [path for path in files if "adapters.lerobot_env" in path.read_text(encoding="utf-8")]
