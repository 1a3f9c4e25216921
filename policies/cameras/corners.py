"""Corners of a ChArUco board in an image: each is laid where the board, drawn as it should look there, fits best.

OpenCV finds the markers, and from them where the board lies. A corner's square and its parts of the markers are then
drawn as that place lets them look, and moved until they fit (Lucas and Kanade, 1981): so nothing that is known to be
there is taken for the corner's edges, as it is by a search for edges in boards that are seen from the side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Array, Float32, Image

if TYPE_CHECKING:
    from toyshift.policies.cameras.board import CharucoBoard

ENLARGED, LARGE = 3, 1400  # times, and the side of images that are large enough as they are [pixels]
MOST = 1400  # pixels of a side that are worth looking at: larger images are reduced
SAMPLES = 3  # of the drawn board per pixel and axis
SIDES = 12, 18, 24, 36, 60, 90, 180  # of a drawn square [pixels]: averaged from the last, as markers lie on whole ones
SOFT = 0.7  # blur of both before they are compared [pixels]
ROUNDS, MOVES = 3, 3  # how often the board is drawn anew, and corners are moved each time
FITS = 0.8  # share of the variance around a corner that the drawn board must explain
CONTRAST = 3.0  # standard deviation of the grey around a corner, below which nothing is seen there [of 255]
FARTHEST = 3.0  # from where the board puts a corner [pixels]
FEWEST_PIXELS, ENOUGH_PIXELS = 16, 10_000  # around a corner


def corners_of(cv2: Any, image: Image, board: CharucoBoard) -> tuple[Float32, Float32]:
    """Returns what is seen of a board: points in its frame (n, 3) [m] and pixels (n, 2).

    Args:
        cv2: OpenCV.
        image: (H, W, 3).
        board: what is looked for.
    """
    none = np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    whole = np.array([grey.shape[1], grey.shape[0]])
    if whole.max() > MOST:
        small = np.rint(whole * (MOST / whole.max())).astype(int)
        grey = cv2.resize(grey, tuple(small.tolist()), interpolation=cv2.INTER_AREA)
    scale = whole / (grey.shape[1], grey.shape[0])
    plane = _rough(cv2, grey, board)
    if plane is None:
        return none
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SOFT)
    pattern = board.drawn(SIDES[-1])[..., 0]
    columns, rows = np.meshgrid(np.arange(1, board.columns), np.arange(1, board.rows))
    points = np.stack([columns.ravel(), rows.ravel()], axis=1) * board.square  # (n, 2)
    for _ in range(ROUNDS):
        pixels, fits = _fitted(cv2, soft, pattern, board, plane, points)
        if fits.sum() < 4:
            return none
        plane, _ = cv2.findHomography(points[fits], pixels[fits], cv2.LMEDS)
        if plane is None:  # all in one line: they tell no plane
            return none
    found = np.concatenate([points, np.zeros((len(points), 1))], axis=1)[fits]
    return found.astype(np.float32), (pixels[fits] * scale).astype(np.float32)


def through(plane: Array, points: Array) -> Array:
    """Returns where a homography (3, 3) leads points (..., 2)."""
    there = points @ plane[:, :2].T + plane[:, 2]
    return np.asarray(there[..., :2] / there[..., 2:])


def _rough(cv2: Any, grey: Any, board: CharucoBoard) -> Array | None:
    """Returns the homography (3, 3) from the board's plane [m] to pixels that the markers' corners tell."""
    pattern = board.pattern(cv2)
    times = ENLARGED if max(grey.shape) < LARGE else 1  # small markers are found more often
    large = cv2.resize(grey, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    _, _, markers, numbers = cv2.aruco.CharucoDetector(pattern).detectBoard(large)
    if numbers is None or len(numbers) < 2:
        return None
    places = dict(zip(np.ravel(pattern.getIds()).tolist(), pattern.getObjPoints(), strict=True))
    known = [(places[n], marker) for n, marker in zip(np.ravel(numbers).tolist(), markers, strict=True) if n in places]
    points = np.concatenate([np.asarray(place)[:, :2] for place, _ in known])
    pixels = np.concatenate([(marker.reshape(-1, 2) + 0.5) / times for _, marker in known])
    found: Array | None = cv2.findHomography(points, pixels, cv2.LMEDS)[0]
    return found


def _fitted(
    cv2: Any, soft: Array, pattern: Image, board: CharucoBoard, plane: Array, points: Array
) -> tuple[Array, Any]:
    """Returns where corners fit best (n, 2) [pixels], and which do (n,)."""
    height, width = soft.shape
    expected = through(plane, points)
    ends = through(plane, np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * board.size)
    if not np.isfinite(ends).all():
        return expected, np.zeros(len(points), bool)
    low = np.maximum(np.floor(ends.min(axis=0).clip(-1, 1 << 20)).astype(int), 0)
    high = np.minimum(np.ceil(ends.max(axis=0).clip(-1, 1 << 20)).astype(int), (width, height))
    if not (low + 1 < high).all():
        return expected, np.zeros(len(points), bool)
    drawn = cv2.GaussianBlur(_drawn(cv2, pattern, board, plane, low, high), (0, 0), SOFT)
    down, across = np.gradient(drawn)
    columns, rows = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1)  # middles of the pixels (m, 2)
    looks = np.stack([drawn, np.ones_like(drawn), across, down], axis=2).reshape(-1, 4)
    column, row = np.rint(through(np.linalg.inv(plane), grid) / board.square).T  # of the corner next to each pixel
    inner = (column > 0) & (column < board.columns) & (row > 0) & (row < board.rows)
    nearest = np.where(inner, column - 1 + (row - 1) * (board.columns - 1), -1)  # as `points` are ordered
    found, fits = expected.copy(), np.zeros(len(points), bool)
    for i in range(len(points)):
        mine = np.flatnonzero(nearest == i)
        if len(mine) >= FEWEST_PIXELS:
            mine = mine[:: 1 + len(mine) // ENOUGH_PIXELS]
            move, fits[i] = _moved(cv2, soft, looks[mine], grid[mine])
            found[i] += move
    return found, fits


def _moved(cv2: Any, soft: Array, looks: Array, places: Array) -> tuple[Array, bool]:
    """Returns by how much what was drawn is to be moved to fit best (2,) [pixels], and whether it fits.

    Args:
        soft: image (H, W).
        looks: of pixels (m, 4): the drawn grey, 1, and the slopes of the grey along x and y. What is seen is taken for
            gain * grey + offset; moved by d, the grey is less by d times its slopes.
        places: of their middles (m, 2).
    """
    solve, move = np.linalg.pinv(looks), np.zeros(2)
    for _ in range(MOVES):
        where = (places + move - 0.5).astype(np.float32)
        seen = cv2.remap(soft, where[:, :1], where[:, 1:], cv2.INTER_CUBIC).ravel()
        weights = solve @ seen
        if not weights[0] > 0:
            return move, False
        move = move - weights[2:] / weights[0]
        if np.abs(move).max() > FARTHEST:
            return move, False
    spread = float(seen.std())
    return move, spread > CONTRAST and float((seen - looks @ weights).var()) < (1.0 - FITS) * spread**2


def _drawn(cv2: Any, pattern: Image, board: CharucoBoard, plane: Array, low: Array, high: Array) -> Array:
    """Returns the board as it looks in a part of an image, pixels `low` to `high`, x and y."""
    size = (high - low) * SAMPLES
    ends = through(plane, np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * board.size)
    wanted = SAMPLES * np.linalg.norm(np.diff(ends, axis=0), axis=1).max() / max(board.columns, board.rows)
    side = next(side for side in SIDES if side >= min(wanted, SIDES[-1]))
    shape = board.columns * side, board.rows * side
    pattern = cv2.resize(pattern, shape, interpolation=cv2.INTER_AREA)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV counts from the middle of the first pixel
    part = np.array([[SAMPLES, 0, -SAMPLES * low[0]], [0, SAMPLES, -SAMPLES * low[1]], [0, 0, 1.0]])
    whole = np.linalg.inv(half) @ part @ plane @ np.diag([board.square / side, board.square / side, 1.0]) @ half
    fine = cv2.warpPerspective(pattern, whole, tuple(size.tolist()), flags=cv2.INTER_LINEAR, borderValue=255)
    return np.asarray(cv2.resize(fine.astype(np.float32), tuple((high - low).tolist()), interpolation=cv2.INTER_AREA))
