"""The grasp search from above: antipodal grasps of two fingers that point down, on samples of the object's surface."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.data.grasping.hand import PALM_CLEARANCE, TABLE_CLEARANCE, close_hand, in_the_way, nearest_turn
from toyshift.data.grasping.situation import Grasp, Situation, Surface, best_first, outer_surface

UNDER_TABLE = 0.012  # tips of a tilted hand deeper than this are stopped by the table before it counts as there [m]


@dataclasses.dataclass(frozen=True)
class TopDownConfig:
    """How many grasps are tried and what makes one better.

    Attributes:
        points: surface samples per object.
        yaws: closing directions between 0 and 180 degrees.
        tries: places per closing direction.
        tilts: angles between the approach and straight down, about the closing axis [rad].
        min_alignment: least cosine between contact normals and closing axis (friction cone of about 40 degrees).
        off_centre: score per metre of distance between grasp and centre of mass.
        turn: score per radian of turn from the hand's yaw at home. Strong: of the many grasps that would hold, the one
            with the least turn is a choice that an imitator can see; a choice by small differences of quality looks
            random to it.
    """

    points: int = 1200
    yaws: int = 18
    tries: int = 24
    tilts: tuple[float, ...] = (0.0,)
    min_alignment: float = 0.72
    off_centre: float = 12.0
    turn: float = 3.0


def search_top_down(situation: Situation, config: TopDownConfig = TopDownConfig()) -> list[Grasp]:
    """Returns feasible grasps, best first.

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    surface = situation.there(outer_surface(situation.object, config.points))
    grasps: list[Grasp] = []
    for tilt in config.tilts:
        yaws = (np.arange(config.yaws) + situation.rng.random()) * np.pi / config.yaws
        for yaw in yaws if situation.gripper.symmetric else np.concatenate([yaws, yaws - np.pi]):
            grasps += _along(surface, _hand_rotation(yaw, tilt), situation, config)
    return best_first(grasps, f"no feasible grasp among {len(config.tilts) * config.yaws * config.tries} tries")


def _hand_rotation(yaw: float, tilt: float) -> Array:
    """Hand rotation whose closing axis x is level, at `yaw`, and whose approach axis z points down, tilted about x."""
    x = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    side = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    z = -np.cos(tilt) * np.array([0, 0, 1.0]) + np.sin(tilt) * side
    return np.stack([x, np.cross(z, x), z], axis=1)


def _along(surface: Surface, rotation: Array, situation: Situation, config: TopDownConfig) -> list[Grasp]:
    """Tries one hand rotation at several places; axes: u closing, v across the fingers, w up along the approach."""
    gripper, com = situation.gripper, situation.com
    u, v, w = surface.points @ rotation[:, 0], surface.points @ rotation[:, 1], -surface.points @ rotation[:, 2]
    nu = surface.normals @ rotation[:, 0]
    picks = situation.rng.integers(len(u), size=config.tries)
    half_finger = gripper.finger[0]
    v0 = v[picks]  # (k,)
    near = np.abs(v[None] - v0[:, None])  # (k, n)
    # the middle between the fingers, first guess: the picked point is touched by the finger its normal faces
    side = np.sign(nu[picks])
    u_guess = u[picks] - side * 0.5 * _thickness(u, near < half_finger + 0.001, picks, side, gripper.opening)
    palm = (near < gripper.palm[1]) & (np.abs(u[None] - u_guess[:, None]) < gripper.palm[0])
    top_under_palm = np.where(palm, w[None], -np.inf).max(axis=1)
    lowest = np.maximum(gripper.tip_offset + TABLE_CLEARANCE, top_under_palm + gripper.palm_offset + PALM_CLEARANCE)
    # site heights: the lowest possible, or the picked point at the pads, whichever is higher
    w0 = np.maximum(lowest, np.minimum(w[picks] + gripper.pad_offset, com[2] + 0.01))
    close = close_hand(u[None], v[None], w[None], nu[None], u_guess, v0, w0, gripper)
    sites = np.stack([close.site, v0, -w0], axis=1)  # in the hand's axes
    good = close.good(config.min_alignment)
    # `lowest` is along the approach: of a tilted hand, that is not the height above the table
    tips = close.site * rotation[2, 0] + v0 * rotation[2, 1] + (gripper.tip_offset - w0) * rotation[2, 2]
    good &= tips - half_finger * abs(rotation[2, 1]) > -UNDER_TABLE
    good &= ~in_the_way((situation.obstacles @ rotation)[None] - sites[:, None], gripper)
    chosen, turn = nearest_turn(rotation, situation.yaw, gripper.symmetric)
    grasps = []
    for i in np.flatnonzero(good):
        offset = np.hypot(com @ rotation[:, 0] - close.u[i], com @ rotation[:, 1] - v0[i])
        above = max(0.0, w0[i] + com @ rotation[:, 2] - 0.02)  # high above the centre of mass, objects swing
        score = close.quality(i) - config.off_centre * offset - 4.0 * above - config.turn * abs(turn)
        measures = float(close.width[i]), float(score), float(close.alignment[i])
        grasps.append(Grasp(rotation @ sites[i], chosen, *measures))
    return grasps


def _thickness(u: Array, slab: NDArray[np.bool_], picks: Indices, side: Array, opening: float) -> Array:
    """How far the object reaches behind each picked point along the closing axis, within the gripper's opening [m]."""
    depth = side[:, None] * (u[picks][:, None] - u[None])  # (k, n), positive behind the surface
    inside = slab & (depth > -0.002) & (depth < opening)
    return np.asarray(np.where(inside, depth, 0.0).max(axis=1))
