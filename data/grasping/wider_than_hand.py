"""The grasp search for what is wider than the hand as it lies: chords of balls and cans, knobs, on what collides."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.data.grasping.chords import ChordConfig, chords, clear, frames_about, grasp_at, in_hands, sites_above
from toyshift.data.grasping.hand import OPEN_MARGIN, PALM_CLEARANCE, TABLE_CLEARANCE, lowest_corner, mean_where
from toyshift.data.grasping.situation import GRAVITY, Grasp, Situation, Surface, best_first, collision_surface

DIRECTIONS = 45  # in which the width of an object as it lies is measured
COARSE = 5  # of so many surface points, one for a first look
TOUCHED = 0.0015  # surface this close to a closing finger is what it touches [m]
GRIP = 22.0  # force of a finger that closes with all its strength [N]
SAFETY = 4.5  # times the weight for which a grasp on slanted surfaces is made
SQUEEZE = 3.0, 30.0  # bounds of its force [N]


@dataclasses.dataclass(frozen=True)
class WideConfig(ChordConfig):
    """How many grasps are tried and what makes one better; fingers, on which friction is 1, hold up to 45 degrees.

    Attributes:
        tilts: angles between the approach and the steepest one about the closing axis [rad].
        incline: standard deviation of the closing axis's slope.
        margin: between an open finger and the object [m]. Small: the wider the chord, the squarer the contacts to it.
        min_loaded: least cosine between a contact's normal and the force of the finger, SAFETY times the object's
            weight included.
        alignment: score of the cosine with the weight.
    """

    picks: int = 800
    pairs: int = 120
    looked_at: int = 80
    min_alignment: float = 0.74
    off_centre: float = 8.0
    tilts: tuple[float, ...] = (0.0, -0.3, 0.3, -0.8, 0.8, -1.1, 1.1)
    incline: float = 0.08
    margin: float = 0.0008
    min_loaded: float = 0.72
    alignment: float = 20.0


def narrowest(vertices: Array) -> float:
    """Least horizontal width of points (n, 3): the distance between two vertical planes that enclose them [m]."""
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    return float(np.ptp(vertices[:, :2] @ np.stack([np.cos(angles), np.sin(angles)]), axis=0).min())


def too_wide(situation: Situation) -> bool:
    """Whether the object, as it lies and as it lay at first, spans jaws whichever way they turn; a hand, never."""
    if situation.gripper.kind != "parallel" or not situation.maybe_wide:
        return False
    width = narrowest(situation.object.mesh.vertices @ situation.rotation.T)
    return width > situation.gripper.opening - 2 * OPEN_MARGIN


def search_wide(situation: Situation, config: WideConfig = WideConfig()) -> list[Grasp]:
    """Returns feasible grasps, best first.

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    surface = situation.there(collision_surface(situation.object, config.points))
    centres, closing = _level_chords(surface, situation, config)
    frames = frames_about(closing, np.array(config.tilts), upright=False)
    centres = np.tile(centres, (len(config.tilts), 1))
    grasps = _feasible(surface, centres, frames, situation, config) if len(centres) else []
    return best_first(grasps, f"no feasible grasp of a wide object among {len(centres)} tries at {config.picks} places")


def carried(situation: Situation, config: WideConfig = WideConfig()) -> Grasp | None:
    """Returns `situation.before`, let down and centred anew on its object, or None where it holds nothing there."""
    if (grasp := situation.before) is None:
        return None
    surface = situation.there(collision_surface(situation.object, config.points))
    chord = grasp.position + (situation.gripper.tip_offset - 0.001) * grasp.rotation[:, 2]
    held = _hold(surface, chord[None], grasp.rotation[None], situation, config)
    if not held.loaded[0]:
        return None
    return dataclasses.replace(
        grasp, position=held.sites[0], width=float(held.width[0]), alignment=float(held.alignment[0])
    )


def squeeze_force(alignment: float, mass: float) -> float:
    """Force with which fingers hold a weight on slanted surfaces: no more than it takes, or it creeps out [N].

    Args:
        alignment: cosine between the contacts' normals and the fingers' force.
        mass: [kg].
    """
    left = alignment - np.sqrt(1.0 - alignment**2)  # what friction of 1 leaves of each newton to lift with
    return float(np.clip(SAFETY * 0.5 * GRAVITY * mass / max(left, 0.01), *SQUEEZE))


def _level_chords(surface: Surface, situation: Situation, config: WideConfig) -> tuple[Array, Array]:
    """Draws nearly level chords that the opening spans and friction holds: middles (k, 3) [m], directions (k, 3)."""
    (points, normals), rng = surface, situation.rng
    level = np.hypot(normals[:, 0], normals[:, 1])
    steep = np.flatnonzero(level > config.min_alignment)
    if not len(steep):
        return np.zeros((0, 3)), np.zeros((0, 3))
    picks = steep[rng.integers(len(steep), size=config.picks)]
    widest = np.arccos(np.clip(config.min_alignment / level[picks], 0.0, 1.0))
    yaw = np.arctan2(-normals[picks, 1], -normals[picks, 0]) + widest * rng.uniform(-1.0, 1.0, config.picks)
    closing = np.stack([np.cos(yaw), np.sin(yaw), config.incline * rng.standard_normal(config.picks)], axis=1)
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    return chords(surface, points[picks], closing, situation.gripper.opening - 2 * config.margin, config)


def _feasible(
    surface: Surface, centres: Array, frames: Array, situation: Situation, config: WideConfig
) -> list[Grasp]:
    few = _hold(surface.every(COARSE), centres, frames, situation, config).loaded
    kept = np.flatnonzero(few)
    if not len(kept):
        return []
    kept = kept[np.argsort(-few[kept], kind="stable")][: config.looked_at]
    centres, frames = centres[kept], frames[kept]
    held = _hold(surface, centres, frames, situation, config)
    good = np.flatnonzero(held.loaded > 0)
    good = good[clear(situation, held.sites[good], frames[good])]
    return [
        grasp_at(
            situation, held.sites[i], frames[i], config, config.alignment * float(held.loaded[i]),
            width=float(held.width[i]), alignment=float(held.alignment[i]), precise=True,
        )
        for i in good
    ]  # fmt: skip


class _Hold(NamedTuple):
    """Sites (k, 3) of closed hands, widths (k,) and alignments (k,) of what they hold, and alignments under load (k,).

    The last are of the contacts' normals with the fingers' forces when they bear the weight; 0 where nothing is held.
    """

    sites: Array
    width: Array
    alignment: Array
    loaded: Array


def _hold(surface: Surface, centres: Array, frames: Array, situation: Situation, config: WideConfig) -> _Hold:
    """Lets open hands (k) down over centres (k, 3) until they meet object or table, and closes them."""
    gripper, normals = situation.gripper, surface.normals
    u, v, w = in_hands(surface.points, centres, frames)
    nu = np.einsum("ni,ki->kn", normals, frames[:, :, 0])
    half_finger, thickness = gripper.finger
    inner, outer = gripper.opening / 2 - config.margin, gripper.opening / 2 + thickness
    across = np.abs(v) < half_finger + 0.0005
    corners = centres[:, 2] + lowest_corner(frames, gripper)
    table = (TABLE_CLEARANCE - corners) / np.maximum(-frames[:, 2, 2], 0.1)
    lowest = np.maximum(gripper.pad_offset, table)
    middle = np.zeros(len(centres))
    for _ in range(2):  # the second time about the middle between the contacts
        reach = np.abs(u - middle[:, None])
        finger = np.where(across & (reach > inner) & (reach < outer), w, -np.inf).max(axis=1)
        palm = np.where((np.abs(v) < gripper.palm[1]) & (reach < gripper.palm[0]), w, -np.inf).max(axis=1)
        on_object = np.maximum(finger + gripper.tip_offset, palm + gripper.palm_offset + PALM_CLEARANCE)
        height = np.maximum(lowest, on_object)
        between = across & (reach <= inner) & (w > (height - gripper.tip_offset)[:, None])
        right, left = np.where(between, u, -np.inf).max(axis=1), np.where(between, u, np.inf).min(axis=1)
        some = np.isfinite(right) & np.isfinite(left)
        middle = np.where(some, 0.5 * (np.where(some, right, 0.0) + np.where(some, left, 0.0)), middle)
    some &= height - gripper.tip_offset < 0.004  # the tips reach the chord
    ends = [(nu, between & (u > (right - TOUCHED)[:, None])), (-nu, between & (u < (left + TOUCHED)[:, None]))]
    alignment = np.minimum(*(mean_where(along, touched) for along, touched in ends))
    # each finger pushes along the closing axis, and bears half of the weight
    half = 0.5 * SAFETY * GRAVITY * situation.object.mass
    pushed = (mean_where(GRIP * along - half * normals[:, 2], touched) for along, touched in ends)
    loaded = np.minimum(*pushed) / np.hypot(GRIP, half)
    loaded = np.where(some & (loaded > config.min_loaded), loaded, 0.0)
    sites = sites_above(centres, frames, middle, height)
    return _Hold(sites, np.where(some, right - left, 0.0), alignment, loaded)
