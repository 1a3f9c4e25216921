"""What LeRobot writes is read without it: the same frames as its own reader's, and nothing wrong in it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from toyshift.data import open_lerobot
from toyshift.data.formats.lerobot_checks import check_any

pytest.importorskip("lerobot")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("lerobot_writes", Path(__file__).with_name("lerobot_writes.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write(tmp_path_factory.mktemp("lerobot") / "pick")


def test_every_frame_is_the_one_that_lerobot_reads(written):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    ours, theirs = open_lerobot(written), LeRobotDataset("someone/pick", root=written, video_backend="pyav")
    row = 0
    for episode in ours:
        for t in range(len(episode)):
            frame = theirs[row]
            for key in ("observation.state", "action"):
                np.testing.assert_array_equal(frame[key].numpy(), episode.frames[key][t])
            for key in ours.cameras.values():
                image = np.moveaxis(frame[key].numpy(), 0, 2) * 255  # (H, W, 3)
                apart = np.abs(image - episode.frames[key][t])
                assert apart.max() <= 2  # of 255: the two convert from YUV by other routines
            assert frame["task"] == episode.meta["task"]
            row += 1
    assert row == len(theirs) == ours.num_frames


def test_nothing_is_wrong_with_it(written):
    assert check_any(written).problems == ()
