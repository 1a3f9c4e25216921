"""toyshift envs robots: one row of views per robot, and bad options."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toyshift.core.contract import MASK_ROBOT
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.scripts.envs.robots import VIEWS, Config, cameras, main, pose

SHOWN = ("sawyer", "inspire")


def test_the_sheet_shows_one_row_per_robot(tmp_path: Path) -> None:
    found = main(
        Config(out=tmp_path / "robots.png", robot=SHOWN, objects="toys:train?n=2", size=64, columns=1, quality="fast")
    )
    assert found["robots"] == list(SHOWN)
    sheet = np.asarray(Image.open(found["out"]).convert("RGB"))
    high = sheet.shape[0] // len(SHOWN)
    assert sheet.shape == (len(SHOWN) * high, len(VIEWS) * 66 - 2, 3)
    rows = [sheet[i * high : (i + 1) * high] for i in range(len(SHOWN))]
    for i, row in enumerate(rows):
        assert row[-64:].std() > 10
        for other in rows[:i]:
            assert (row[-64:] != other[-64:]).any()


@pytest.mark.parametrize("robot", SHOWN)
def test_robot_and_hand_are_in_the_frame(robot: str) -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=2", robot=robot, cameras=cameras(), start_noise=0.0))
    try:
        pose(env, 0)
        hand = env.renderer().render("hand", 96).mask
        seen = env.renderer().render("whole", 96).mask
        front = env.renderer().render("front", 96).mask
    finally:
        env.close()
    assert seen is not None
    assert hand is not None
    assert front is not None
    shown = seen == MASK_ROBOT
    assert shown.mean() > 0.04  # large enough to be seen ...
    assert not np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).any()  # ... and whole
    assert (hand[40:56, 32:64] == MASK_ROBOT).mean() > 0.3
    assert (hand[-1] != MASK_ROBOT).all()  # finger tips and all
    assert (front == MASK_ROBOT).any(axis=1).sum() > 24  # more than a quarter of the front camera's height


def test_bad_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--size"):
        Config(out=tmp_path / "robots.png", size=9)
    with pytest.raises(UnknownNameError, match="ur5e"):
        main(Config(out=tmp_path / "robots.png", robot=("ur5",)))
    assert not (tmp_path / "robots.png").exists()
