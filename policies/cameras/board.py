"""A ChArUco board: how it is drawn, and where a camera that sees it stands.

Pixel coordinates begin at the image's top left corner, as everywhere here; OpenCV's begin in the middle of the first
pixel. The board's frame: origin at the printed pattern's top left corner, x along its top edge, y down its left edge, z
into the board.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Float32, Image
from toyshift.core.errors import ConfigError
from toyshift.policies.cameras.corners import corners_of
from toyshift.policies.opencv import opencv
from toyshift.policies.runtime.framing import Lens

WHAT = "the camera check"
FEWEST = 8  # corners from which a pose is told
MOST_CORNERS = 50  # markers of the dictionary
FOCAL_OFF = 0.01  # relative standard deviation of the focal length, above which the images do not tell it
LEAST_IMAGES = 3  # of a board, to tell the lens: of one board that faces the camera nobody knows how far it is
LEAST_TILT = 15.0  # of at least one board against the image [deg]
UNCERTAIN = 0.001, 0.15  # standard deviations of a camera's place [m] and turn [deg]: half of what it may be off
LEAST_OFF = 0.05  # of corners [pixels], however well they fit
CENTRE_FROM = 4  # images from which on the principal point is estimated too


@dataclasses.dataclass(frozen=True)
class CharucoBoard:
    """Squares of a chessboard, the white ones with ArUco markers (4 x 4 bits) in them.

    Attributes:
        columns, rows: number of squares.
        square, marker: sides [m].
    """

    columns: int = 7
    rows: int = 5
    square: float = 0.036
    marker: float = 0.024

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 3 or self.columns * self.rows > 2 * MOST_CORNERS:
            told = f"a board of {self.columns} x {self.rows} squares"
            raise ConfigError(f"{told}; each side must have 3 at least, and all together {2 * MOST_CORNERS} at most")
        if not 0 < self.marker < self.square:
            raise ConfigError(f"markers of {self.marker} m in squares of {self.square} m; they must be smaller")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the pattern [m]."""
        return self.columns * self.square, self.rows * self.square

    @property
    def corners(self) -> int:
        """Number of inner corners, which are what is measured."""
        return (self.columns - 1) * (self.rows - 1)

    def pattern(self, cv2: Any) -> Any:
        """Returns OpenCV's board."""
        words = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, words)

    def drawn(self, side: int) -> Image:
        """Returns the pattern as an image (H, W, 3), without a margin; `side` is a square's [pixels]."""
        cv2 = opencv(WHAT)
        grey = self.pattern(cv2).generateImage((self.columns * side, self.rows * side), marginSize=0, borderBits=1)
        return np.repeat(np.asarray(grey, dtype=np.uint8)[..., None], 3, axis=2)


@dataclasses.dataclass(frozen=True, eq=False)
class SeenBoard:
    """Inner corners of a board that an image shows.

    Attributes:
        size: of the image, height and width [pixels].
        board_points: (n, 3) in the board's frame [m].
        pixels: (n, 2) x and y in the image.
    """

    size: tuple[int, int]
    board_points: Float32
    pixels: Float32


def seen_board(image: Image, board: CharucoBoard, where: str) -> SeenBoard:
    """Finds a board, of which a part may lie outside or be hidden.

    Args:
        image: (H, W, 3).
        board: what is looked for.
        where: name of the image, for errors.

    Raises:
        ConfigError: it shows fewer than FEWEST inner corners, or the image is mirrored.
    """
    cv2 = opencv(WHAT)
    found = corners_of(cv2, image, board)
    if len(found[0]) < FEWEST:
        mirrored = len(corners_of(cv2, np.ascontiguousarray(image[:, ::-1]), board)[0])
        if mirrored >= FEWEST:
            raise ConfigError(f"{where} is mirrored: its mirror image shows the board; switch the mirroring off")
        told = f"{where} shows {len(found[0])} of the board's {board.corners} inner corners; {FEWEST} are needed"
        shape = f"{board.columns} x {board.rows} squares"
        raise ConfigError(f"{told}: is it this board ({shape}), flat, sharp, and for the most part in view?")
    return SeenBoard((image.shape[0], image.shape[1]), found[0], found[1])


def lens_of(boards: Sequence[SeenBoard], where: str) -> tuple[Lens, float, float]:
    """Estimates a pinhole without distortion from boards, as Zhang (2000) does: square pixels, and with fewer than
    CENTRE_FROM images the principal point in the middle.

    Returns:
        lens, the relative standard deviation of its focal length, and the mean distance of corners from where it puts
        them [pixels].

    Raises:
        ConfigError: there are fewer than LEAST_IMAGES, they have different sizes, or do not tell the focal length.
    """
    cv2 = opencv(WHAT)
    others = "give further images, with the board tilted by 30 degrees or more this way and that, or --lens"
    if len(boards) < LEAST_IMAGES:
        told = f"{where} is shown in {len(boards)} images, from which its lens cannot be told"
        raise ConfigError(f"{told} ({LEAST_IMAGES} are needed): {others}")
    sizes = {board.size for board in boards}
    if len(sizes) != 1:
        raise ConfigError(f"{where}: images of one camera must have one size, got {sorted(sizes)}")
    height, width = sizes.pop()
    start = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_ASPECT_RATIO | cv2.CALIB_ZERO_TANGENT_DIST
    flags |= cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
    flags |= cv2.CALIB_FIX_PRINCIPAL_POINT if len(boards) < CENTRE_FROM else 0
    error, matrix, _, turns, _, spread, _, _ = cv2.calibrateCameraExtended(
        [board.board_points for board in boards], [board.pixels for board in boards], (width, height), start, None,
        flags=flags,
    )  # fmt: skip
    off = float(spread[1, 0] / matrix[1, 1])  # with a fixed ratio OpenCV varies fy
    tilts = [np.degrees(np.arccos(np.clip(abs(cv2.Rodrigues(turn)[0][2, 2]), 0, 1))) for turn in turns]
    if max(tilts) < LEAST_TILT:
        told = f"{where} faces the camera in all images (tilted by {max(tilts):.0f} degrees at most)"
        raise ConfigError(f"{told}, and may as well be nearer before a wider lens: {others}")
    if not 0 < off <= FOCAL_OFF:
        told = f"{where} tells the focal length to {100 * off:.1f} % only"
        raise ConfigError(f"{told} ({100 * FOCAL_OFF:g} % is needed): {others}")
    return Lens.of(matrix, (height, width)), off, float(error)


def camera_in_board(seen: SeenBoard, lens: Lens) -> tuple[Array, float]:
    """Returns the pose (4, 4) of the camera in the board's frame, OpenCV axes [m], and the mean distance of corners
    from where it puts them [pixels].
    """
    cv2 = opencv(WHAT)
    (fx, fy), (cx, cy) = lens.focal, lens.centre
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    how = {"flags": cv2.SOLVEPNP_IPPE}  # the two poses from which a plane looks nearly alike, the better one first
    _, turns, moves, _ = cv2.solvePnPGeneric(seen.board_points, seen.pixels, matrix, None, **how)
    turn, move = cv2.solvePnPRefineLM(seen.board_points, seen.pixels, matrix, None, turns[0], moves[0])
    there, _ = cv2.projectPoints(seen.board_points, turn, move, matrix, None)
    error = float(np.sqrt(((there.reshape(-1, 2) - seen.pixels) ** 2).sum(1).mean()))
    to_camera = np.eye(4)
    to_camera[:3, :3], to_camera[:3, 3] = cv2.Rodrigues(turn)[0], np.ravel(move)
    return np.asarray(np.linalg.inv(to_camera)), error


def pose_spread(seen: SeenBoard, lens: Lens, pose: Array, error: float) -> tuple[float, float]:
    """Returns the standard deviations of a camera's place [m] and of its turn [rad] that its corners leave.

    To first order (sigma^2 (J^T J)^-1 for corners that are off independently), so it knows nothing of a lens that
    distorts or of a board that is bent.

    Args:
        seen, lens: as of `camera_in_board`.
        pose, error: what it returned.
    """
    cv2 = opencv(WHAT)
    (fx, fy), (cx, cy) = lens.focal, lens.centre
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    to_camera = np.linalg.inv(pose)
    turn = cv2.Rodrigues(to_camera[:3, :3])[0]
    _, slopes = cv2.projectPoints(seen.board_points, turn, to_camera[:3, 3], matrix, None)
    # of the camera: place -R^T t, so that a step of t moves it as far, and one of the turn swings it about the board
    rotation, by_turn = cv2.Rodrigues(turn)
    by_turn = by_turn.reshape(3, 3, 3)  # slopes of R: by entry of the rotation vector, row, column
    swing = -np.einsum("kij,i->jk", by_turn, to_camera[:3, 3])
    place = np.concatenate([swing, -rotation.T], axis=1)  # (3, 6)
    turned = by_turn @ rotation.T  # skew matrices: how fast the camera turns
    angles = np.stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]])  # (3, 3)
    spread = np.linalg.inv(slopes[:, :6].T @ slopes[:, :6]) * max(error, LEAST_OFF) ** 2 / 2  # by axis of the image
    shares = (place @ spread @ place.T, angles @ spread[:3, :3] @ angles.T)
    return float(np.sqrt(np.trace(shares[0]))), float(np.sqrt(np.trace(shares[1])))


def tells_little(place: float, turn: float) -> bool:
    """Whether a pose with these standard deviations, as of `pose_spread`, may be off by more than 2 mm or 0.3 degrees.
    """
    return place > UNCERTAIN[0] or float(np.degrees(turn)) > UNCERTAIN[1]


def board_on_table(x: float, y: float, z: float, yaw: float) -> Array:
    """Returns the pose (4, 4) in the robot's base frame of a board that lies face up.

    Args:
        x, y, z: of the pattern's top left corner [m].
        yaw: of its top edge, from the base's x axis towards y [deg].
    """
    cosine, sine = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    pose = np.eye(4)
    pose[:3, :3] = np.array([[cosine, sine, 0.0], [sine, -cosine, 0.0], [0.0, 0.0, -1.0]])
    pose[:3, 3] = x, y, z
    return pose
