"""ChArUco boards drawn by a pinhole: pose within 2 mm and 0.3 degrees, the lens from three images, bad images."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.policies.cameras.board import (
    CharucoBoard,
    SeenBoard,
    board_on_table,
    camera_in_board,
    lens_of,
    pose_spread,
    seen_board,
    tells_little,
)
from toyshift.policies.cameras.placement import Move
from toyshift.policies.runtime.framing import Lens
from toyshift.policies.runtime.turns import matrix_to_rotvec, rotvec_to_matrix

BOARD, SIZE, CENTRE = CharucoBoard(), (480, 640), np.array((0.36, -0.006, 0.002))
VIEWS = [  # focal length [pixels], position, point looked at, roll [deg]
    (600, (1.1, 0.1, 0.7), (0.55, 0.0, 0.0), 0.0), (600, (1.0, -0.4, 0.5), (0.55, 0.0, 0.0), 5.0),
    (800, (1.3, 0.2, 0.5), (0.55, 0.0, 0.0), 0.0), (450, (0.75, 0.05, 0.5), (0.57, 0.02, 0.0), 180.0),
    (500, (0.9, 0.0, 0.9), (0.5, 0.0, 0.0), 0.0),
]  # fmt: skip


def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Returns how far two poses are apart: millimetres and degrees."""
    change = np.linalg.inv(a) @ b
    turn = float(np.linalg.norm(matrix_to_rotvec(change[:3, :3])))
    return 1e3 * float(np.linalg.norm(change[:3, 3])), float(np.degrees(turn))


FLAT = [(800, (1.03, 0.56, 0.37), (0.36, -0.01, 0.0), 0.0), (570, (0.97, -0.52, 0.41), (0.36, -0.01, 0.0), 0.0)]


def off(camera, board_pose: np.ndarray, seen: SeenBoard) -> float:
    """Returns how far corners are from where a pinhole puts them, root mean square [pixels]."""
    to_board = np.linalg.inv(board_pose) @ camera.pose
    there = (seen.board_points - to_board[:3, 3]) @ to_board[:3, :3] @ np.diag([*camera.lens.focal, 1.0])
    return float(np.sqrt(((there[:, :2] / there[:, 2:] + camera.lens.centre - seen.pixels) ** 2).sum(1).mean()))


@pytest.mark.parametrize(("focal", "position", "at", "roll"), FLAT)
def test_corners_do_not_slip_in_boards_that_are_seen_from_the_side(
    pinhole, look_at, lying, focal, position, at, roll
):
    """From 23 and 27 degrees above the table a search for edges finds some at a marker's edge, up to 3 pixels away."""
    camera = pinhole(look_at(position, at, roll), Lens(SIZE, (focal, focal), (320, 240)))
    seen = seen_board(camera.draw(lying, noise=2.0), BOARD, "it")
    assert len(seen.pixels) == BOARD.corners
    assert off(camera, lying, seen) < 0.05


def test_what_is_not_told_to_be_uncertain_is_within_2_mm_and_0_3_degrees(pinhole, look_at, lying):
    """Random views from 20 to 75 degrees above a table; few are told to be uncertain: from far and nearly above."""
    rng, uncertain = np.random.default_rng(5), []
    for number in range(10):
        focal, distance, height, way = rng.uniform((450, 0.5, 20, -180), (800, 1.0, 75, 180))
        if number == 0:  # one that is
            focal, distance, height = 480, 1.0, 74
        up, round_, roll = np.radians(height), np.radians(way), rng.uniform(-180, 180)
        away = np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])
        camera = pinhole(look_at(CENTRE + distance * away, CENTRE, roll), Lens(SIZE, (focal, focal), (320, 240)))
        seen = seen_board(camera.draw(lying, noise=2.0), BOARD, "it")
        found, error = camera_in_board(seen, camera.lens)
        millimetres, degrees = apart(camera.pose, lying @ found)
        if tells_little(*pose_spread(seen, camera.lens, found, error)):
            uncertain.append(number)
        else:
            assert millimetres < 2.0
            assert degrees < 0.3
    assert uncertain == [0]


def test_corners_are_found_whatever_the_light(pinhole, look_at, lying, whole):
    """Dim on one side, a shadow across, colours clipped: corners stay where they are."""
    camera = pinhole(look_at(*VIEWS[0][1:]), Lens(SIZE, (600, 600), (320, 240)))
    x = np.arange(SIZE[1])[:, None]
    for light, allowed in ((0.2 + 0.5 * x / SIZE[1], 0.05), (np.where(x > 320, 0.5, 1.0), 0.1), (1.5 + 0.0 * x, 0.05)):
        image = (whole * light + 30).clip(0, 255).astype(np.uint8)
        seen = seen_board(image, BOARD, "it")
        assert len(seen.pixels) == BOARD.corners
        assert off(camera, lying, seen) < allowed


@pytest.mark.parametrize(("focal", "position", "at", "roll"), VIEWS)
def test_pose_of_a_camera_with_a_known_lens(pinhole, look_at, lying, focal, position, at, roll):
    camera = pinhole(look_at(position, at, roll), Lens(SIZE, (focal, focal), (320, 240)))
    seen = seen_board(camera.draw(lying, noise=2.0), BOARD, "it")
    found, error = camera_in_board(seen, camera.lens)
    millimetres, degrees = apart(camera.pose, lying @ found)
    assert len(seen.pixels) == BOARD.corners
    assert millimetres < 2.0
    assert degrees < 0.3
    assert error < 0.2
    place, turn = pose_spread(seen, camera.lens, found, error)
    assert millimetres < 3e3 * place < 6.0
    assert np.radians(degrees) < 3 * turn


def test_the_spread_of_a_pose_is_that_of_poses_from_noisy_corners(pinhole, look_at, lying):
    lens = Lens(SIZE, (600, 600), (320, 240))
    true = np.linalg.inv(lying) @ look_at((1.1, 0.1, 0.7), (0.55, 0.0, 0.0), 30.0)
    x, y = np.meshgrid(np.arange(1, BOARD.columns), np.arange(1, BOARD.rows))
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1) * BOARD.square
    seen = (points - true[:3, 3]) @ true[:3, :3]
    pixels = 600 * seen[:, :2] / seen[:, 2:] + (320, 240)
    rng, off, told = np.random.default_rng(0), [], []
    for _ in range(200):
        board = SeenBoard(SIZE, np.float32(points), np.float32(pixels + rng.normal(0.0, 0.3, pixels.shape)))
        found, error = camera_in_board(board, lens)
        off.append(apart(true, found))
        told.append(pose_spread(board, lens, found, error))
    measured = np.sqrt(np.mean(np.square(off), axis=0)) / (1e3, np.degrees(1.0))
    np.testing.assert_allclose(np.mean(told, axis=0), measured, rtol=0.15)


def test_large_images_are_reduced_and_corners_stay_where_they_are():
    side, edge = 270, 90
    image = np.pad(BOARD.drawn(side), ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
    seen = seen_board(image, BOARD, "it")
    np.testing.assert_allclose(seen.pixels, seen.board_points[:, :2] / BOARD.square * side + edge, atol=0.1)
    assert len(seen.pixels) == BOARD.corners


def test_corners_in_one_line_are_too_few(pinhole):
    image = np.pad(BOARD.drawn(40), ((60, 60), (60, 60), (0, 0)), constant_values=255)
    image[60 + 2 * 40 :] = 128  # two rows of squares are left
    with pytest.raises(ConfigError, match="of the board's 24 inner corners; 8 are needed"):
        seen_board(image, BOARD, "it")


def test_pose_and_field_of_view_of_a_camera_whose_lens_nobody_knows(pinhole, look_at, lying):
    camera = pinhole(look_at(*VIEWS[1][1:]), Lens(SIZE, (600, 600), (320, 240)))
    held = [np.eye(4) for _ in range(2)]  # in a hand, half a metre before the camera, tilted this way and that
    for pose, turn in zip(held, ((0.5, 0.4, 0.1), (-0.6, 0.3, 0.4)), strict=True):
        pose[:3, :3], pose[:3, 3] = rotvec_to_matrix(np.array(turn)), (-0.12, -0.08, 0.5)
    poses = [lying, *(camera.pose @ pose for pose in held)]
    boards = [seen_board(camera.draw(pose, noise=2.0), BOARD, "it") for pose in poses]
    lens, off, error = lens_of(boards, "it")
    assert lens.focal[0] == lens.focal[1] == pytest.approx(600, rel=0.005)
    assert lens.centre == (320, 240)
    assert 0 < off < 0.01
    assert error < 0.2
    millimetres, degrees = apart(camera.pose, lying @ camera_in_board(boards[0], lens)[0])
    assert millimetres < 2.0
    assert degrees < 0.3
    with pytest.raises(ConfigError, match="in 1 images, from which its lens cannot be told"):
        lens_of(boards[:1], "it")
    with pytest.raises(ConfigError, match="must have one size"):
        lens_of([*boards, SeenBoard((10, 10), boards[0].board_points, boards[0].pixels)], "it")
    flat = seen_board(camera.draw(camera.pose @ facing(), noise=2.0), BOARD, "it")
    with pytest.raises(ConfigError, match="faces the camera in all images"):
        lens_of([flat] * 3, "it")  # a plane that faces the camera: near, or far with a longer lens


def facing() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = (-0.126, -0.09, 0.6)
    return pose


@pytest.fixture(scope="module")
def whole(pinhole, look_at, lying) -> np.ndarray:
    return pinhole(look_at(*VIEWS[0][1:]), Lens(SIZE, (600, 600), (320, 240))).draw(lying)


def test_a_board_of_which_half_is_seen_still_tells_the_pose(pinhole, look_at, lying, whole):
    half = whole.copy()
    half[:, :330] = (90, 90, 90)  # something lies over it
    seen = seen_board(half, BOARD, "it")
    assert 8 <= len(seen.pixels) < BOARD.corners
    assert seen.pixels[:, 0].min() > 330  # nothing is made of what is covered
    lens = Lens(SIZE, (600, 600), (320, 240))
    millimetres, degrees = apart(look_at(*VIEWS[0][1:]), lying @ camera_in_board(seen, lens)[0])
    assert millimetres < 20  # fewer corners, close to each other
    assert degrees < 1.5


def test_images_that_show_too_little_are_refused_by_name(whole):
    little = whole.copy()
    little[:, :390] = (90, 90, 90)
    with pytest.raises(ConfigError, match=r"lab.png shows [0-7] of the board's 24 inner corners; 8 are needed"):
        seen_board(little, BOARD, "lab.png")
    with pytest.raises(ConfigError, match=r"lab.png shows 0 of"):
        seen_board(np.full((48, 64, 3), 90, np.uint8), BOARD, "lab.png")
    with pytest.raises(ConfigError, match=r"lab.png is mirrored"):
        seen_board(np.ascontiguousarray(whole[:, ::-1]), BOARD, "lab.png")


def test_boards_that_cannot_be(monkeypatch):
    for wrong in ({"columns": 2}, {"columns": 33, "rows": 33}, {"marker": 0.04}, {"marker": 0.0}):
        with pytest.raises(ConfigError, match="squares"):
            CharucoBoard(**wrong)
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"the camera check needs OpenCV.*opencv-python-headless"):
        BOARD.drawn(10)


def test_a_board_lies_face_up_where_it_is_said_to():
    pose = board_on_table(0.4, 0.1, 0.003, 90.0)
    ends = (pose @ np.array([[0.2, 0, 0, 1], [0, 0.1, 0, 1], [0, 0, 1, 1]]).T).T[:, :3]
    np.testing.assert_allclose(ends, [[0.4, 0.3, 0.003], [0.5, 0.1, 0.003], [0.4, 0.1, -0.997]], atol=1e-12)
    assert np.linalg.det(pose) == pytest.approx(1.0)


@pytest.mark.parametrize(("field", "change", "words"), [
    ("right", ((0, 0, 0), (0.03, 0, 0)), "move it 3.0 cm right"),
    ("up", ((0, 0, 0), (0, 0.02, 0)), "move it 2.0 cm down"),
    ("forward", ((0, 0, 0), (0, 0, -0.01)), "move it 1.0 cm back"),
    ("pan", ((0, np.radians(5), 0), (0, 0, 0)), "turn it 5.0 degrees to the right"),
    ("tilt", ((np.radians(-4), 0, 0), (0, 0, 0)), "turn it 4.0 degrees down"),
    ("roll", ((0, 0, np.radians(3)), (0, 0, 0)), "turn it 3.0 degrees clockwise"),
    (None, ((0, 0, 0), (0, 0, 0)), ""),
])  # fmt: skip
def test_what_to_move_is_said_as_seen_from_behind_the_camera(look_at, field, change, words):
    """x is right, y down, z forward in an image: turning towards +x is to the right, towards -y up."""
    now, wanted = look_at((1.0, 0.2, 0.6), (0.5, 0.0, 0.0)), np.eye(4)
    wanted[:3, :3], wanted[:3, 3] = rotvec_to_matrix(np.array(change[0], float)), change[1]
    move = Move.between(now, now @ wanted)
    assert move.words() == words
    others = [value for name, value in vars(move).items() if name != field]
    np.testing.assert_allclose(others, 0.0, atol=1e-9)


def test_moving_and_then_panning_tilting_and_rolling_ends_where_it_should(look_at):
    now, wanted = look_at((1.0, 0.2, 0.6), (0.5, 0, 0), 20), look_at((0.7, -0.1, 0.9), (0.4, 0.1, 0), -10)
    move = Move.between(now, wanted)
    there = now.copy()
    there[:3, 3] += now[:3, :3] @ np.array([move.right, -move.up, move.forward]) / 100
    for axis, angle in (((0, 1, 0), move.pan), ((1, 0, 0), move.tilt), ((0, 0, 1), move.roll)):
        there[:3, :3] = there[:3, :3] @ rotvec_to_matrix(np.radians(angle) * np.array(axis, float))
    np.testing.assert_allclose(there, wanted, atol=1e-9)
