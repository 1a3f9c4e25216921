"""toyshift envs robots: one row of views per robot, and bad options."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.scripts.envs.robots import VIEWS, Config, main

SHOWN = ("sawyer", "inspire")


def test_the_sheet_shows_one_row_per_robot(tmp_path: Path) -> None:
    found = main(
        Config(out=tmp_path / "robots.png", robot=SHOWN, objects="toys:train?n=2", size=64, columns=1, quality="fast")
    )
    assert found["robots"] == list(SHOWN)
    sheet = np.asarray(Image.open(found["out"]))
    high = sheet.shape[0] // len(SHOWN)
    assert sheet.shape == (len(SHOWN) * high, len(VIEWS) * 64, 3)
    rows = [sheet[i * high : (i + 1) * high] for i in range(len(SHOWN))]
    for i, row in enumerate(rows):
        assert row[-64:].std() > 10
        for other in rows[:i]:
            assert (row[-64:] != other[-64:]).any()


def test_bad_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--size"):
        Config(out=tmp_path / "robots.png", size=9)
    with pytest.raises(UnknownNameError, match="ur5e"):
        main(Config(out=tmp_path / "robots.png", robot=("ur5",)))
    assert not (tmp_path / "robots.png").exists()
