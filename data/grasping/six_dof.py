"""Antipodal grasps with six degrees of freedom: any closing axis, any approach about it that table, clutter and arm allow."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import GraspError
from toyshift.data.grasping.top_down import (
    OPEN_MARGIN,
    PALM_CLEARANCE,
    TABLE_CLEARANCE,
    Closing,
    Grasp,
    SurfaceSamples,
    close_hand,
    in_the_way,
)
from toyshift.envs.control.kinematics import InverseKinematics
from toyshift.envs.robots import Gripper
from toyshift.envs.rotations import matrix_to_rotvec

Array = NDArray[np.float64]

HAND_LENGTH = 0.10  # from the palm's face back to the flange [m]
COARSE = 10  # of so many surface points, one for a first look
UPPER = 0.7  # where an object's upper part begins, as a share of its height
PARTNER_RADIUS = 0.006  # around the line of closing in which the opposite contact is looked for [m]
AT_ONCE = 50  # contacts whose partners are looked for together: what is enough ends the search
IK_ITERATIONS, IK_AT_ONCE = 25, 5  # most, and how many before it is looked whether the pose is reached
REACHED = 0.004, 0.03  # what counts as the same pose [m], [rad]


@dataclasses.dataclass(frozen=True)
class SixDofConfig:
    """How many grasps are tried and what makes one better.

    Attributes:
        points: surface samples per object; dense, because a rim or a handle is a small part of it.
        picks: surface points from which closing starts.
        pairs: most of them, of those with a partner and room above the table, that are tried.
        approaches: approach directions about each closing axis.
        retreats: how far before the contacts' middle the pads stay [m]: to hold an edge with the tips.
        looked_at: most frames that are examined on all points.
        largest_tilt: of the approach from straight down [rad]; more than a right angle comes from below.
        cone: half angle in which the closing axis is drawn about the contact's normal [rad].
        min_alignment: least cosine between contact normals and closing axis.
        off_centre: score per metre of horizontal distance between grasp and centre of mass.
        tilt: score per radian of tilt: a hand from above has the most room.
        turn: score per radian between the hand's rotation at home and in the grasp.
        checked: grasps, best first, whose reach is looked at.
    """

    points: int = 4000
    picks: int = 400
    pairs: int = 80
    approaches: int = 7
    retreats: tuple[float, ...] = (0.0, 0.006)
    looked_at: int = 160
    largest_tilt: float = 1.4
    cone: float = 0.3
    min_alignment: float = 0.8
    off_centre: float = 12.0
    tilt: float = 0.7
    turn: float = 0.3
    checked: int = 10


def plan_six_dof(
    samples: SurfaceSamples, position: Array, rotation: Array, com: Array, gripper: Gripper, home: Array, rng: np.random.Generator,
    config: SixDofConfig = SixDofConfig(), obstacles: Array | None = None,
) -> list[Grasp]:
    """Returns feasible grasps, best first; whether an arm reaches them is for `reachable` to say.

    Args:
        samples: the object's surface.
        position, rotation: pose of the object's frame in the base frame (table at z = 0) [m].
        com: (3,) centre of mass in the base frame [m].
        gripper: finger, pad and palm geometry.
        home: (3, 3) rotation of the hand at home; of a grasp and its half-turn, the nearer is returned.
        rng: draws the places that are tried.
        config: planner settings.
        obstacles: points (m, 3) in the base frame that neither fingers nor palm may meet, there or on the way along the approach [m].

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    points = samples.points @ rotation.T + position
    normals = samples.normals @ rotation.T
    centres, closing = antipodal(points, normals, gripper, rng, config)
    which, frames = hand_frames(closing, config)
    which, frames = np.tile(which, len(config.retreats)), np.tile(frames, (len(config.retreats), 1, 1))
    retreat = np.repeat(config.retreats, len(which) // len(config.retreats))
    grasps = _feasible(points, normals, centres[which] - retreat[:, None] * frames[:, :, 2], frames, com, gripper, home, config, obstacles) if len(which) else []
    if not grasps:
        raise GraspError(f"no feasible 6-DoF grasp among {len(which)} tries at {config.picks} places")
    return sorted(grasps, key=lambda grasp: -grasp.score)


def antipodal(points: Array, normals: Array, gripper: Gripper, rng: np.random.Generator, config: SixDofConfig) -> tuple[Array, Array]:
    """Draws contacts and their partners across the object.

    Returns:
        centres (k, 3) between the two contacts [m] and unit closing axes (k, 3).
    """
    picks = rng.integers(len(points), size=config.picks)
    # every other one in the object's upper part, which a hand reaches best: knobs, rims, handles
    upper = np.flatnonzero(points[:, 2] > points[:, 2].min() + UPPER * np.ptp(points[:, 2]))
    picks[::2] = upper[rng.integers(len(upper), size=len(picks[::2]))]
    closing = -normals[picks] + np.tan(config.cone) * rng.standard_normal((config.picks, 3)) / 3
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    centres, axes, found = [], [], 0
    for part in np.array_split(np.arange(config.picks), max(1, config.picks // AT_ONCE)):
        across = _across(points, normals, points[picks[part]], closing[part], gripper, config)
        some = np.flatnonzero(np.isfinite(across))
        middle = points[picks[part[some]]] + 0.5 * across[some, None] * closing[part[some]]
        # whatever the approach, the open fingers stand on either side of the contacts
        room = middle[:, 2] - np.abs(closing[part[some], 2]) * (gripper.opening / 2 + gripper.finger[1]) > 0
        centres.append(middle[room])
        axes.append(closing[part[some[room]]])
        found += int(room.sum())
        if found >= config.pairs:
            break
    return np.concatenate(centres)[: config.pairs], np.concatenate(axes)[: config.pairs]


def _across(points: Array, normals: Array, contacts: Array, closing: Array, gripper: Gripper, config: SixDofConfig) -> Array:
    """How far the nearest partner of each contact (k, 3) is along its closing axis (k, 3), inf where there is none [m]."""
    along = closing @ points.T - (closing * contacts).sum(axis=1)[:, None]  # (k, n)
    row, column = np.nonzero((along > 0.001) & (along < gripper.opening - 2 * OPEN_MARGIN) & (closing @ normals.T > config.min_alignment))
    depth = along[row, column]
    beside = ((points[column] - contacts[row]) ** 2).sum(axis=1) - depth**2
    near = beside < PARTNER_RADIUS**2
    across = np.full(len(contacts), np.inf)
    np.minimum.at(across, row[near], depth[near])
    return across


def hand_frames(closing: Array, config: SixDofConfig) -> tuple[NDArray[np.int64], Array]:
    """Returns hand rotations (m, 3, 3) about closing axes (k, 3), and which axis each belongs to (m,); none comes from too far below."""
    down = np.array([0.0, 0.0, -1.0])
    steepest = down - (closing @ down)[:, None] * closing
    # about a vertical axis every approach is as level: start from the one that leads away from the robot
    steepest = np.where(np.linalg.norm(steepest, axis=1, keepdims=True) < 0.1, np.array([1.0, 0.0, 0.0]), steepest)
    steepest -= (steepest * closing).sum(axis=1, keepdims=True) * closing
    steepest /= np.linalg.norm(steepest, axis=1, keepdims=True)
    side = np.cross(closing, steepest)
    angles = np.linspace(-1.0, 1.0, config.approaches)[:, None, None] * config.largest_tilt
    z = np.cos(angles) * steepest + np.sin(angles) * side  # (a, k, 3)
    x = np.broadcast_to(closing, z.shape)
    frames = np.stack([x, np.cross(z, x), z], axis=3).reshape(-1, 3, 3)
    kept = frames[:, 2, 2] < -np.cos(config.largest_tilt) + 1e-9
    return np.tile(np.arange(len(closing)), config.approaches)[kept], frames[kept]


def hand_corners(gripper: Gripper) -> Array:
    """Returns corners (24, 3) of the open hand in its own frame: fingers and palm back to the flange [m]."""
    signs = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    half_finger, thickness = gripper.finger
    fingers, inner = signs * [gripper.opening / 2 + thickness, half_finger], signs * [gripper.opening / 2, half_finger]
    blocks = [(fingers, gripper.tip_offset), (inner, gripper.tip_offset), (fingers, gripper.palm_offset), (inner, gripper.palm_offset)]
    blocks += [(signs * gripper.palm, gripper.palm_offset), (signs * gripper.palm, gripper.palm_offset - HAND_LENGTH)]
    return np.concatenate([np.column_stack([corners, np.full(4, depth)]) for corners, depth in blocks])


def _feasible(
    points: Array, normals: Array, centres: Array, frames: Array, com: Array, gripper: Gripper, home: Array, config: SixDofConfig, obstacles: Array | None
) -> list[Grasp]:
    """The grasps, of those tried, whose hand meets neither object nor table nor obstacles, and whose pads touch on both sides."""
    # what is not clear of a few of the points is not clear of all: most frames need no closer look
    few = _hands(points[::COARSE], normals[::COARSE], centres, frames, gripper)
    kept = np.flatnonzero(few[2] & ~few[0].hit)
    if not len(kept):
        return []
    kept = kept[:: -(-len(kept) // config.looked_at)]
    centres, frames = centres[kept], frames[kept]
    close, site, clear = _hands(points, normals, centres, frames, gripper)
    good = close.good(config.min_alignment) & clear
    if obstacles is not None and len(obstacles):
        for i in np.flatnonzero(good):
            beside = (obstacles - site[i]) @ frames[i] * np.array([1.0, 1.0, -1.0])
            good[i] = not in_the_way(beside, np.zeros(1), np.zeros(1), np.zeros(1), gripper)[0]
    return [_grasp(i, site, frames, close, com, home, config) for i in np.flatnonzero(good)]


def _hands(points: Array, normals: Array, centres: Array, frames: Array, gripper: Gripper) -> tuple[Closing, Array, NDArray[np.bool_]]:
    """Closes hands (k) about centres (k, 3); returns what they meet, their sites (k, 3), and whether they keep clear of the table and reach the contacts."""
    local = np.einsum("kni,kij->knj", points[None] - centres[:, None], frames, optimize=True)
    u, v, w = local[..., 0], local[..., 1], -local[..., 2]
    nothing = np.zeros(len(centres))
    palm = (np.abs(v) < gripper.palm[1]) & (np.abs(u) < gripper.palm[0])
    under_palm = np.where(palm, w, -np.inf).max(axis=1)
    corners = centres[:, 2] + (frames[:, 2] @ hand_corners(gripper).T).min(axis=1)  # lowest of the hand, were its site there [m]
    with np.errstate(divide="ignore"):
        over_table = np.where(frames[:, 2, 2] < 0, (TABLE_CLEARANCE + 1e-6 - corners) / -frames[:, 2, 2], np.inf)
    # of the site above the contacts: the pads there, the palm clear of the object, all of the hand clear of the table
    height = np.maximum(np.maximum(gripper.pad_offset, under_palm + gripper.palm_offset + PALM_CLEARANCE), over_table)
    height = np.minimum(height, 1.0)
    close = close_hand(u, v, w, frames[:, :, 0] @ normals.T, nothing, nothing, height, gripper)
    site = centres + np.einsum("kij,kj->ki", frames, np.column_stack([close.u, nothing, -height]))
    lowest = site[:, 2] + corners - centres[:, 2]  # closing has moved it sideways
    return close, site, (lowest > TABLE_CLEARANCE - 0.001) & (height < gripper.pad_offset + gripper.pad[1])


def _grasp(i: int, site: Array, frames: Array, close: Closing, com: Array, home: Array, config: SixDofConfig) -> Grasp:
    turned = frames[i] * np.array([-1.0, -1.0, 1.0])
    rotation, turn = min(((r, float(np.linalg.norm(matrix_to_rotvec(r @ home.T)))) for r in (frames[i], turned)), key=lambda pair: pair[1])
    offset = float(np.hypot(*(site[i] - com)[:2]))
    tilt = float(np.arccos(np.clip(-rotation[2, 2], -1.0, 1.0)))
    score = 2.0 * close.alignment[i] + 0.05 * min(close.count[i], 12) - config.off_centre * offset - config.tilt * tilt - config.turn * turn
    return Grasp(site[i], rotation, float(close.width[i]), float(score), float(close.alignment[i]))


def reachable(grasp: Grasp, ik: InverseKinematics, joints: Array, standoff: float, lift: float) -> bool:
    """Whether an arm whose joints are at `joints` (n,) [rad] gets to a grasp from `standoff` before it and `lift` above it [m]."""
    for position in (grasp.position - standoff * grasp.rotation[:, 2], grasp.position, grasp.position + np.array([0.0, 0.0, lift])):
        for _ in range(IK_ITERATIONS // IK_AT_ONCE):
            joints = ik.solve(joints, position, grasp.rotation, IK_AT_ONCE)
            there, rotation = ik.forward(joints)
            if np.linalg.norm(there - position) < REACHED[0] and np.linalg.norm(matrix_to_rotvec(rotation @ grasp.rotation.T)) < REACHED[1]:
                break
        else:
            return False
    return True
