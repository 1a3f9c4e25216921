"""A policy that LeRobot trained on our demonstrations is served by our process, and evaluated by us."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from toyshift.data.store.dataset import open_dataset
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.lerobot_process import LeRobotProcess
from toyshift.policies.remote.options import RemoteOptions

pytest.importorskip("lerobot")
pytest.importorskip("msgpack")
pytest.importorskip("websockets")
ROOT = Path(__file__).parents[2]
OURS = ROOT / os.environ.get("VENV", ".venv") / "bin" / "toyshift"
OURS_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def lerobot_train(demos, out):
    """Trains ACT for two steps and returns the folder of the policy."""
    command = [
        os.path.join(os.path.dirname(sys.executable), "lerobot-train"), "--dataset.repo_id=toyshift/demos",
        f"--dataset.root={demos}", "--policy.type=act", "--policy.device=cpu",
        "--policy.push_to_hub=false", "--policy.chunk_size=4", "--policy.n_action_steps=3", "--policy.dim_model=64",
        "--policy.dim_feedforward=64", "--policy.n_heads=2",
        "--policy.pretrained_backbone_weights=null", "--steps=2", "--batch_size=2", "--num_workers=0", "--save_freq=2",
        "--log_freq=1", "--wandb.enable=false", f"--output_dir={out}",
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    return out / "checkpoints" / "000002" / "pretrained_model"


def test_the_served_policy_answers_what_lerobots_own_loop_would(demos, tmp_path):
    import torch
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    from lerobot.utils.control_utils import predict_action

    folder = lerobot_train(demos, tmp_path / "act")
    config = PreTrainedConfig.from_pretrained(folder)
    policy = get_policy_class(config.type).from_pretrained(folder, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(folder))
    dataset = open_dataset(demos)
    process = LeRobotProcess(f"lerobot:{folder}", RemoteOptions(lerobot_python=sys.executable))
    served = RemotePolicy(process.url)
    assert served.action_contract == dataset.action_contract  # said by the dataset that it was trained on
    served.bind(dataset.action_contract, dataset.observation_contract)
    low, high = np.asarray(dataset.action_contract.low, np.float32), np.asarray(
        dataset.action_contract.high, np.float32
    )
    frames = next(iter(dataset)).frames
    for _ in range(2):
        policy.reset()
        served.reset()
        for t in range(5):  # two chunks
            images = {camera: frames[f"observation.images.{camera}"][t] for camera in ("front", "wrist")}
            observation = {f"observation.images.{camera}": image.copy() for camera, image in images.items()} | {
                "observation.state": frames["observation.state"][t].copy()
            }
            theirs = predict_action(
                observation, policy, torch.device("cpu"), before, after, use_amp=False, task="lift"
            ).numpy()
            ours = served.act(
                {"pixels": images, "masks": {}, "agent_pos": frames["observation.state"][t], "task": "lift"}
            )
            np.testing.assert_allclose(ours, np.clip(theirs, low, high), rtol=1e-5, atol=1e-6)
    process.close()


@pytest.mark.skipif(not OURS.is_file(), reason="needs ToyShift's own environment (make setup)")
def test_toyshift_evaluate_plays_a_lerobot_policy(tmp_path):
    def ours(*words):
        done = subprocess.run(
            [str(OURS), *words, "--json"], capture_output=True, text=True, timeout=900, check=False,
            env=OURS_ENVIRONMENT, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    objects = ("--objects", "toys:train?n=2", "--workers", "1")
    ours("collect", *objects, "--episodes", "2", "--out", str(tmp_path / "demos"))
    folder = lerobot_train(tmp_path / "demos", tmp_path / "act")
    result = ours(
        "evaluate", "--policy", f"lerobot:{folder}", *objects, "--trials", "2", "--max-steps", "8", "--no-references",
        "--lerobot-python", sys.executable,
        "--out", str(tmp_path / "evaluation"),
    )  # fmt: skip
    (summary,) = result["summaries"]
    assert summary["policy"] == "pretrained_model"
    assert summary["n"] == 2
