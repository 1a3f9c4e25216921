"""Boards drawn by a pinhole camera whose pose and lens are known."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from toyshift.policies.cameras.board import CharucoBoard, board_on_table
from toyshift.policies.runtime.framing import Lens

BOARD = CharucoBoard()
FINE, SIDE = 4, 90  # samples per pixel and axis; pixels of a drawn square
TABLE, MARGIN = (170, 130, 90), 0.012  # colour; white around the pattern [m]


def looking(position, at, roll: float = 0.0) -> np.ndarray:
    """Returns the pose (4, 4) in the base frame of a camera that looks at a point, OpenCV axes; roll in degrees."""
    forward = np.subtract(at, position) / np.linalg.norm(np.subtract(at, position))
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    turn = np.radians(roll)
    down = np.cross(forward, right)
    pose[:3, 0] = np.cos(turn) * right + np.sin(turn) * down
    pose[:3, 1] = np.cos(turn) * down - np.sin(turn) * right
    pose[:3, 2], pose[:3, 3] = forward, position
    return pose


@dataclasses.dataclass(frozen=True, eq=False)
class Pinhole:
    """Draws what lies on the table z = 0 by the equations of a pinhole; nothing of the code under test is used."""

    pose: np.ndarray
    lens: Lens

    def draw(self, board_pose: np.ndarray, noise: float = 0.0) -> np.ndarray:
        pattern = BOARD.drawn(SIDE)
        edge = round(MARGIN / BOARD.square * SIDE)
        pattern = np.pad(pattern, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
        metre = BOARD.square / SIDE  # of a drawn pixel
        # texture (u, v), from its top left corner, to the board's plane, to the camera, to the fine image
        to_board = np.array([[metre, 0, -edge * metre], [0, metre, -edge * metre], [0, 0, 1.0]])
        to_camera = (np.linalg.inv(self.pose) @ board_pose)[:3][:, [0, 1, 3]]
        (fx, fy), (cx, cy) = self.lens.focal, self.lens.centre
        project = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        scale = np.diag([FINE, FINE, 1.0])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV counts from the middle of the first pixel
        whole = np.linalg.inv(half) @ scale @ project @ to_camera @ to_board @ half
        height, width = self.lens.size
        fine = cv2.warpPerspective(
            pattern, whole, (width * FINE, height * FINE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
            borderValue=TABLE,
        )
        image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        noisy = image + np.random.default_rng(0).normal(0.0, noise, image.shape)
        return noisy.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pinhole():
    return Pinhole


@pytest.fixture(scope="session")
def look_at():
    return looking


@pytest.fixture(scope="session")
def lying() -> np.ndarray:
    """Pose of a board on the table before the robot."""
    return board_on_table(0.45, 0.12, 0.002, -90.0)
