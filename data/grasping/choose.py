"""Which grasp: the choosers that a `GraspExpert` asks, and which of them goes with which kind of gripper."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import GraspError
from toyshift.data.grasping.expert import Chooser, ExpertConfig, GraspExpert
from toyshift.data.grasping.hand import yaw_of
from toyshift.data.grasping.power import search_power
from toyshift.data.grasping.situation import Grasp, Situation
from toyshift.data.grasping.six_dof import search_six_dof
from toyshift.data.grasping.top_down import TopDownConfig, search_top_down
from toyshift.data.grasping.wider_than_hand import carried, search_wide, too_wide
from toyshift.envs.tasks.grasp import GraspEnv

# ways to combine the searches from above and in six degrees of freedom: what `ExpertConfig.six_dof_from` is
GRASP_SEARCHES = {"auto": ExpertConfig().six_dof_from, "top-down": 0, "6dof": 1}
CHOICE = 3  # grasps within reach to choose from
ANOTHER = 5  # best ones of which a further attempt takes any
LAST_RESORT = 4  # times as many 6-DoF grasps are looked at for reach where there is no other
SLIDING_WIDTH = 4.0  # alignment that a metre of width is worth where fingers slide [1/m]


def jaws(situation: Situation, config: ExpertConfig) -> Grasp:
    """Chooses for two fingers: from above where that holds, otherwise as something wide, on slanted contacts, or 6-DoF.

    Raises:
        GraspError: there is no feasible grasp.
    """
    six_dof = config.six_dof_from
    found = _from_above(situation, config.planner)
    grasps = situation.unblocked(found)
    wide = bool(six_dof) and not _hold(grasps[:1], situation, config) and too_wide(situation)
    if wide and (chords := _wide(situation, config)):
        return _of_the_best(chords, situation)
    if not found:
        grasps = situation.unblocked(_from_above(situation, config.second_try))
        if wide:  # what slides out of the hand takes the longer, the squarer and the wider it is held
            grasps.sort(key=lambda grasp: -grasp.alignment - SLIDING_WIDTH * grasp.width)
    if six_dof and (situation.attempt >= six_dof or not _hold(grasps[:1], situation, config)):
        grasps = _better(grasps, situation, config)
    if not grasps:
        raise GraspError("no feasible grasp from above, and the 6-DoF search is not to be asked")
    return _of_the_best(grasps, situation)


def one_jaw(situation: Situation, config: ExpertConfig) -> Grasp:
    """Chooses for a jaw that closes against a finger, at the end of an arm that cannot take any pose: from above.

    Raises:
        GraspError: there is no feasible grasp within reach.
    """
    for planner in (config.planner, dataclasses.replace(config.second_try, tilts=(0.0,))):
        grasps = situation.unblocked(_from_above(situation, planner))
        if reached := _reached(grasps[: LAST_RESORT * config.six_dof.checked], situation):
            return _of_the_best(reached, situation)
    raise GraspError("no feasible grasp from above that the arm reaches")


def power(situation: Situation, config: ExpertConfig) -> Grasp:
    """Chooses for a hand with fingers, which wraps around the object.

    Raises:
        GraspError: there is no feasible grasp.
    """
    return _of_the_best(search_power(situation), situation)


def given(pose: Array) -> Chooser:
    """Returns what chooses one grasp, whose pose (4, 4) is given in the object's frame."""

    def choose(situation: Situation, config: ExpertConfig) -> Grasp:
        position = situation.rotation @ pose[:3, 3] + situation.position
        return Grasp(position, situation.rotation @ pose[:3, :3], width=0.0, score=0.0)

    return choose


def any_feasible(env: GraspEnv, rng: np.random.Generator) -> Chooser:
    """Returns what chooses any feasible grasp from above: how many of them succeed says how forgiving the shape is."""

    def choose(situation: Situation, config: ExpertConfig) -> Grasp:
        yaw = yaw_of(env.commanded_pose()[1])  # the least turn is that from where the hand is
        grasps = search_top_down(dataclasses.replace(situation, yaw=yaw), config.planner)
        return grasps[int(rng.integers(len(grasps)))]

    return choose


# Gripper.kind -> chooser; to add one, add it here
CHOOSERS: dict[str, Chooser] = {"parallel": jaws, "jaw": one_jaw, "hand": power}


def make_expert(env: GraspEnv, config: ExpertConfig | None = None) -> GraspExpert:
    """Returns the expert for the environment's robot."""
    return GraspExpert(env, CHOOSERS[env.robot.gripper.kind], config)


def _of_the_best(grasps: list[Grasp], situation: Situation) -> Grasp:
    """Another attempt takes another grasp: the best one has just failed."""
    if situation.attempt == 1:
        return grasps[0]
    return grasps[int(situation.rng.integers(min(ANOTHER, len(grasps))))]


def _hold(grasps: list[Grasp], situation: Situation, config: ExpertConfig) -> list[Grasp]:
    """Returns those about which the object does not turn in the hand."""
    return [grasp for grasp in grasps if situation.wrench(grasp) < config.wrenches]


def _from_above(situation: Situation, config: TopDownConfig) -> list[Grasp]:
    try:
        return search_top_down(situation, config)
    except GraspError:
        return []


def _reached(grasps: list[Grasp], situation: Situation) -> list[Grasp]:
    return list(itertools.islice(filter(situation.reach, grasps), CHOICE))


def _wide(situation: Situation, config: ExpertConfig) -> list[Grasp]:
    """Returns grasps of a wide object that the arm reaches, best first: that on the way, where it still holds."""
    if same := carried(situation, config.wide):
        return [same]
    try:
        grasps = search_wide(situation.drawn_anew("wide"), config.wide)
    except GraspError:
        return []
    return _reached(_hold(situation.unblocked(grasps), situation, config)[: config.wide.checked], situation)


def _better(grasps: list[Grasp], situation: Situation, config: ExpertConfig) -> list[Grasp]:
    """Returns grasps that hold, in place of some from above that do not or have failed; or else the least bad.

    Raises:
        GraspError: there is none at all.
    """
    holding = _hold(grasps, situation, config)
    if holding and situation.attempt < config.six_dof_from:
        return holding
    checked = config.six_dof.checked * (1 if grasps else LAST_RESORT)
    try:
        found = situation.unblocked(search_six_dof(situation.drawn_anew("six-dof"), config.six_dof))[:checked]
        if not (reached := _reached(found, situation)):
            raise GraspError(f"the arm reaches none of the {len(found)} best 6-DoF grasps")
    except GraspError:
        if not grasps:
            raise
        return grasps
    bad = sorted([*reached, *grasps], key=lambda grasp: situation.wrench(grasp) / config.wrenches - grasp.alignment)
    return _hold(reached, situation, config) or bad
