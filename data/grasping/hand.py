"""The geometry of an open hand of two fingers: its turns, where it is, what it meets when it comes down and closes."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.envs.robots import Gripper
from toyshift.envs.rotations import matrix_to_rotvec

TABLE_CLEARANCE = 0.003  # between finger tips and table [m]
PALM_CLEARANCE = 0.004  # between palm and object [m]
OPEN_MARGIN = 0.003  # between an open finger and the object [m]
OBSTACLE_CLEARANCE = 0.006  # between the hand and other objects [m]
CONTACT_DEPTH = 0.003  # surface this close to a finger counts as touched when it closes [m]
HAND_LENGTH = 0.10  # from the palm's face back to the flange [m]
HALF_TURN = np.array([-1.0, -1.0, 1.0])  # about the approach, after which a hand of two fingers is the same


# ---------------------------------------------------------------- turns


def yaw_of(rotation: Array) -> float:
    """Angle of the closing axis of a hand's rotation (3, 3) about the vertical [rad]."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def nearest_turn(rotation: Array, hand_yaw: float, symmetric: bool = True) -> tuple[Array, float]:
    """Returns a rotation or its half-turn, whichever turns the hand less about the vertical, and the turn [rad].

    Of a hand that is not `symmetric` the half-turn is another grasp: it keeps the rotation.
    """
    turn = (yaw_of(rotation) - hand_yaw + np.pi) % (2 * np.pi) - np.pi
    if not symmetric or abs(turn) <= np.pi / 2:
        return rotation, turn
    return rotation * HALF_TURN, turn - np.sign(turn) * np.pi


def nearest_rotation(rotation: Array, hand: Array) -> tuple[Array, float]:
    """Returns a rotation or its half-turn, whichever is nearer to the hand's, and the angle between them [rad]."""
    turns = [(r, float(np.linalg.norm(matrix_to_rotvec(r @ hand.T)))) for r in (rotation, rotation * HALF_TURN)]
    return min(turns, key=lambda pair: pair[1])


# ---------------------------------------------------------------- where it is


def hand_corners(gripper: Gripper) -> Array:
    """Returns corners (24, 3) of the open hand in its own frame: fingers and palm back to the flange [m]."""
    signs = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    half_finger, thickness = gripper.finger
    fingers = signs * [gripper.opening / 2 + thickness, half_finger]
    inner = signs * [gripper.opening / 2, half_finger]
    blocks = [(corners, depth) for depth in (gripper.tip_offset, gripper.palm_offset) for corners in (fingers, inner)]
    blocks += [(signs * gripper.palm, gripper.palm_offset - back) for back in (0.0, HAND_LENGTH)]
    return np.concatenate([np.column_stack([corners, np.full(4, depth)]) for corners, depth in blocks])


def lowest_corner(frames: Array, gripper: Gripper) -> Array:
    """Returns the height (k,) of the lowest corner of hands with rotations (k, 3, 3), above their site [m]."""
    return np.asarray((frames[:, 2] @ hand_corners(gripper).T).min(axis=1))


def in_the_way(points: Array, gripper: Gripper) -> NDArray[np.bool_]:
    """Whether each of k open hands meets one of its points (k, m, 3), in its frame [m], on the way to its site."""
    u, v, depth = np.abs(points[..., 0]), np.abs(points[..., 1]), points[..., 2]

    def at(half_u: float, half_v: float, front: float) -> NDArray[np.bool_]:
        inside = (u < half_u + OBSTACLE_CLEARANCE) & (v < half_v + OBSTACLE_CLEARANCE)
        return np.asarray(inside & (depth < front))

    half_finger, thickness = gripper.finger
    fingers = at(gripper.opening / 2 + thickness, half_finger, gripper.tip_offset)
    return np.asarray((fingers | at(*gripper.palm, gripper.palm_offset)).any(axis=-1))


# ---------------------------------------------------------------- closing


@dataclasses.dataclass(frozen=True)
class Closing:
    """What k open hands meet when they close, each (k,).

    Attributes:
        u: middle between the contacts along the closing axis [m].
        site: where the hand's site is along it [m]: there too, or, of a jaw, so that the finger that does not move
            stands beside its contact.
        width: distance between them [m].
        fits: whether there is something between the fingers that is narrower than the opening.
        hit: whether there is something where a finger is.
        count: surface samples at the pad that has fewer; 0 where it does not fit or hits.
        alignment: mean cosine between normals and closing axis, at the pad where it is less; likewise.
    """

    u: Array
    site: Array
    width: Array
    fits: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    count: Indices
    alignment: Array

    def good(self, min_alignment: float) -> NDArray[np.bool_]:
        """Which hands hold something."""
        return np.asarray(self.fits & ~self.hit & (self.count >= 2) & (self.alignment > min_alignment))

    def quality(self, i: int) -> float:
        """What hand i's hold is worth in a score."""
        return float(2.0 * self.alignment[i] + 0.05 * min(self.count[i], 12))


def close_hand(
    u: Array, v: Array, w: Array, nu: Array, u_guess: Array, v0: Array, w0: Array, gripper: Gripper
) -> Closing:
    """Closes k open hands on n surface points.

    Args:
        u, v, w: coordinates of the points along closing axis, across the fingers and up along the approach, (1, n) or
            (k, n) [m].
        nu: component of their normals along the closing axis, like u.
        u_guess, v0, w0: where the hands' sites are (k,) [m]; the first is corrected to the middle between the contacts.
        gripper: finger and pad geometry.
    """
    half_finger, thickness = gripper.finger
    half_opening = gripper.opening / 2
    near = np.abs(v - v0[:, None])  # (k, n)
    fingers = (near < half_finger + 0.001) & (w > (w0 - gripper.tip_offset - TABLE_CLEARANCE)[:, None])
    inner = fingers & (np.abs(u - u_guess[:, None]) < half_opening)
    some = inner.sum(axis=1) >= 6
    right = np.where(inner, u, -np.inf).max(axis=1)
    left = np.where(inner, u, np.inf).min(axis=1)
    with np.errstate(invalid="ignore"):
        u0, width = 0.5 * (left + right), right - left
    some &= np.isfinite(width) & (width < gripper.opening - 2 * OPEN_MARGIN)
    u0 = np.where(some, u0, 0.0)
    site = u0
    if not gripper.symmetric:
        site = np.where(some, left - gripper.room_beside(np.where(some, width, 0.0)) + half_opening, 0.0)
    reach = np.abs(u - site[:, None])
    hit = (fingers & (reach > half_opening - OPEN_MARGIN) & (reach < half_opening + thickness)).any(axis=1)
    count, alignment = np.zeros(len(v0), dtype=np.int64), np.zeros(len(v0))
    rows = np.flatnonzero(some & ~hit)  # mostly few: only there is it looked at what the pads touch
    u, v, w, nu = (values if len(values) == 1 else values[rows] for values in (u, v, w, nu))
    pads = inner[rows] & (np.abs(w - (w0[rows] - gripper.pad_offset)[:, None]) < gripper.pad[1])
    pads &= near[rows] < gripper.pad[0] + 0.002
    on_right = pads & (u > (right[rows] - CONTACT_DEPTH)[:, None])
    on_left = pads & (u < (left[rows] + CONTACT_DEPTH)[:, None])
    count[rows] = np.minimum(on_right.sum(axis=1), on_left.sum(axis=1))
    alignment[rows] = np.minimum(mean_where(nu, on_right), mean_where(-nu, on_left))
    return Closing(u0, site, width, some, hit, count, alignment)


def mean_where(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Returns the means (k,) of values (n,) or (k, n) where the mask (k, n) is True, 0 where it never is."""
    return np.asarray((values * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
