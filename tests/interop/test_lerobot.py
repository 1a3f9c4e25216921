"""LeRobot 0.4.4 opens what we wrote, returns our frames, and trains ACT on it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from toyshift.data.store.dataset import open_dataset

pytest.importorskip("lerobot")


def test_every_frame_comes_back(demos):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    ours = open_dataset(demos)
    theirs = LeRobotDataset("toyshift/demos", root=demos)
    assert theirs.num_episodes == 5
    assert len(theirs) == ours.num_frames
    assert set(theirs.meta.camera_keys) == {"observation.images.front", "observation.images.wrist"}
    row = 0
    for episode in ours:
        for t in range(len(episode)):
            frame = theirs[row]
            for key in ("observation.state", "action", "executed_action"):
                np.testing.assert_array_equal(frame[key].numpy(), episode.frames[key][t])
            # double precision is in the file; LeRobot hands out single
            np.testing.assert_array_equal(frame["sim.state"].numpy(), episode.frames["sim.state"][t].astype(np.float32))
            for camera in ("front", "wrist"):
                image = frame[f"observation.images.{camera}"].numpy()  # (3, H, W), 0..1
                np.testing.assert_array_equal(np.round(image * 255).astype(np.uint8), np.moveaxis(
                    episode.frames[f"observation.images.{camera}"][t], 2, 0
                ))
            assert frame["task"] == episode.meta["task"]
            assert int(frame["episode_index"]) == episode.index
            assert float(frame["timestamp"]) == pytest.approx(t / 10.0)
            row += 1
    assert row == len(theirs)


def test_statistics_are_those_of_the_frames(demos):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    stats = LeRobotDataset("toyshift/demos", root=demos).meta.stats
    actions = np.concatenate([e.frames["action"] for e in open_dataset(demos)])
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0), rtol=1e-4)


def test_two_steps_of_lerobot_train_with_act(demos, tmp_path):
    out = tmp_path / "act"
    command = [
        os.path.join(os.path.dirname(sys.executable), "lerobot-train"), "--dataset.repo_id=toyshift/demos",
        f"--dataset.root={demos}", "--policy.type=act", "--policy.device=cpu",
        "--policy.push_to_hub=false", "--policy.chunk_size=4", "--policy.n_action_steps=4", "--policy.dim_model=64",
        "--policy.dim_feedforward=64", "--policy.n_heads=2",
        "--policy.pretrained_backbone_weights=null", "--steps=2", "--batch_size=2", "--num_workers=0", "--save_freq=2",
        "--log_freq=1", "--wandb.enable=false", f"--output_dir={out}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "loss:" in done.stderr + done.stdout
    assert (out / "checkpoints" / "000002" / "pretrained_model" / "model.safetensors").exists()
