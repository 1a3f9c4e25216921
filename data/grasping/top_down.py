"""Antipodal grasps for a parallel gripper, planned on samples of the object's surface with the gripper's geometry."""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.errors import GraspError
from toyshift.envs.robots import Gripper

Array = NDArray[np.float64]

TABLE_CLEARANCE = 0.003  # between finger tips and table [m]
PALM_CLEARANCE = 0.004  # between palm and object [m]
OPEN_MARGIN = 0.003  # between an open finger and the object [m]
OBSTACLE_CLEARANCE = 0.006  # between the hand and other objects [m]
CONTACT_DEPTH = 0.003  # surface this close to a finger counts as touched when it closes [m]
UNDER_TABLE = 0.012  # tips of a tilted hand that were to be deeper than this are stopped by the table before it counts as there [m]


@dataclasses.dataclass(frozen=True)
class PlannerConfig:
    """How many grasps are tried and what makes one better.

    Attributes:
        points: surface samples per object.
        yaws: closing directions between 0 and 180 degrees.
        tries: places per closing direction.
        tilts: angles between the approach and straight down, about the closing axis [rad].
        min_alignment: least cosine between contact normals and closing axis (friction cone of about 40 degrees).
        off_centre: score per metre of distance between grasp and centre of mass.
        turn: score per radian of turn from the hand's yaw at home. Strong: of the many grasps that would hold, the one with the
            least turn is a choice that an imitator can see; a choice by small differences of quality looks random to it.
    """

    points: int = 1200
    yaws: int = 18
    tries: int = 24
    tilts: tuple[float, ...] = (0.0,)
    min_alignment: float = 0.72
    off_centre: float = 12.0
    turn: float = 3.0


@dataclasses.dataclass(frozen=True)
class Grasp:
    """A hand pose for closing.

    Attributes:
        position: (3,) of the gripper's site, base frame [m].
        rotation: (3, 3), gripper to base frame; x closes, z approaches.
        width: distance between the fingers at contact [m].
        score: larger is better.
        alignment: mean cosine between the contacts' normals and the closing axis, at the finger where it is less.
        precise: whether the open fingers barely clear the object, so that the hand must be where it is planned before it comes down.
    """

    position: Array
    rotation: Array
    width: float
    score: float
    alignment: float = 1.0
    precise: bool = False


class SurfaceSamples:
    """Points (n, 3) and outward normals (n, 3) of an object's surface, object frame; the same for the same object."""

    def __init__(self, mesh: trimesh.Trimesh, count: int) -> None:
        rng = np.random.default_rng(0)
        points, faces = trimesh.sample.sample_surface(mesh, count, seed=rng)
        self.points = np.asarray(points, dtype=np.float64)
        self.normals = np.asarray(mesh.face_normals[faces], dtype=np.float64)


def plan_grasps(
    samples: SurfaceSamples, position: Array, rotation: Array, com: Array, gripper: Gripper, hand_yaw: float,
    rng: np.random.Generator, config: PlannerConfig = PlannerConfig(), obstacles: Array | None = None,
) -> list[Grasp]:
    """Returns feasible grasps, best first.

    Args:
        samples: the object's surface.
        position, rotation: pose of the object's frame in the base frame (table at z = 0) [m].
        com: (3,) centre of mass in the base frame [m].
        gripper: finger, pad and palm geometry.
        hand_yaw: angle of the closing axis about the vertical [rad]; grasps near it are preferred.
        rng: draws the places that are tried.
        config: planner settings.
        obstacles: points (m, 3) in the base frame that neither fingers nor palm may meet, there or on the way down [m].

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    points = samples.points @ rotation.T + position
    normals = samples.normals @ rotation.T
    grasps: list[Grasp] = []
    for tilt in config.tilts:
        for yaw in (np.arange(config.yaws) + rng.random()) * np.pi / config.yaws:
            grasps += _along(points, normals, com, _hand_rotation(yaw, tilt), gripper, hand_yaw, rng, config, obstacles)
    if not grasps:
        raise GraspError(f"no feasible grasp among {len(config.tilts) * config.yaws * config.tries} tries")
    return sorted(grasps, key=lambda grasp: -grasp.score)


def _hand_rotation(yaw: float, tilt: float) -> Array:
    """Hand rotation whose closing axis x lies horizontally at `yaw` and whose approach axis z points down, tilted about x."""
    x = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    side = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    z = -np.cos(tilt) * np.array([0, 0, 1.0]) + np.sin(tilt) * side
    return np.stack([x, np.cross(z, x), z], axis=1)


def nearest_turn(rotation: Array, hand_yaw: float) -> tuple[Array, float]:
    """Returns the grasp's rotation or its half-turn about the approach, whichever is nearer to the hand, and the turn [rad]."""
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    turn = (yaw - hand_yaw + np.pi) % (2 * np.pi) - np.pi
    if abs(turn) <= np.pi / 2:
        return rotation, turn
    flipped = rotation * np.array([-1.0, -1.0, 1.0])
    return flipped, turn - np.sign(turn) * np.pi


def _along(
    points: Array, normals: Array, com: Array, rotation: Array, gripper: Gripper, hand_yaw: float, rng: np.random.Generator, config: PlannerConfig,
    obstacles: Array | None,
) -> list[Grasp]:
    """Tries one hand orientation at several places; axes: u closing, v across the fingers, w up along the approach."""
    u, v, w = points @ rotation[:, 0], points @ rotation[:, 1], -points @ rotation[:, 2]
    nu = normals @ rotation[:, 0]
    picks = rng.integers(len(points), size=config.tries)
    half_finger, half_opening = gripper.finger[0], gripper.opening / 2
    v0 = v[picks]  # (k,)
    near = np.abs(v[None] - v0[:, None])  # (k, n)
    # the middle between the fingers, first guess: the picked point is touched by the finger its normal faces
    side = np.sign(nu[picks])
    slab = near < half_finger + 0.001
    u_guess = u[picks] - side * 0.5 * _thickness(u, slab, picks, side, half_opening)
    palm = (near < gripper.palm[1]) & (np.abs(u[None] - u_guess[:, None]) < gripper.palm[0])
    top_under_palm = np.where(palm, w[None], -np.inf).max(axis=1)
    lowest = np.maximum(gripper.tip_offset + TABLE_CLEARANCE, top_under_palm + gripper.palm_offset + PALM_CLEARANCE)
    # site heights: the lowest possible, or the picked point at the pads, whichever is higher
    w0 = np.maximum(lowest, np.minimum(w[picks] + gripper.pad_offset, com[2] + 0.01))
    close = close_hand(u[None], v[None], w[None], nu[None], u_guess, v0, w0, gripper)
    u0, width, count, alignment = close.u, close.width, close.count, close.alignment
    good = close.good(config.min_alignment)
    # `lowest` is along the approach: of a tilted hand, that is not the height above the table
    tips = u0 * rotation[2, 0] + v0 * rotation[2, 1] + (gripper.tip_offset - w0) * rotation[2, 2] - half_finger * abs(rotation[2, 1])
    good &= tips > -UNDER_TABLE
    if obstacles is not None and len(obstacles):
        good &= ~in_the_way(obstacles @ rotation * np.array([1.0, 1.0, -1.0]), u0, v0, w0, gripper)
    grasps = []
    for i in np.flatnonzero(good):
        site = rotation @ np.array([u0[i], v0[i], -w0[i]])
        offset = np.hypot(com @ rotation[:, 0] - u0[i], com @ rotation[:, 1] - v0[i])
        chosen, turn = nearest_turn(rotation, hand_yaw)
        above = max(0.0, w0[i] + com @ rotation[:, 2] - 0.02)  # high above the centre of mass, objects swing
        score = 2.0 * alignment[i] + 0.05 * min(count[i], 12) - config.off_centre * offset - 4.0 * above - config.turn * abs(turn)
        grasps.append(Grasp(site, chosen, float(width[i]), float(score), float(alignment[i])))
    return grasps


@dataclasses.dataclass(frozen=True)
class Closing:
    """What k open hands meet when they close, each (k,).

    Attributes:
        u: middle between the contacts along the closing axis [m].
        width: distance between them [m].
        fits: whether there is something between the fingers that is narrower than the opening.
        hit: whether there is something where a finger is.
        count: surface samples at the pad that has fewer; 0 where it does not fit or hits.
        alignment: mean cosine between normals and closing axis, at the pad where it is less; likewise.
    """

    u: Array
    width: Array
    fits: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    count: NDArray[np.int64]
    alignment: Array

    def good(self, min_alignment: float) -> NDArray[np.bool_]:
        """Which hands hold something."""
        return np.asarray(self.fits & ~self.hit & (self.count >= 2) & (self.alignment > min_alignment))


def close_hand(u: Array, v: Array, w: Array, nu: Array, u_guess: Array, v0: Array, w0: Array, gripper: Gripper) -> Closing:
    """Closes k open hands on n surface points.

    Args:
        u, v, w: coordinates of the points along closing axis, across the fingers and up along the approach, (1, n) or (k, n) [m].
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
    reach = np.abs(u - u0[:, None])
    hit = (fingers & (reach > half_opening - OPEN_MARGIN) & (reach < half_opening + thickness)).any(axis=1)
    count, alignment = np.zeros(len(v0), dtype=np.int64), np.zeros(len(v0))
    rows = np.flatnonzero(some & ~hit)  # mostly few: only there is it looked at what the pads touch
    u, v, w, nu = (values if len(values) == 1 else values[rows] for values in (u, v, w, nu))
    pads = inner[rows] & (np.abs(w - (w0[rows] - gripper.pad_offset)[:, None]) < gripper.pad[1]) & (near[rows] < gripper.pad[0] + 0.002)
    on_right = pads & (u > (right[rows] - CONTACT_DEPTH)[:, None])
    on_left = pads & (u < (left[rows] + CONTACT_DEPTH)[:, None])
    count[rows] = np.minimum(on_right.sum(axis=1), on_left.sum(axis=1))
    alignment[rows] = np.minimum(mean_where(nu, on_right), mean_where(-nu, on_left))
    return Closing(u0, width, some, hit, count, alignment)


def in_the_way(points: Array, u0: Array, v0: Array, w0: Array, gripper: Gripper) -> NDArray[np.bool_]:
    """Whether the open hand at each of k places meets a point (m, 3) on its way down along the approach; axes u, v, w."""
    u, v, w = np.abs(points[:, 0] - u0[:, None]), np.abs(points[:, 1] - v0[:, None]), points[:, 2] - w0[:, None]  # (k, m)
    fingers = (v < gripper.finger[0] + OBSTACLE_CLEARANCE) & (u < gripper.opening / 2 + gripper.finger[1] + OBSTACLE_CLEARANCE) & (w > -gripper.tip_offset)
    palm = (v < gripper.palm[1] + OBSTACLE_CLEARANCE) & (u < gripper.palm[0] + OBSTACLE_CLEARANCE) & (w > -gripper.palm_offset)
    return np.asarray((fingers | palm).any(axis=1))


def _thickness(u: Array, slab: NDArray[np.bool_], picks: NDArray[np.int64], side: Array, half_opening: float) -> Array:
    """How far the object reaches behind each picked point along the closing axis, within the gripper's opening [m]."""
    depth = side[:, None] * (u[picks][:, None] - u[None])  # (k, n), positive behind the surface
    inside = slab & (depth > -0.002) & (depth < 2 * half_opening)
    return np.asarray(np.where(inside, depth, 0.0).max(axis=1))


def mean_where(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Returns the means (k,) of values (n,) or (k, n) where the mask (k, n) is True, 0 where it never is."""
    return np.asarray((values * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))

