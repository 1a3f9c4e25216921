"""Lets LeRobot itself write a small dataset: tests/data/formats/lerobot_pick is one that 0.4.4 wrote.

.venv-interop/bin/python tests/interop/lerobot_writes.py tests/data/formats/lerobot_pick
"""

import sys
from pathlib import Path

import numpy as np

JOINTS = ["joint_0.pos", "joint_1.pos", "joint_2.pos", "gripper.pos"]
IMAGE = ["height", "width", "channels"]
TASKS = ("put the cube in the bin", "stack the cups")
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (4,), "names": JOINTS},
    "action": {"dtype": "float32", "shape": (4,), "names": JOINTS},
    "observation.images.cam_high": {"dtype": "video", "shape": (64, 96, 3), "names": IMAGE},
    "observation.image": {"dtype": "image", "shape": (16, 20, 3), "names": IMAGE},
    "operator": {"dtype": "int64", "shape": (1,), "names": None},
}


def frames_of(episode):
    """Yields the frames of an episode: an arm that wanders, a bar that grows, a picture that brightens."""
    rng, length = np.random.default_rng(episode), 8 + episode
    state = (rng.normal(size=4) + np.cumsum(rng.normal(size=(length, 4)) * 0.05, axis=0)).astype(np.float32)
    for t in range(length):
        view = np.full((64, 96, 3), 40 * episode, np.uint8)
        view[:, : 6 * t + 6] = 200 - 8 * t
        yield {
            "observation.state": state[t], "action": state[min(t + 1, length - 1)], "observation.images.cam_high": view,
            "observation.image": np.full((16, 20, 3), 10 * t + episode, np.uint8),
            "operator": np.array([episode % 2]), "task": TASKS[episode % 2],
        }  # fmt: skip


def write(root, episodes=4):
    """Writes several small files, in chunks of two."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset.create("someone/pick", 15, FEATURES, root=root, robot_type="so101_follower")
    dataset.meta.update_chunk_settings(chunks_size=2, data_files_size_in_mb=0.006, video_files_size_in_mb=0.0025)
    for episode in range(episodes):
        for frame in frames_of(episode):
            dataset.add_frame(frame)
        dataset.save_episode()
    dataset.finalize()
    return Path(root)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
