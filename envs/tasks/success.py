"""Success predicates and reward terms of the grasping tasks: named dicts; success is judged apart from the reward."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.envs.config import EnvConfig
from toyshift.envs.rotations import norm
from toyshift.envs.scene.scene import Scene

Flags = NDArray[np.bool_]  # (geoms,)
REWARD_SCALES = {"reach": 0.2, "held": 0.3, "lift": 0.5, "success": 2.0}
# name in `EnvConfig.reward` -> scale of each term. "dense" pays for staying just below success; with "cost" every step
# short of it costs up to 1, and a simulation that was made to blow up costs more than never to succeed. Its near and
# over are felt along the way from above: whoever is paid for the distance alone learns to stand beside the object with
# closed fingers (docs/rl.md).
REWARDS: dict[str, dict[str, float]] = {
    "dense": REWARD_SCALES,
    "cost": {"step": -1.0, "near": 0.1, "over": 0.2, "grasp": 0.2, "held": 0.1, "lift": 0.4, "unstable": -50.0},
    "sparse": {"success": 1.0},
}
HOVER, FUNNEL, BESIDE = 0.08, 3.0, 0.015  # the way from above: see `detour`; [m], ratio, [m]
OPPOSITE = -0.5  # cosine between the normals of two contacts below which they pinch what lies between them
# [m] that the gripper may sink into what it holds, and the grasp still counts. MuJoCo's contacts give way the more, the
# lighter an object is: mostly by 1 mm, by up to 5 mm in toys of 5 g, by 11 to 19 mm where a table of masses says 1 g
# for want of a better number (docs/environments.md).
MAX_PENETRATION = 0.005
RAISED = 0.05  # an object that the gripper holds this far above its start counts as lifted in `lifted_object` [m]


class Thing(NamedTuple):
    """An object on the table: its id, its body, and the vertices (n, 3) of its convex hull in its own frame [m]."""

    id: str
    body: int
    hull: Array


def _predicates(stable: bool) -> dict[str, bool]:
    """Returns those of a target that lies there."""
    return {"lifted": False, "held": False, "right_object": True, "not_penetrated": True, "stable": stable}


@dataclasses.dataclass
class Judge:
    """What an episode has come to.

    Attributes:
        start_low: height of the lowest point of every object at the start, the target's first [m].
        held_steps: for how many control steps in a row the target has been held high enough.
        max_height: highest rise of the target's lowest point [m].
        touched: whether the gripper has touched the target.
        grasped: whether two parts of the gripper, such as both fingers, touch the target from opposite sides.
        beside: whether the gripper touches another object.
        height: how far the target's lowest point is above where it started [m].
        penetration: how deep the gripper has sunk into the target while it held it, at the deepest [m].
        sunk: the same since it took it up last; 0 while it does not hold it [m].
        lifted_object: id of the last object that the gripper held RAISED above its start, "" for none.
        success, unstable: how it ended.
        predicates: "lifted": the target is `EnvConfig.lift` above its start. "held": it touches the gripper and nothing
            else. "right_object": the gripper holds no other object. "not_penetrated": since it took the target up, it
            has not sunk deeper into it than MAX_PENETRATION. "stable": the simulation has not blown up.
        terms: reward terms, unscaled.
    """

    start_low: Array
    height: float = 0.0
    held_steps: int = 0
    max_height: float = 0.0
    touched: bool = False
    grasped: bool = False
    beside: bool = False
    penetration: float = 0.0
    sunk: float = 0.0
    lifted_object: str = ""
    success: bool = False
    unstable: bool = False
    predicates: dict[str, bool] = dataclasses.field(default_factory=lambda: _predicates(stable=True))
    terms: dict[str, float] = dataclasses.field(default_factory=dict)

    def measure(self, scene: Scene, target: Thing) -> None:
        """Brings the target's height up to date."""
        self.height = low_point(scene, target) - float(self.start_low[0])

    def judge(self, scene: Scene, things: Sequence[Thing], config: EnvConfig) -> None:
        """Brings predicates, counters and success up to date after a control step; the target is the first thing."""
        self.measure(scene, things[0])
        self.max_height = max(self.max_height, self.height)
        gripper, other = contacts(scene, scene.is_object)
        self.touched = self.touched or gripper
        self.grasped = gripper and pinched(scene)
        held, lifted = gripper and not other, self.height >= config.lift
        bodies = scene.model.geom_bodyid
        others = [contacts(scene, bodies == thing.body) for thing in things[1:]]
        self.beside = any(touches for touches, _ in others)
        wrong = [i for i, found in enumerate(others, 1) if found == (True, False)]
        for i in [*wrong, *([0] if held else [])]:
            if low_point(scene, things[i]) - self.start_low[i] >= RAISED:
                self.lifted_object = things[i].id
        self.sunk = max(self.sunk, depth(scene.data.contact, scene.is_object, scene.is_gripper)) if held else 0.0
        self.penetration = max(self.penetration, self.sunk)
        self.predicates = {
            "lifted": lifted, "held": held, "right_object": not wrong, "not_penetrated": self.sunk <= MAX_PENETRATION,
            "stable": True,
        }  # fmt: skip
        self.held_steps = self.held_steps + 1 if all(self.predicates.values()) else 0
        self.success = self.held_steps >= config.hold_steps

    def blow_up(self) -> None:
        """Ends the episode without success."""
        self.unstable, self.grasped = True, False
        self.predicates = _predicates(stable=False)

    def reward(self, offset: Array, config: EnvConfig) -> float:
        """Returns the sum of the scaled terms and keeps the terms.

        Args:
            offset: (3,) from the hand to the target's centre of mass [m].
            config: environment configuration.
        """
        scales = REWARDS[config.reward]
        terms = reward_terms(norm(offset), self.predicates["held"], self.height / config.lift, self.success)
        if "over" in scales:
            error = detour(offset)
            terms |= {"step": 1.0, "near": max(0.0, 1.0 - 2.0 * error), "over": 1.0 - math.tanh(10.0 * error)}
            terms |= {"grasp": float(self.grasped), "unstable": float(self.unstable)}
        self.terms = {name: terms[name] for name in scales}
        return float(sum(scales[name] * value for name, value in self.terms.items()))


def reward_terms(distance: float, held: bool, lifted: float, success: bool) -> dict[str, float]:
    """Returns the unscaled reward terms; `distance` is between hand and target [m], `lifted` the share of the lift
    height.
    """
    return {
        "reach": 1.0 - float(np.tanh(5.0 * distance)),
        "held": float(held),
        "lift": min(max(0.0, lifted), 1.0),
        "success": float(success),
    }


def low_point(scene: Scene, thing: Thing) -> float:
    """Height of an object's lowest point above the table [m], of its convex hull."""
    return float(scene.data.xpos[thing.body, 2] + (thing.hull @ scene.data.xmat[thing.body, 6:]).min())


def detour(offset: Array) -> float:
    """Returns how far the hand is from where it should be on its way to the target [m].

    Where that is depends on how far it is beside the target's centre of mass: up to BESIDE, at its height; from there
    on FUNNEL times as much higher, up to HOVER.

    Args:
        offset: (3,) from the hand to the target's centre of mass [m].
    """
    aside = math.hypot(offset[0], offset[1])
    wanted = min(HOVER, FUNNEL * max(0.0, aside - BESIDE))
    return math.hypot(aside, offset[2] + wanted)


def pinched(scene: Scene) -> bool:
    """Whether two parts of the gripper touch the target from opposite sides; two that press on its top do not."""
    contact = scene.data.contact
    pairs = contact.geom  # (n, 2)
    mine = scene.is_object[pairs]
    chosen = (mine[:, ::-1] & ~mine & scene.is_gripper[pairs]).any(axis=1)
    towards = np.where(mine[chosen, :1], 1.0, -1.0) * contact.frame[chosen, :3]  # (c, 3) normals, out of the target
    parts = scene.model.geom_bodyid[np.where(mine[chosen, 0], pairs[chosen, 1], pairs[chosen, 0])]  # (c,)
    opposite = towards @ towards.T < OPPOSITE
    return bool((opposite & (parts[:, None] != parts)).any())


def depth(contact: Any, mine_of_geom: Flags, is_gripper: Flags) -> float:
    """Returns how deep the gripper has sunk into an object, at its deepest contact [m]; 0 where it does not touch it.

    Args:
        contact: MuJoCo's contacts.
        mine_of_geom: per geom, True where it is the object's.
        is_gripper: per geom, True where it is the gripper's.
    """
    pairs = contact.geom  # (n, 2)
    chosen = (mine_of_geom[pairs] & is_gripper[pairs[:, ::-1]]).any(axis=1)
    return float((-contact.dist[chosen]).max(initial=0.0))


def contacts(scene: Scene, mine_of_geom: Flags) -> tuple[bool, bool]:
    """Whether the geoms of an object (per geom, True where it is the object's) touch the gripper, and whether anything
    else.
    """
    return touching(scene.data.contact.geom, mine_of_geom, scene.is_gripper)


def touching(pairs: NDArray[np.int32], mine_of_geom: Flags, is_gripper: Flags) -> tuple[bool, bool]:
    """As `contacts`, of the geom ids (n, 2) of contacts."""
    mine = mine_of_geom[pairs]
    others = pairs[mine[:, ::-1] & ~mine]  # those that meet one of mine
    by_gripper = is_gripper[others].tolist()
    return True in by_gripper, False in by_gripper
