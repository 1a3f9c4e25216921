"""A lab's camera against a bundle: the simulator's images as they are, and with one thing wrong at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.bundle_facts import arm_of
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.policies.act.bundle_facts import picture_file
from toyshift.policies.cameras.board import CharucoBoard
from toyshift.policies.cameras.camera_check import CameraReport, Photographs, check_camera, field_of_view
from toyshift.policies.cameras.likeness import colours_exchanged, turned
from toyshift.policies.runtime.framing import QUANTILES, Lens, looks_table
from toyshift.policies.runtime.turns import rotvec_to_matrix
from toyshift.scripts.robot import board as board_command
from toyshift.scripts.robot import check as check_command

SIZE, BOARD = 96, CharucoBoard()
TALL = (480, 640)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """Images of both cameras in eight episodes, and where the cameras stand."""
    env = GraspEnv(EnvConfig(objects="toys:test?n=8", image_size=SIZE))
    images: dict[str, list[np.ndarray]] = {"front": [], "wrist": []}
    for episode in range(8):
        pixels = env.reset(seed=0, options={"episode": episode})[0]["pixels"]
        for camera, found in images.items():
            found.append(pixels[camera])
    poses = {camera: env.camera_pose(camera) for camera in images}
    hand = np.eye(4)
    hand[:3, 3], hand[:3, :3] = env.hand_pose()
    env.close()
    return {"images": images, "poses": poses, "hand": hand}


@pytest.fixture(scope="module")
def bundle(seen, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """A folder with the training's pictures, and a contract.json with what is told of cameras and arm."""
    folder, cameras = tmp_path_factory.mktemp("bundle"), {}
    for camera, images in seen["images"].items():
        Image.fromarray(images[0]).save(folder / picture_file(camera))
        extrinsics, intrinsics = seen["poses"][camera]
        if camera == "wrist":  # base to camera, of a hand that stands at `hand`
            extrinsics = extrinsics @ seen["hand"]
        position = np.linalg.inv(extrinsics)[:3, 3].tolist()
        cameras[camera] = {
            "size": [SIZE, SIZE], "quantiles": list(QUANTILES), "looks": looks_table(images),
            "intrinsics": intrinsics.tolist(), "extrinsics": extrinsics.tolist(), "position": position,
            "frame": "hand" if camera == "wrist" else "robot_base", "position_range": [position, position],
            "turn_max_deg": 0.0,
        }  # fmt: skip
    return folder, {"cameras": cameras, "arm": arm_of("panda").to_json()}


def checked(bundle, camera: str = "front", **photographs: Any) -> CameraReport:
    return check_camera(*bundle, camera, Photographs(**photographs), BOARD)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_other_episodes_of_the_training_look_right(bundle, seen, camera):
    for image in seen["images"][camera][1:4]:
        assert checked(bundle, camera, scene=image).wrong == []


@pytest.mark.parametrize(("spoilt", "said"), [
    (lambda image: image[..., ::-1], "red and blue are exchanged"),
    (lambda image: image[::-1, ::-1], "its image is upside down"),
    (lambda image: (0.5 * image).astype(np.uint8), "too little light: brightness is"),
    (lambda image: (255 - 0.4 * (255.0 - image)).astype(np.uint8), "too much light: brightness is"),
    (lambda image: np.concatenate([image[..., :1] // 2, image[..., 1:]], -1), "too little red: red is"),
    (lambda image: image[:, 20:], r"images of camera front are 96 x 76, the training's 96 x 96"),
])  # fmt: skip
def test_what_is_wrong_with_an_image_is_said(bundle, seen, spoilt, said):
    wrong = checked(bundle, scene=np.ascontiguousarray(spoilt(seen["images"]["front"][3]))).wrong
    assert any(said in line for line in wrong), wrong


def test_exchanged_colours_are_one_mistake_and_not_a_matter_of_light(bundle, seen):
    wrong = checked(bundle, scene=np.ascontiguousarray(seen["images"]["front"][3][..., ::-1])).wrong
    assert len(wrong) == 1


def test_the_overlay_shows_both_and_their_mean(bundle, seen):
    image = seen["images"]["front"][3]
    overlay = checked(bundle, scene=image).overlay
    first, second, both = np.split(overlay, 3, axis=1)
    np.testing.assert_array_equal(first[::4, ::4], seen["images"]["front"][0])
    np.testing.assert_array_equal(second[::4, ::4], image)
    np.testing.assert_array_equal(both, (first.astype(int) + second) // 2)


def test_grey_tables_do_not_tell_exchanged_colours_and_noise_no_orientation():
    grey = np.full((48, 48, 3), 120, np.uint8)
    assert colours_exchanged(grey, grey) is None
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    assert turned(noise[0], noise[0]) == ""
    assert turned(grey, grey) == ""
    assert turned(noise[0][:, ::-1], noise[0]) == "mirrored"
    assert turned(noise[0][::-1], noise[0]) == "mirrored, upside down"


def moved(pose: np.ndarray, centimetres, degrees) -> np.ndarray:
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = rotvec_to_matrix(np.radians(degrees)), np.array(centimetres) / 100
    return pose @ change


def test_a_camera_that_was_pushed_is_told_the_way_back(bundle, seen, pinhole, lying):
    lens, there = Lens(TALL, (650, 650), (320, 240)), np.linalg.inv(seen["poses"]["front"][0])
    right = checked(bundle, boards=[pinhole(there, lens).draw(lying)], board=lying, lens=lens)
    assert right.wrong == []
    assert right.placement.centimetres < 0.2
    assert right.placement.degrees < 0.3
    pushed = moved(there, (-4.0, 0.0, 3.0), (0.0, -3.0, 0.0))  # 4 cm to its left, 3 nearer, panned to the left
    wrong = checked(bundle, boards=[pinhole(pushed, lens).draw(lying)], board=lying, lens=lens)
    assert wrong.placement.centimetres == pytest.approx(5.0, abs=0.2)
    assert wrong.placement.degrees == pytest.approx(3.0, abs=0.3)
    back = np.linalg.inv(moved(np.eye(4), (-4.0, 0.0, 3.0), (0.0, -3.0, 0.0)))[:3, 3] * 100
    move = wrong.placement.move
    np.testing.assert_allclose((move.right, -move.up, move.forward), back, atol=0.2)
    assert move.pan == pytest.approx(3.0, abs=0.3)
    assert "it stands 5.0 cm and" in wrong.wrong[0] or "it stands 4.9 cm and" in wrong.wrong[0]
    assert " cm right" in wrong.wrong[0]
    assert "degrees to the right" in wrong.wrong[0]


def test_a_camera_on_the_hand_is_compared_where_the_hand_is(bundle, seen, pinhole, lying):
    lens, there = Lens(TALL, (300, 300), (320, 240)), np.linalg.inv(seen["poses"]["wrist"][0])
    image = pinhole(there, lens).draw(lying)
    home = arm_of("panda").home
    # the episode's home has noise; the chain puts the hand where the joints say
    placed = checked(bundle, "wrist", boards=[image], board=lying, lens=lens, joints=home).placement
    assert placed.centimetres < 3.0
    turned_away = checked(bundle, "wrist", boards=[image], board=lying, lens=lens, joints=(0.3, *home[1:])).placement
    assert turned_away.degrees == pytest.approx(np.degrees(0.3), abs=2.5)
    with pytest.raises(ConfigError, match="2 joint positions were given; the arm has 7"):
        checked(bundle, "wrist", boards=[image], board=lying, lens=lens, joints=(0.0, 0.1))


def test_a_lens_that_sees_less_than_the_trainings(bundle, seen, pinhole, lying):
    narrow = Lens(TALL, (2000, 2000), (320, 240))
    wide = field_of_view(Lens((100, 200), (100, 100), (100, 50)))
    assert wide == pytest.approx((90.0, 2 * np.degrees(np.arctan(0.5))))
    wrong = checked(bundle, scene=np.zeros((*TALL, 3), np.uint8), lens=narrow).wrong
    assert any("sees less than the training's camera" in line for line in wrong)


def test_what_is_not_known_is_said(bundle, seen, lying):
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"tells nothing of camera top \(of: front, wrist\)"):
        checked(bundle, "top", scene=image)
    with pytest.raises(ConfigError, match="board image 1 of camera front shows 0 of the board's 24 inner corners"):
        checked(bundle, boards=[image], board=lying)


def test_the_command_ends_with_1_where_something_is_wrong(bundle, seen, tmp_path, monkeypatch, capsys):
    folder, contract = bundle
    monkeypatch.setattr("toyshift.policies.act.bundle_format.check_bundle", lambda path: contract)
    files = [tmp_path / "good.png", tmp_path / "bad.png"]
    Image.fromarray(seen["images"]["front"][2]).save(files[0])
    Image.fromarray(seen["images"]["front"][2][::-1, ::-1]).save(files[1])
    for file, ok in zip(files, (True, False), strict=True):
        config = check_command.Config(bundle=folder, image=(f"front={file}",), out=tmp_path / "out")
        result = check_command.main(config)
        assert result["ok"] is ok
        assert (tmp_path / "out" / "front.png").is_file()
    assert "upside down" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "said"), [
    ({}, "there is nothing to check"), ({"image": ("lab.png",)}, "write CAMERA=FILE"),
    ({"board": ("front=a.png",)}, "--board needs --board-at"),
    ({"image": ("front=a.png", "front=b.png")}, "given twice for camera front"),
    ({"image": ("front=a.png",), "square": 0.01}, "they must be smaller"),
])  # fmt: skip
def test_options_that_say_too_little_or_contradict_each_other(options, said, bundle):
    with pytest.raises(ConfigError, match=said):
        check_command.main(check_command.Config(bundle=bundle[0], **options))


def test_the_printed_board_has_its_true_size(tmp_path, monkeypatch):
    monkeypatch.setattr(board_command, "DPI", 60)
    board_command.main(board_command.Config(out=tmp_path / "board.png"))
    with Image.open(tmp_path / "board.png") as picture:
        width, dpi = picture.width, picture.info["dpi"][0]
    assert width / dpi * 0.0254 == pytest.approx(BOARD.size[0] + 2 * board_command.MARGIN, abs=5e-4)
    board_command.main(board_command.Config(out=tmp_path / "board.pdf"))
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ConfigError, match=r"must end in .pdf or .png"):
        board_command.Config(out=tmp_path / "board.svg")
