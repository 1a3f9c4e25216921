"""LeRobot 0.4.4 finds every frame in the videos that we wrote, whichever episode it is asked for."""

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize

pytest.importorskip("lerobot")

SIZE = (176, 192)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos") / "d"
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for i, length in enumerate((7, 5, 6)):
        shift = 9 * np.arange(length)[:, None, None] + 40 * i
        images = np.stack(
            [128 + 90 * np.sin((x + shift) / 25), 128 + 90 * np.cos((y - shift) / 30), (x + y) / 2.0 + 0 * shift],
            axis=-1
        )
        frames = {
            "observation.images.front": images.astype(np.uint8), "masks.front": np.ones((length, *SIZE), np.uint8),
            "observation.state": np.zeros((length, 2), np.float32), "action": np.full((length, 2), i, np.float32),
        }  # fmt: skip
        write_episode(folder, Episode(i, frames, {"task": "lift", "success": True, "seed": 0}))
    actions = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (3.0, 3.0), 10.0, ("j0",))
    finalize(folder, actions, ObservationContract((("front", SIZE),), ("a", "b")), {})
    return folder


def test_every_frame_of_every_episode_is_found(videos):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    # torchcodec needs the system's FFmpeg
    theirs = LeRobotDataset("toyshift/videos", root=videos, video_backend="pyav")
    ours = [(episode, t) for episode in open_dataset(videos) for t in range(len(episode))]
    assert len(theirs) == len(ours)
    for row, (episode, t) in reversed(list(enumerate(ours))):
        frame = theirs[row]
        image = np.moveaxis(frame["observation.images.front"].numpy(), 0, 2) * 255  # (H, W, 3)
        error = np.abs(image - episode.frames["observation.images.front"][t]).mean()
        assert error < 1.5  # its conversion of colours is another one; the next frame differs by more than 20
        assert float(frame["action"][0]) == episode.index
