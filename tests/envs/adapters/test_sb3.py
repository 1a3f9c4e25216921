"""Stable-Baselines3: its checker on every id, the VecEnv beside its own DummyVecEnv, and PPO on top."""

import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.envs import ToyGraspVectorEnv, sb3

pytest.importorskip("stable_baselines3")

IDS = sorted(name for name in gym.registry if name.startswith("toyshift/"))
OPTIONS: dict[str, Any] = {"objects": "toys:train?n=12", "image_size": 36}


@pytest.mark.parametrize("name", IDS)
def test_checker_has_nothing_to_say(name: str) -> None:
    from stable_baselines3.common.env_checker import check_env

    env = sb3.make(name, **OPTIONS, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)  # its check of render() closes the environment and goes on with it
    assert np.asarray(env.render()).shape == (256, 256, 3)
    env.close()


def test_keys_and_shapes_are_flat_and_masks_use_the_whole_range() -> None:
    env = sb3.make(**OPTIONS)
    observation, _ = env.reset(seed=0)
    plain, _ = env.unwrapped.reset(seed=0)
    assert list(observation) == ["pixels_front", "pixels_wrist", "masks_front", "masks_wrist", "agent_pos"]
    assert observation["masks_front"].shape == (36, 36, 1)
    np.testing.assert_array_equal(observation["masks_front"][..., 0], plain["masks"]["front"] * 85)
    np.testing.assert_array_equal(observation["pixels_wrist"], plain["pixels"]["wrist"])
    assert 255 in observation["masks_front"]
    env.close()


def test_unit_actions_are_the_contracts() -> None:
    env = sb3.make(**(OPTIONS | {"cameras": ()}))
    contract = env.action_contract
    env.reset(seed=0)
    unit = np.linspace(-1, 1, contract.size).astype(np.float32)
    ours = env.step(unit)[0]["agent_pos"]
    env.reset(seed=0)
    theirs = env.unwrapped.step(contract.from_unit(unit))[0]["agent_pos"]
    np.testing.assert_array_equal(ours, theirs)


def test_vec_env_equals_dummy_vec_env() -> None:
    """One environment of each: every return is the same through time limits, bit for bit."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    kwargs = OPTIONS | {"cameras": ("front",), "max_episode_steps": 3}
    ours, theirs = sb3.make_vec(num_envs=1, **kwargs), DummyVecEnv([lambda: sb3.make(**kwargs)])
    for venv in (ours, theirs):
        venv.seed(3)
        venv.set_options({"object": 2})
    first, second = ours.reset(), theirs.reset()
    rng = np.random.default_rng(0)
    for _ in range(7):
        same(first, second)
        same(ours.reset_infos, theirs.reset_infos)
        action = rng.uniform(-1, 1, (1, 7)).astype(np.float32)
        (first, *ours_rest), (second, *theirs_rest) = ours.step(action), theirs.step(action)
        same(ours_rest, theirs_rest)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert theirs_rest[2][0]["episode_index"] == 2
    ours.close()
    theirs.close()


def same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert set(a) == set(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def test_vec_env_keeps_terminal_observations_and_one_root_seed() -> None:
    venv = sb3.make_vec(num_envs=3, threads=2, max_episode_steps=2, **(OPTIONS | {"cameras": ()}))
    assert list(venv.seed(8)) == [8, 8, 8]
    start = venv.reset()["agent_pos"]
    kept = start.copy()
    assert [info["episode_index"] for info in venv.reset_infos] == [0, 1, 2]
    action = np.zeros((3, 7), np.float32)
    venv.step(action)
    observation, rewards, dones, infos = venv.step(action)
    np.testing.assert_array_equal(start, kept)
    assert dones.all()
    assert rewards.dtype == np.float32
    assert [info["episode_index"] for info in infos] == [0, 1, 2]
    assert [info["episode_index"] for info in venv.reset_infos] == [3, 4, 5]
    assert all(info["TimeLimit.truncated"] for info in infos)
    for i, info in enumerate(infos):
        assert not np.array_equal(info["terminal_observation"]["agent_pos"], observation["agent_pos"][i])
    assert venv.get_attr("task_description", [1]) == [venv.reset_infos[1]["task"]]
    assert not venv.has_attr("no_such_thing")
    assert venv.env_method("object_position", indices=2)[0].shape == (3,)
    assert venv.get_images() == [None] * 3
    bad = action.copy()
    bad[1, 3] = np.inf
    with pytest.raises(ConfigError, match=r"environment 1: action entry 3 \(rx\)"):
        venv.step(bad)
    venv.close()
    venv.close()


def test_vec_env_wants_same_step_autoreset() -> None:
    from toyshift.envs.adapters.sb3_vec import ThreadedVecEnv

    envs = ToyGraspVectorEnv(1, cameras=(), objects="toys:train?n=4")
    with pytest.raises(ConfigError, match="SameStep"):
        ThreadedVecEnv(envs)
    envs.close()


def test_ppo_trains_on_the_vec_env() -> None:
    """Two updates on images, masks and state: the weights move and stay finite."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecMonitor

    venv = VecMonitor(sb3.make_vec(num_envs=2, max_episode_steps=3, **(OPTIONS | {"cameras": ("front",)})))
    small = {"features_extractor_kwargs": {"cnn_output_dim": 8}, "net_arch": [16]}
    model = PPO(
        "MultiInputPolicy", venv, n_steps=4, batch_size=8, n_epochs=1, seed=0, device="cpu", policy_kwargs=small,
    )
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(total_timesteps=16)
    after = list(model.policy.parameters())
    assert model.num_timesteps == 16
    assert model._n_updates == 2
    assert all(bool(p.isfinite().all()) for p in after)
    assert any(bool((p != q).any()) for p, q in zip(before, after, strict=True))
    assert {int(info["l"]) for info in model.ep_info_buffer} == {3}
    venv.close()


def test_importing_the_environments_does_not_import_stable_baselines() -> None:
    heavy = "{'stable_baselines3', 'torch'}"
    code = f"import sys, toyshift.envs; toyshift.envs.sb3.make; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
