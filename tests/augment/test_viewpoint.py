"""Viewpoint augmentation: only the front camera changes, by the angle asked for; a turn of zero changes nothing."""

import functools
from pathlib import Path

import numpy as np
import pytest

from toyshift.augment import augment_viewpoint
from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, write_json
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.store.dataset import open_dataset

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demos") / "source"
    collect(CollectConfig("toys:train?n=6", 2, out, workers=0, image_size=32))
    return out


def test_a_turn_of_zero_reproduces_every_pixel(source: Path, tmp_path: Path) -> None:
    augment_viewpoint(source, tmp_path / "same", (0.0, 0.0), workers=0)
    before, after = open_dataset(source), open_dataset(tmp_path / "same")
    assert after.num_episodes == 2
    for i in range(2):
        a, b = before.episode(i), after.episode(i)
        for key, frames in a.frames.items():
            np.testing.assert_array_equal(frames, b.frames[key], err_msg=key)


def test_only_the_front_camera_moves_and_by_the_sampled_angle(source: Path, tmp_path: Path) -> None:
    made = functools.partial(augment_viewpoint, source, tmp_path / "turned", seed=1, workers=0)
    result = made((10.0, 30.0), episodes=1)
    assert result["episodes"] == 1
    a, b = open_dataset(source).episode(0), open_dataset(tmp_path / "turned").episode(0)
    for key in (ACTION, STATE, WRIST, "masks.wrist", "sim.state"):
        np.testing.assert_array_equal(a.frames[key], b.frames[key], err_msg=key)
    assert not np.array_equal(a.frames[FRONT], b.frames[FRONT])
    turn = b.meta["factors"]["look"]["azimuth"]
    assert 10.0 <= turn <= 30.0
    forward = [episode.frames["camera.front.extrinsics"][0][2, :2] for episode in (a, b)]
    angle = np.degrees(np.arctan2(*forward[1][::-1]) - np.arctan2(*forward[0][::-1]))
    assert (angle + 180) % 360 - 180 == pytest.approx(turn, abs=0.01)
    assert made((10.0, 30.0), episodes=1) == result
    with pytest.raises(ConfigError, match=r"an augmentation of another configuration \(azimuth: \[0.0, 5.0\] now"):
        augment_viewpoint(source, tmp_path / "turned", (0.0, 5.0), workers=0)


def test_a_run_that_an_older_version_began_goes_on(source: Path, tmp_path: Path) -> None:
    made = functools.partial(augment_viewpoint, source, tmp_path / "turned", (10.0, 30.0), workers=0, episodes=1)
    result = made()
    marker = tmp_path / "turned" / "augment.json"
    write_json(marker, {"key": read_json(marker)["key"], "finished": None})
    assert made() == result
    assert read_json(marker)["finished"] == result


def test_what_cannot_be_rendered_again_is_refused_and_takes_no_folder(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    collect(CollectConfig("toys:train?n=6", 1, plain, workers=0, image_size=32, cameras=("wrist",)))
    with pytest.raises(ConfigError, match="no camera 'front' to move; it has wrist"):
        augment_viewpoint(plain, tmp_path / "turned", (10.0, 30.0), workers=0)
    assert not (tmp_path / "turned").exists()


@pytest.mark.parametrize("azimuth", [(10.0, -10.0), (-200.0, 0.0)])
def test_impossible_ranges_are_refused(source: Path, tmp_path: Path, azimuth: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="range"):
        augment_viewpoint(source, tmp_path / "x", azimuth)


def test_source_and_destination_must_differ(source: Path) -> None:
    with pytest.raises(ConfigError, match="another destination"):
        augment_viewpoint(source, source, (0.0, 1.0))
