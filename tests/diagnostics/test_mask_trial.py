"""Mask providers on videos and episodes: what is measured, the empty table of a dataset, files that are cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.data.video import read_video
from toyshift.diagnostics.mask_trial import overlay, usual_first_image
from toyshift.diagnostics.video import write_mp4
from toyshift.scripts.masks.try_provider import Config, main

SIZE, TABLE = (32, 40), (190, 150, 110)


def images(length: int, top: int) -> tuple[np.ndarray, np.ndarray]:
    """A red box that moves to the right over a plain table, and its true masks."""
    pictures, masks = np.empty((length, *SIZE, 3), np.uint8), np.zeros((length, *SIZE), np.uint8)
    pictures[:] = TABLE
    for i in range(length):
        where = np.s_[i, top : top + 8, 4 + 2 * i : 14 + 2 * i]
        pictures[where], masks[where] = (220, 40, 30), 1
    return pictures, masks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demos")
    action = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))
    for i, top in enumerate((0, 8, 16, 24)):
        pictures, masks = images(6, top)
        frames = {"observation.state": np.zeros((6, 1), np.float32), "action": np.zeros((6, 2), np.float32),
                  "observation.images.front": pictures, "masks.front": masks}  # fmt: skip
        write_episode(folder, Episode(i, frames, {"task": "lift", "object_id": f"toy-{i}"}))
    finalize(folder, action, ObservationContract((("front", SIZE),), ("q0",)), {})
    return folder


@pytest.mark.parametrize("provider", ["colour", "background", "detector", "box"])
def test_an_episode_with_truth(dataset, tmp_path, provider):
    result = main(Config(data=dataset, episode=1, provider=provider, out=tmp_path / "it.mp4"))
    assert (result["frames"], result["found"], result["missed"], result["iou"]) == (6, 6, 0.0, 1.0)
    assert result["ms"] > 0
    assert len(read_video(tmp_path / "it.mp4")[0]) == 6


def test_a_video_without_truth(tmp_path):
    pictures, _ = images(6, 9)
    write_mp4(tmp_path / "lab.mp4", pictures, fps=30.0, quality=10)
    asked = {"video": tmp_path / "lab.mp4", "provider": "colour", "out": tmp_path / "it.mp4"}
    result = main(Config(click=(12, 8), frames=4, **asked))
    assert (result["frames"], result["found"], result["iou"]) == (4, 4, None)
    back, fps = read_video(tmp_path / "it.mp4")
    assert fps == 30.0
    assert back[3][12, 14, 2] > 100  # what was red is tinted magenta
    with pytest.raises(ConfigError, match="give --box TOP LEFT BOTTOM RIGHT, or --click ROW COLUMN"):
        main(Config(**asked))
    with pytest.raises(ConfigError, match=r"box \(0, 0, 99, 5\) lies outside the image of camera front, 32 x 40"):
        main(Config(box=(0, 0, 99, 5), **asked))
    with pytest.raises(ConfigError, match="needs --background FILE"):
        main(Config(**asked | {"provider": "background"}))
    with pytest.raises(ConfigError, match="is not told where the target is: leave out --box"):
        main(Config(box=(9, 4, 17, 14), **asked | {"provider": "detector"}))


def test_the_median_of_first_images_is_the_empty_table(dataset):
    np.testing.assert_array_equal(usual_first_image(dataset, "front"), np.broadcast_to(TABLE, (*SIZE, 3)))
    with pytest.raises(UnknownNameError, match=r"unknown camera of .* 'side'.* Available: front"):
        usual_first_image(dataset, "side")


def test_videos_that_are_cut_off_or_none(tmp_path):
    whole = write_mp4(tmp_path / "whole.mp4", images(30, 9)[0], quality=1)
    data = whole.read_bytes()
    for share in (0.2, 0.7, 0.95):
        (tmp_path / "cut.mp4").write_bytes(data[: round(share * len(data))])
        with pytest.raises(FileError, match=r"cut.mp4 (holds \d+ of 30 frames: it was|cannot be read.*) cut off"):
            read_video(tmp_path / "cut.mp4")
    (tmp_path / "cut.mp4").write_bytes(b"no video")
    with pytest.raises(FileError, match=r"cut.mp4 cannot be read"):
        read_video(tmp_path / "cut.mp4")
    with pytest.raises(FileError, match=r"none.mp4 does not exist"):
        read_video(tmp_path / "none.mp4")


def test_the_overlay_tints_what_was_found_and_outlines_the_truth():
    image, mask, true = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4] = true[2:4, 2:4] = 1
    drawn = overlay(image, mask, true)
    np.testing.assert_array_equal(drawn[2, 2], (185, 45, 166))
    assert (drawn == 255).all(-1).sum() == 8  # two pixels on each side
    np.testing.assert_array_equal(drawn[7, 7], image[7, 7])
    np.testing.assert_array_equal(image, 100)


@pytest.mark.parametrize(("options", "said"), [
    ({}, "either --video FILE or --data DIR"), ({"video": Path("a"), "data": Path("b")}, "either --video"),
    ({"video": Path("a"), "box": (0, 0, 1, 1), "click": (0, 0)}, "either --box or --click"),
    ({"video": Path("a"), "out": Path("it.gif")}, "must end in .mp4"),
])  # fmt: skip
def test_options_that_contradict_each_other(options, said):
    with pytest.raises(ConfigError, match=said):
        Config(provider="colour", **options)


def test_pictures_go_with_the_background(dataset, tmp_path):
    asked = {"data": dataset, "out": tmp_path / "it.mp4"}
    with pytest.raises(ConfigError, match="--background goes with --provider background"):
        main(Config(provider="colour", background=tmp_path / "empty.png", **asked))
    with pytest.raises(FileError, match=r"empty.png does not exist"):
        main(Config(provider="background", background=tmp_path / "empty.png", **asked))
    with pytest.raises(ConfigError, match="masks 'colours' are unknown; available: detector, background"):
        main(Config(provider="colours", **asked))
