"""The 6-DoF grasp search: any closing axis, and any approach about it that table, clutter and arm allow."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.data.grasping.chords import ChordConfig, chords, clear, frames_about, grasp_at, in_hands, sites_above
from toyshift.data.grasping.hand import OPEN_MARGIN, PALM_CLEARANCE, TABLE_CLEARANCE, Closing, close_hand, lowest_corner
from toyshift.data.grasping.situation import Grasp, Situation, Surface, best_first, outer_surface
from toyshift.envs.robots import Gripper

COARSE = 10  # of so many surface points, one for a first look
UPPER = 0.7  # where an object's upper part begins, as a share of its height


@dataclasses.dataclass(frozen=True)
class SixDofConfig(ChordConfig):
    """How many grasps are tried and what makes one better.

    Attributes:
        approaches: approach directions about each closing axis.
        retreats: how far before the contacts' middle the pads stay [m]: to hold an edge with the tips.
        largest_tilt: of the approach from straight down [rad]; more than a right angle comes from below.
        cone: half angle in which the closing axis is drawn about the contact's normal [rad].
    """

    approaches: int = 7
    retreats: tuple[float, ...] = (0.0, 0.006)
    largest_tilt: float = 1.4
    cone: float = 0.3


def search_six_dof(situation: Situation, config: SixDofConfig = SixDofConfig()) -> list[Grasp]:
    """Returns feasible grasps, best first; whether an arm reaches them is for `Situation.reach` to say.

    Raises:
        GraspError: no feasible grasp among those tried.
    """
    surface = situation.there(outer_surface(situation.object, config.points))
    centres, closing = _antipodal(surface, situation, config)
    which, frames = hand_frames(closing, config)
    retreat = np.repeat(config.retreats, len(which))
    which, frames = np.tile(which, len(config.retreats)), np.tile(frames, (len(config.retreats), 1, 1))
    centres = centres[which] - retreat[:, None] * frames[:, :, 2]
    grasps = _feasible(surface, centres, frames, situation, config) if len(which) else []
    return best_first(grasps, f"no feasible 6-DoF grasp among {len(which)} tries at {config.picks} places")


def _antipodal(surface: Surface, situation: Situation, config: SixDofConfig) -> tuple[Array, Array]:
    """Draws contacts, and returns the chords to their partners: middles (k, 3) [m] and directions (k, 3)."""
    (points, normals), rng, gripper = surface, situation.rng, situation.gripper
    picks = rng.integers(len(points), size=config.picks)
    # every other one in the object's upper part, which a hand reaches best: knobs, rims, handles
    upper = np.flatnonzero(points[:, 2] > points[:, 2].min() + UPPER * np.ptp(points[:, 2]))
    picks[::2] = upper[rng.integers(len(upper), size=len(picks[::2]))]
    closing = -normals[picks] + np.tan(config.cone) * rng.standard_normal((config.picks, 3)) / 3
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    # whatever the approach, the open fingers stand on either side of the contacts
    beside = gripper.opening / 2 + gripper.finger[1]
    return chords(surface, points[picks], closing, gripper.opening - 2 * OPEN_MARGIN, config, beside)


def hand_frames(closing: Array, config: SixDofConfig) -> tuple[Indices, Array]:
    """Returns the axis of each (m,) and hand rotations (m, 3, 3) about closing axes (k, 3), none from too far below."""
    angles = np.linspace(-1.0, 1.0, config.approaches) * config.largest_tilt
    frames = frames_about(closing, angles, upright=True)
    kept = frames[:, 2, 2] < -np.cos(config.largest_tilt) + 1e-9
    return np.tile(np.arange(len(closing)), config.approaches)[kept], frames[kept]


def _feasible(
    surface: Surface, centres: Array, frames: Array, situation: Situation, config: SixDofConfig
) -> list[Grasp]:
    """Grasps whose hand meets neither object nor table nor obstacles, and whose pads touch on both sides."""
    # what is not clear of a few of the points is not clear of all: most frames need no closer look
    close, _, above = _hands(surface.every(COARSE), centres, frames, situation.gripper)
    kept = np.flatnonzero(above & ~close.hit)
    if not len(kept):
        return []
    kept = kept[:: -(-len(kept) // config.looked_at)]
    centres, frames = centres[kept], frames[kept]
    close, sites, above = _hands(surface, centres, frames, situation.gripper)
    good = np.flatnonzero(close.good(config.min_alignment) & above)
    good = good[clear(situation, sites[good], frames[good])]
    width, alignment = close.width.tolist(), close.alignment.tolist()
    return [
        grasp_at(situation, sites[i], frames[i], config, close.quality(i), width=width[i], alignment=alignment[i])
        for i in good
    ]


def _hands(
    surface: Surface, centres: Array, frames: Array, gripper: Gripper
) -> tuple[Closing, Array, NDArray[np.bool_]]:
    """Closes hands (k) about centres (k, 3).

    Returns:
        what they meet, their sites (k, 3), and whether they keep clear of the table and reach the contacts.
    """
    u, v, w = in_hands(surface.points, centres, frames)
    nothing = np.zeros(len(centres))
    palm = (np.abs(v) < gripper.palm[1]) & (np.abs(u) < gripper.palm[0])
    under_palm = np.where(palm, w, -np.inf).max(axis=1)
    corners = centres[:, 2] + lowest_corner(frames, gripper)  # were the site there [m]
    with np.errstate(divide="ignore"):
        over_table = np.where(frames[:, 2, 2] < 0, (TABLE_CLEARANCE + 1e-6 - corners) / -frames[:, 2, 2], np.inf)
    # of the site above the contacts: the pads there, the palm clear of the object, all of the hand clear of the table
    height = np.maximum(np.maximum(gripper.pad_offset, under_palm + gripper.palm_offset + PALM_CLEARANCE), over_table)
    height = np.minimum(height, 1.0)
    close = close_hand(u, v, w, frames[:, :, 0] @ surface.normals.T, nothing, nothing, height, gripper)
    sites = sites_above(centres, frames, close.u, height)
    lowest = sites[:, 2] + corners - centres[:, 2]  # closing has moved it sideways
    return close, sites, (lowest > TABLE_CLEARANCE - 0.001) & (height < gripper.pad_offset + gripper.pad[1])
