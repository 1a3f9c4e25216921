"""lerobot-eval --env.type=toyshift and `toyshift evaluate` give the same outcomes, episode by episode.

LeRobot runs here, with its NumPy 2; `toyshift evaluate` in ToyShift's own environment, with NumPy 1.
"""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from toyshift.core.contract import ENVIRONMENT_STATE, STATE
from toyshift.core.errors import ConfigError, FileError, UnknownNameError

lerobot = pytest.importorskip("lerobot")
for needed in ("mujoco", "robosuite", "msgpack", "websockets"):  # robosuite's files are read, it is not imported
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)

ROOT = Path(__file__).parents[2]
OURS = ROOT / os.environ.get("VENV", ".venv") / "bin" / "python"
OBJECTS, SEED, STARTS, STEPS = "toys:test?n=20", 3, 50, 60
BIN = Path(sys.executable).parent


def top_down(offset, shut):
    """Returns an action and how long the hand has been shut: it grasps from above, turned as the hand is.

    Args:
        offset: (3,) from the hand to the target's centre of mass [m].
        shut: for how many steps it has been.
    """
    if shut or np.abs(offset).max() < 0.012:
        shut += 1
    near = np.hypot(*offset[:2]) < 0.02
    step = np.clip([*offset[:2], offset[2] if near else 0.0], -0.03, 0.03)
    if shut:
        step = [0, 0, 0.04] if shut > 3 else [0, 0, 0]
    return np.array([*step, 0, 0, 0, 0 if shut else 1], np.float32), shut


def of_lerobot():
    """Returns the same as a policy of LeRobot's, which counts its steps, episode by episode."""
    import torch
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.pretrained import PreTrainedPolicy

    class TopDown(PreTrainedPolicy):
        config_class, name = ACTConfig, "top_down"  # a class of configuration must be named; nothing of it is used

        def __init__(self):
            super().__init__(ACTConfig(device="cpu"))
            self.steps = []

        def reset(self):
            self._shut = 0
            self.steps.append(0)

        def select_action(self, batch):
            action, self._shut = top_down(batch[ENVIRONMENT_STATE][0, :3].numpy(), self._shut)
            self.steps[-1] += 1
            return torch.from_numpy(action)[None]

        def forward(self, batch):
            raise NotImplementedError

        def predict_action_chunk(self, batch):
            raise NotImplementedError

        def get_optim_params(self):
            return {}

    return TopDown()


class Episode:
    """The same behind a policy server."""

    def reset(self):
        self._shut = 0

    def infer(self, observation):
        action, self._shut = top_down(observation[ENVIRONMENT_STATE][:3], self._shut)
        return {"actions": action[None]}


def registered():
    """Registers the plugin as LeRobot does; 0.4 does not look for environments by the names of distributions."""
    import lerobot_env_toyshift

    return lerobot_env_toyshift.ToyShiftEnvConfig


@pytest.fixture(scope="module")
def through_lerobot():
    """Returns (success, steps, sum of rewards) of each start, by LeRobot's own evaluation."""
    from lerobot.envs.factory import make_env
    from lerobot.scripts.lerobot_eval import eval_policy_all

    config = registered()(task=OBJECTS, env_id="toyshift/GraspState-v0", root_seed=SEED, episode_length=STEPS)
    assert config.type == "toyshift"
    policy, processors = of_lerobot(), [lambda value: value] * 4  # this policy wants none
    # one environment: of several LeRobot counts a reward of the next episode into the sum
    info = eval_policy_all(make_env(config, n_envs=1), policy, *processors, n_episodes=STARTS, start_seed=0)
    (task,) = info["per_task"]
    found = task["metrics"]
    assert len(policy.steps) == STARTS
    return list(zip(found["successes"], policy.steps, found["sum_rewards"], strict=True))


def test_fifty_starts_come_out_as_a_gymnasium_loop_plays_them(through_lerobot):
    from toyshift.core.seeds import object_of_episode
    from toyshift.core.world import episode_options

    env = gym.make("toyshift/GraspState-v0", objects=OBJECTS, purpose="test", max_episode_steps=STEPS)
    ids = [one.id for one in env.unwrapped.objects]
    for episode, (success, steps, rewards) in enumerate(through_lerobot):
        target, _ = object_of_episode(ids, SEED, episode)
        observation, info = env.reset(seed=SEED, options=episode_options(target, episode, "test"))
        total, shut, played, done = 0.0, 0, 0, False
        while not done:
            action, shut = top_down(observation["environment_state"][:3], shut)
            observation, reward, terminated, truncated, info = env.step(action)
            total, played, done = total + reward, played + 1, terminated or truncated
        assert (success, steps) == (info["is_success"], played)
        assert rewards == pytest.approx(total, rel=1e-12)
    env.close()


@pytest.mark.skipif(not OURS.is_file(), reason="needs ToyShift's own environment (make setup)")
def test_fifty_starts_come_out_as_toyshift_evaluate_plays_them(through_lerobot, tmp_path):
    from toyshift.envs import GraspEnv
    from toyshift.policies.remote.access import Limits
    from toyshift.policies.remote.server import PolicyServer
    from toyshift.policies.remote.session import PROTOCOL

    env = GraspEnv(objects=OBJECTS, cameras=(), environment_state=True)
    said = {
        "protocol": PROTOCOL, "name": "top-down", "execute": 1, "episode_start": True, "needs_masks": False,
        "action_contract": env.action_contract.to_json(), "observation_contract": env.observation_contract.to_json(),
        "keys": {"images": {}, "state": {STATE: ["*"]}, "environment_state": ENVIRONMENT_STATE, "prompt": "task"},
    }  # fmt: skip
    env.close()
    server = PolicyServer(Episode, {"toyshift": said}, port=0, limits=Limits(rate=0, idle=0))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ours(
        "evaluate", "--policy", f"ws://127.0.0.1:{server.port}", "--objects", OBJECTS, "--trials", str(STARTS),
        "--seed", str(SEED), "--max-steps", str(STEPS), "--no-references", "--workers", "1", "--interface", "skip",
        "--out", str(tmp_path / "evaluation"),
    )  # fmt: skip
    server.shutdown()
    rows = rows_of(tmp_path / "evaluation")
    told = [(success, steps) for success, steps, _ in through_lerobot]
    differing = [i for i, (one, other) in enumerate(zip(told, rows, strict=True)) if one != other]
    lifted = sum(success for success, _ in told)
    print(f"{lifted} of {STARTS} lifted; differing: {differing}")
    assert differing == []
    assert 5 < lifted < 45  # a test on failures or successes alone would show little


@pytest.mark.skipif(not OURS.is_file(), reason="needs ToyShift's own environment (make setup)")
def test_what_lerobot_trained_is_evaluated_by_both_commands(tmp_path):
    """ACT after two steps, by `lerobot-train`, `lerobot-eval --env.type=toyshift` and `toyshift evaluate`."""
    demos, out = tmp_path / "demos", tmp_path / "eval"
    few = ("--episodes", "2", "--image-size", "64", "--workers", "1")
    ours("collect", "--objects", OBJECTS, *few, "--out", str(demos))
    theirs(
        "lerobot-train", "--dataset.repo_id=toyshift/demos", f"--dataset.root={demos}", "--policy.type=act",
        "--policy.device=cpu", "--policy.push_to_hub=false", "--policy.chunk_size=4", "--policy.n_action_steps=3",
        "--policy.dim_model=64", "--policy.dim_feedforward=64", "--policy.n_heads=2",
        "--policy.pretrained_backbone_weights=null", "--steps=2", "--batch_size=2", "--num_workers=0", "--save_freq=2",
        "--wandb.enable=false", f"--output_dir={tmp_path / 'act'}",
    )  # fmt: skip
    policy = tmp_path / "act" / "checkpoints" / "000002" / "pretrained_model"
    theirs(
        "lerobot-eval", "--env.discover_packages_path=lerobot_env_toyshift", "--env.type=toyshift",
        f"--env.task={OBJECTS}", f"--env.dataset={demos}", f"--env.root_seed={SEED}", "--env.episode_length=12",
        f"--policy.path={policy}", "--policy.device=cpu", "--eval.n_episodes=6", "--eval.batch_size=3", "--seed=0",
        f"--output_dir={out}",
    )  # fmt: skip
    told = json.loads((out / "eval_info.json").read_text())["per_task"][0]["metrics"]
    ours(
        "evaluate", "--policy", f"lerobot:{policy}", "--lerobot-python", sys.executable, "--objects", OBJECTS,
        "--trials", "6", "--seed", str(SEED), "--max-steps", "12", "--no-references", "--workers", "1",
        "--interface", "skip", "--out", str(tmp_path / "evaluation"),
    )  # fmt: skip
    assert told["successes"] == [success for success, _ in rows_of(tmp_path / "evaluation")]
    assert len(set(told["sum_rewards"])) == 6


def test_diffusion_policy_trains_on_it_too(demos, tmp_path):
    pytest.importorskip("diffusers")
    theirs(
        "lerobot-train", "--dataset.repo_id=toyshift/demos", f"--dataset.root={demos}", "--policy.type=diffusion",
        "--policy.device=cpu", "--policy.push_to_hub=false", "--policy.pretrained_backbone_weights=null",
        "--policy.crop_shape=[32,32]", "--policy.horizon=8", "--policy.n_action_steps=4", "--policy.down_dims=[16,32]",
        "--policy.n_groups=4", "--policy.spatial_softmax_num_keypoints=8", "--policy.diffusion_step_embed_dim=16",
        "--steps=2", "--batch_size=2", "--num_workers=0", "--save_freq=2", "--wandb.enable=false",
        f"--output_dir={tmp_path / 'diffusion'}",
    )  # fmt: skip
    assert (tmp_path / "diffusion/checkpoints/000002/pretrained_model/model.safetensors").is_file()


def test_what_newer_lerobots_ask_for(tmp_path):
    """LeRobot 0.6 calls `create_envs`, with threads by default, and resets with an option of its own."""
    sets, seen = "toys:test?n=2,toys:train?n=2", {"cameras": ["front"], "image_size": 32}
    config = registered()(task=sets, shift="light-intensity=2", **seen)
    assert config.features["pixels/front"].shape == (32, 32, 3)
    assert config.features_map["pixels/front"] == "observation.images.front"
    assert (config.features["action"].shape, config.fps, config.episode_length) == ((7,), 10, 100)
    envs = config.create_envs(n_envs=2, use_async_envs=True)
    assert list(envs) == ["toys:test?n=2", "toys:train?n=2"]
    for suite in envs.values():
        observation, info = suite[0].reset(seed=[1000, 1001], options={"lerobot_new_rollout": True})
        assert observation["pixels"]["front"].shape == (2, 32, 32, 3)
        assert list(suite[0].call("task_description")) == info["task"].tolist()
        suite[0].close()
    with pytest.raises(ConfigError, match="this LeRobot takes one object set"):
        _ = config.gym_kwargs
    with pytest.raises(UnknownNameError, match="Did you mean 'toyshift/Pick-v0'"):
        registered()(env_id="toyshift/Pik-v0")
    with pytest.raises(FileError, match=r"toyshift\.json does not exist"):
        registered()(dataset=str(tmp_path))


def ours(*words):
    done = subprocess.run(
        [str(OURS), "-m", "toyshift.scripts", *words], capture_output=True, text=True, timeout=900, check=False,
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / ".typing")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def theirs(*words):
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def rows_of(folder):
    """Returns success and steps of an evaluation's episodes, in order."""
    from toyshift.diagnostics.rows import read_rows

    path = folder / "rows.parquet"
    return [(row.success, row.steps) for row in sorted(read_rows(path), key=lambda row: row.episode)]
