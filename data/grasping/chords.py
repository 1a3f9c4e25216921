"""Chords across an object, and hands about them: what 6-DoF grasps and grasps of wide objects have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.data.grasping.hand import in_the_way, nearest_rotation
from toyshift.data.grasping.situation import Grasp, Situation, Surface

PARTNER_RADIUS = 0.006  # around the line of closing in which the opposite contact is looked for [m]
AT_ONCE = 50  # contacts whose partners are looked for together: what is enough ends the search


@dataclasses.dataclass(frozen=True)
class ChordConfig:
    """How many grasps are tried and what makes one better.

    Attributes:
        points: surface samples per object; dense, because a rim or a handle is a small part of it.
        picks: surface points from which closing starts.
        pairs: most of them, of those with a partner, that are tried.
        looked_at: most frames that are examined on all points.
        min_alignment: least cosine between contact normals and closing axis.
        off_centre: score per metre of horizontal distance between grasp and centre of mass.
        tilt: score per radian of tilt: a hand from above has the most room.
        turn: score per radian between the hand's rotation at home and in the grasp.
        checked: grasps, best first, whose reach is looked at.
    """

    points: int = 4000
    picks: int = 400
    pairs: int = 80
    looked_at: int = 160
    min_alignment: float = 0.8
    off_centre: float = 12.0
    tilt: float = 0.7
    turn: float = 0.3
    checked: int = 10


def chords(
    surface: Surface, contacts: Array, closing: Array, longest: float, config: ChordConfig, beside: float | None = None
) -> tuple[Array, Array]:
    """Finds the partners of contacts across the object, until there are `config.pairs`.

    Args:
        surface: of the object.
        contacts: (c, 3) where a finger touches [m].
        closing: (c, 3) unit vectors along which the other one comes to meet it.
        longest: chord [m].
        config: how well the partner's normal must be along the chord, and how many are enough.
        beside: how far the open hand reaches from the chord's middle along it [m], where chords on whose ends this is
            below the table are to be left out.

    Returns:
        middles (k, 3) [m] and directions (k, 3) of chords.
    """
    points, normals = surface
    middles, axes, found = [], [], 0
    for part in np.array_split(np.arange(len(contacts)), max(1, len(contacts) // AT_ONCE)):
        contact, axis = contacts[part], closing[part]
        along = axis @ points.T - (axis * contact).sum(axis=1)[:, None]  # (p, n)
        aligned = axis @ normals.T > config.min_alignment
        row, column = np.nonzero((along > 0.001) & (along < longest) & aligned)
        depth = along[row, column]
        near = ((points[column] - contact[row]) ** 2).sum(axis=1) - depth**2 < PARTNER_RADIUS**2
        across = np.full(len(part), np.inf)
        np.minimum.at(across, row[near], depth[near])
        some = np.flatnonzero(np.isfinite(across))
        middle, axis = contact[some] + 0.5 * across[some, None] * axis[some], axis[some]
        if beside is not None:
            room = middle[:, 2] - np.abs(axis[:, 2]) * beside > 0
            middle, axis = middle[room], axis[room]
        middles.append(middle)
        axes.append(axis)
        found += len(middle)
        if found >= config.pairs:
            break
    return np.concatenate(middles)[: config.pairs], np.concatenate(axes)[: config.pairs]


def frames_about(closing: Array, angles: Array, upright: bool) -> Array:
    """Returns hand rotations (a * k, 3, 3) about closing axes.

    Args:
        closing: (k, 3) unit vectors.
        angles: (a,) between the approach and the steepest one about the axis [rad].
        upright: whether axes may be vertical; about these every approach is as level, and that away from the robot
            counts as the steepest.
    """
    down = np.array([0.0, 0.0, -1.0])
    steepest = down - (closing @ down)[:, None] * closing
    if upright:
        flat = np.linalg.norm(steepest, axis=1, keepdims=True) < 0.1
        steepest = np.where(flat, np.array([1.0, 0.0, 0.0]), steepest)
        steepest -= (steepest * closing).sum(axis=1, keepdims=True) * closing
    steepest /= np.linalg.norm(steepest, axis=1, keepdims=True)
    side = np.cross(closing, steepest)
    z = np.cos(angles)[:, None, None] * steepest + np.sin(angles)[:, None, None] * side  # (a, k, 3)
    x = np.broadcast_to(closing, z.shape)
    return np.asarray(np.stack([x, np.cross(z, x), z], axis=3).reshape(-1, 3, 3))


def in_hands(points: Array, centres: Array, frames: Array) -> tuple[Array, Array, Array]:
    """Returns points (n, 3) as k hands with rotations (k, 3, 3) at centres (k, 3) see them.

    Returns:
        coordinates (k, n) along the closing axis, across the fingers, and up against the approach [m].
    """
    local = np.einsum("kni,kij->knj", points[None] - centres[:, None], frames, optimize=True)
    return local[..., 0], local[..., 1], -local[..., 2]


def sites_above(centres: Array, frames: Array, u: Array, height: Array) -> Array:
    """Returns sites (k, 3), u (k,) along the closing axis and height (k,) against the approach from centres [m]."""
    local = np.column_stack([u, np.zeros(len(u)), -height])
    return np.asarray(centres + np.einsum("kij,kj->ki", frames, local))


def clear(situation: Situation, sites: Array, frames: Array) -> NDArray[np.bool_]:
    """Whether open hands at sites (k, 3) [m] with rotations (k, 3, 3) meet no obstacle, there or on their way."""
    beside = [(situation.obstacles - site) @ frame for site, frame in zip(sites, frames, strict=True)]
    return ~in_the_way(np.reshape(beside, (len(sites), len(situation.obstacles), 3)), situation.gripper)


def grasp_at(
    situation: Situation, site: Array, frame: Array, config: ChordConfig, quality: float, **more: Any
) -> Grasp:
    """Returns the grasp at a site (3,) [m] with a rotation (3, 3) or its half-turn, whichever is nearer to home.

    Args:
        situation: the object, and the hand at home.
        site, frame: pose of the hand.
        config: what distance from the centre of mass, tilt and turn cost.
        quality: score before these costs.
        more: the grasp's further fields.
    """
    rotation, turn = nearest_rotation(frame, situation.home)
    tilt = float(np.arccos(np.clip(-rotation[2, 2], -1.0, 1.0)))
    offset = float(np.hypot(*(site - situation.com)[:2]))
    score = quality - config.off_centre * offset - config.tilt * tilt - config.turn * turn
    return Grasp(site, rotation, score=float(score), **more)
