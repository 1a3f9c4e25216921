"""Grasps of what is wider than the hand as it lies: a chord of a ball or a can, a knob, found with the fingers' own shape on what collides."""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.errors import GraspError
from toyshift.data.grasping.six_dof import hand_corners
from toyshift.data.grasping.top_down import (
    OPEN_MARGIN,
    PALM_CLEARANCE,
    TABLE_CLEARANCE,
    Grasp,
    SurfaceSamples,
    in_the_way,
    mean_where,
)
from toyshift.envs.robots import Gripper
from toyshift.envs.rotations import matrix_to_rotvec
from toyshift.toys.model import GraspObject

Array = NDArray[np.float64]

DIRECTIONS = 45  # in which the width of an object as it lies is measured
PARTNER_RADIUS = 0.006  # around the line of closing in which the opposite contact is looked for [m]
AT_ONCE = 50  # contacts whose partners are looked for together
COARSE = 5  # of so many surface points, one for a first look
TOUCHED = 0.0015  # surface this close to a closing finger is what it touches [m]
GRIP = 22.0  # force of a finger that closes with all its strength [N]
SAFETY, SQUEEZE = 4.5, (3.0, 30.0)  # times the weight for which a grasp on slanted surfaces is made, and bounds of its force [N]
GRAVITY = 9.81  # [m/s^2]
INSIDE = 0.0005  # deeper in another part than this, a part's surface is not the object's [m]


@dataclasses.dataclass(frozen=True)
class WideConfig:
    """How many grasps are tried and what makes one better.

    Attributes:
        points: surface samples per object.
        picks: surface points from which closing starts.
        pairs: most of them that have a partner, that are tried.
        tilts: angles between the approach and the steepest one about the closing axis [rad].
        incline: standard deviation of the closing axis's slope.
        margin: between an open finger and the object [m]. Small: the wider the chord, the squarer the contacts are to it.
        min_alignment: least cosine between contact normals and closing axis: fingers, on which friction is 1, hold up to 45 degrees.
        min_loaded: least cosine between a contact's normal and the force of the finger, SAFETY times the object's weight included.
        looked_at: most frames that are examined on all points.
        alignment: score of the cosine with the weight.
        off_centre: score per metre of horizontal distance between grasp and centre of mass.
        tilt: score per radian of tilt.
        turn: score per radian between the hand's rotation at home and in the grasp.
        checked: grasps, best first, whose reach is looked at.
    """

    points: int = 4000
    picks: int = 800
    pairs: int = 120
    tilts: tuple[float, ...] = (0.0, -0.3, 0.3, -0.8, 0.8, -1.1, 1.1)
    incline: float = 0.08
    margin: float = 0.0008
    min_alignment: float = 0.74
    min_loaded: float = 0.72
    looked_at: int = 80
    alignment: float = 20.0
    off_centre: float = 8.0
    tilt: float = 0.7
    turn: float = 0.3
    checked: int = 10


def narrowest(vertices: Array) -> float:
    """Least horizontal width of points (n, 3): the distance between two vertical planes that enclose them [m]."""
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    return float(np.ptp(vertices[:, :2] @ np.stack([np.cos(angles), np.sin(angles)]), axis=0).min())


def too_wide(vertices: Array, gripper: Gripper) -> bool:
    """Whether an object that lies so spans the opening whichever way the hand turns."""
    return narrowest(vertices) > gripper.opening - 2 * OPEN_MARGIN


class CollisionSamples(SurfaceSamples):
    """Points and normals of what collides: the surface of an object's convex parts, where it is in no other part; without parts, the mesh's."""

    def __init__(self, obj: GraspObject, count: int) -> None:
        if not obj.parts:
            super().__init__(obj.mesh, count)
            return
        rng = np.random.default_rng(0)
        hulls = [trimesh.convex.convex_hull(part) for part in obj.parts]
        points, faces = trimesh.sample.sample_surface(trimesh.util.concatenate(hulls), 2 * count, seed=rng)
        points, normals = np.asarray(points, np.float64), np.concatenate([hull.face_normals for hull in hulls])[faces]
        owner = np.repeat(np.arange(len(hulls)), [len(hull.faces) for hull in hulls])[faces]
        free = np.ones(len(points), bool)
        for i, hull in enumerate(hulls):
            near = np.flatnonzero((owner != i) & (points > hull.bounds[0]).all(axis=1) & (points < hull.bounds[1]).all(axis=1))
            offsets = (hull.face_normals * hull.triangles[:, 0]).sum(axis=1)
            free[near] &= (points[near] @ hull.face_normals.T - offsets).max(axis=1) > -INSIDE
        kept = np.flatnonzero(free)[:count]
        self.points, self.normals = points[kept], np.asarray(normals[kept], np.float64)


def plan_wide(
    samples: SurfaceSamples, position: Array, rotation: Array, com: Array, mass: float, gripper: Gripper, home: Array, rng: np.random.Generator,
    config: WideConfig = WideConfig(), obstacles: Array | None = None,
) -> list[Grasp]:
    """Returns feasible grasps, best first; arguments as of `plan_six_dof`, and the object's mass [kg].

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    points = samples.points @ rotation.T + position
    normals = samples.normals @ rotation.T
    centres, closing = _chords(points, normals, gripper, rng, config)
    frames = _frames(closing, config)
    centres = np.tile(centres, (len(config.tilts), 1))
    grasps = _feasible(points, normals, centres, frames, com, mass, gripper, home, config, obstacles) if len(centres) else []
    if not grasps:
        raise GraspError(f"no feasible grasp of a wide object among {len(centres)} tries at {config.picks} places")
    return sorted(grasps, key=lambda grasp: -grasp.score)


def carried(samples: SurfaceSamples, position: Array, rotation: Array, mass: float, gripper: Gripper, grasp: Grasp, moved: Array, config: WideConfig = WideConfig()) -> Grasp | None:
    """Returns a grasp moved by (3,) [m] with its object, let down and centred anew, or None where it holds nothing there."""
    points, normals = samples.points @ rotation.T + position, samples.normals @ rotation.T
    chord = grasp.position + moved + (gripper.tip_offset - 0.001) * grasp.rotation[:, 2]
    site, width, alignment, loaded = _hold(points, normals, chord[None], grasp.rotation[None], mass, gripper, config)
    if not loaded[0]:
        return None
    return dataclasses.replace(grasp, position=site[0], width=float(width[0]), alignment=float(alignment[0]))


def squeeze_force(alignment: float, mass: float) -> float:
    """Force with which fingers hold a weight on slanted surfaces: no more than it takes, for what is squeezed there creeps out [N].

    Args:
        alignment: cosine between the contacts' normals and the fingers' force.
        mass: [kg].
    """
    left = alignment - np.sqrt(1.0 - alignment**2)  # what friction of 1 leaves of each newton to lift with
    return float(np.clip(SAFETY * 0.5 * GRAVITY * mass / max(left, 0.01), *SQUEEZE))


def _chords(points: Array, normals: Array, gripper: Gripper, rng: np.random.Generator, config: WideConfig) -> tuple[Array, Array]:
    """Draws nearly level chords that fit into the opening, and whose ends friction holds: middles (k, 3) and directions (k, 3)."""
    level = np.hypot(normals[:, 0], normals[:, 1])
    steep = np.flatnonzero(level > config.min_alignment)
    if not len(steep):
        return np.zeros((0, 3)), np.zeros((0, 3))
    picks = steep[rng.integers(len(steep), size=config.picks)]
    widest = np.arccos(np.clip(config.min_alignment / level[picks], 0.0, 1.0))
    yaw = np.arctan2(-normals[picks, 1], -normals[picks, 0]) + widest * rng.uniform(-1.0, 1.0, config.picks)
    closing = np.stack([np.cos(yaw), np.sin(yaw), config.incline * rng.standard_normal(config.picks)], axis=1)
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    longest = gripper.opening - 2 * config.margin
    middles, axes, found = [], [], 0
    for part in np.array_split(np.arange(config.picks), max(1, config.picks // AT_ONCE)):
        contacts, axis = points[picks[part]], closing[part]
        along = axis @ points.T - (axis * contacts).sum(axis=1)[:, None]  # (k, n)
        row, column = np.nonzero((along > 0.001) & (along < longest) & (axis @ normals.T > config.min_alignment))
        depth = along[row, column]
        near = ((points[column] - contacts[row]) ** 2).sum(axis=1) - depth**2 < PARTNER_RADIUS**2
        across = np.full(len(part), np.inf)
        np.minimum.at(across, row[near], depth[near])
        some = np.isfinite(across)
        middles.append(contacts[some] + 0.5 * across[some, None] * axis[some])
        axes.append(axis[some])
        found += int(some.sum())
        if found >= config.pairs:
            break
    return np.concatenate(middles)[: config.pairs], np.concatenate(axes)[: config.pairs]


def _frames(closing: Array, config: WideConfig) -> Array:
    """Hand rotations (t * k, 3, 3) about closing axes (k, 3)."""
    down = np.array([0.0, 0.0, -1.0])
    steepest = down - (closing @ down)[:, None] * closing
    steepest /= np.linalg.norm(steepest, axis=1, keepdims=True)
    side = np.cross(closing, steepest)
    tilts = np.array(config.tilts)[:, None, None]
    z = np.cos(tilts) * steepest + np.sin(tilts) * side
    x = np.broadcast_to(closing, z.shape)
    return np.asarray(np.stack([x, np.cross(z, x), z], axis=3).reshape(-1, 3, 3))


def _feasible(
    points: Array, normals: Array, centres: Array, frames: Array, com: Array, mass: float, gripper: Gripper, home: Array, config: WideConfig, obstacles: Array | None
) -> list[Grasp]:
    few = _hold(points[::COARSE], normals[::COARSE], centres, frames, mass, gripper, config)[-1]
    kept = np.flatnonzero(few)
    if not len(kept):
        return []
    kept = kept[np.argsort(-few[kept], kind="stable")][: config.looked_at]
    centres, frames = centres[kept], frames[kept]
    site, width, alignment, loaded = _hold(points, normals, centres, frames, mass, gripper, config)
    good = loaded > 0
    if obstacles is not None and len(obstacles):
        for i in np.flatnonzero(good):
            beside = (obstacles - site[i]) @ frames[i] * np.array([1.0, 1.0, -1.0])
            good[i] = not in_the_way(beside, np.zeros(1), np.zeros(1), np.zeros(1), gripper)[0]
    return [_grasp(site[i], frames[i], (float(width[i]), float(alignment[i]), float(loaded[i])), com, home, config) for i in np.flatnonzero(good)]


def _hold(
    points: Array, normals: Array, centres: Array, frames: Array, mass: float, gripper: Gripper, config: WideConfig
) -> tuple[Array, Array, Array, Array]:
    """Lets open hands (k) down over centres (k, 3) until they meet object or table, and closes them.

    Returns:
        sites (k, 3), widths (k,), alignments (k,), and the same of the contacts' normals with the fingers' forces when they bear the weight,
        0 where nothing is held.
    """
    local = np.einsum("kni,kij->knj", points[None] - centres[:, None], frames, optimize=True)
    u, v, w = local[..., 0], local[..., 1], -local[..., 2]
    nu = np.einsum("ni,ki->kn", normals, frames[:, :, 0])
    half_finger, thickness = gripper.finger
    inner, outer = gripper.opening / 2 - config.margin, gripper.opening / 2 + thickness
    across = np.abs(v) < half_finger + 0.0005
    corners = centres[:, 2] + (frames[:, 2] @ hand_corners(gripper).T).min(axis=1)
    table = (TABLE_CLEARANCE - corners) / np.maximum(-frames[:, 2, 2], 0.1)
    middle = np.zeros(len(centres))
    for _ in range(2):  # the second time about the middle between the contacts
        reach = np.abs(u - middle[:, None])
        finger = np.where(across & (reach > inner) & (reach < outer), w, -np.inf).max(axis=1)
        palm = np.where((np.abs(v) < gripper.palm[1]) & (reach < gripper.palm[0]), w, -np.inf).max(axis=1)
        height = np.maximum.reduce([np.full(len(centres), gripper.pad_offset), finger + gripper.tip_offset, palm + gripper.palm_offset + PALM_CLEARANCE, table])
        between = across & (reach <= inner) & (w > (height - gripper.tip_offset)[:, None])
        right, left = np.where(between, u, -np.inf).max(axis=1), np.where(between, u, np.inf).min(axis=1)
        some = np.isfinite(right) & np.isfinite(left)
        middle = np.where(some, 0.5 * (np.where(some, right, 0.0) + np.where(some, left, 0.0)), middle)
    some &= height - gripper.tip_offset < 0.004  # the tips reach the chord
    ends = [(nu, between & (u > (right - TOUCHED)[:, None])), (-nu, between & (u < (left + TOUCHED)[:, None]))]
    alignment = np.minimum(*(mean_where(along, touched) for along, touched in ends))
    # each finger pushes along the closing axis, and bears half of the weight
    half = 0.5 * SAFETY * GRAVITY * mass
    loaded = np.minimum(*(mean_where(GRIP * along - half * normals[:, 2], touched) for along, touched in ends)) / np.hypot(GRIP, half)
    loaded = np.where(some & (loaded > config.min_loaded), loaded, 0.0)
    site = centres + np.einsum("kij,kj->ki", frames, np.column_stack([middle, np.zeros(len(middle)), -height]))
    return site, np.where(some, right - left, 0.0), alignment, loaded


def _grasp(site: Array, frame: Array, measures: tuple[float, float, float], com: Array, home: Array, config: WideConfig) -> Grasp:
    width, alignment, loaded = measures
    turned = frame * np.array([-1.0, -1.0, 1.0])
    rotation, turn = min(((r, float(np.linalg.norm(matrix_to_rotvec(r @ home.T)))) for r in (frame, turned)), key=lambda pair: pair[1])
    tilt = float(np.arccos(np.clip(-rotation[2, 2], -1.0, 1.0)))
    offset = float(np.hypot(*(site - com)[:2]))
    score = config.alignment * loaded - config.off_centre * offset - config.tilt * tilt - config.turn * turn
    return Grasp(site, rotation, width, score, alignment, precise=True)
