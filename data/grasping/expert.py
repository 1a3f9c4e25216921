"""The scripted expert: plans a grasp and servoes to it; the oracle row of every table and the source of demonstrations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.errors import GraspError
from toyshift.core.seeds import episode_rng
from toyshift.data.grasping.six_dof import SixDofConfig, plan_six_dof, reachable
from toyshift.data.grasping.top_down import Grasp, PlannerConfig, SurfaceSamples, nearest_turn, plan_grasps
from toyshift.data.grasping.wider_than_hand import (
    GRAVITY,
    CollisionSamples,
    WideConfig,
    carried,
    plan_wide,
    squeeze_force,
    too_wide,
)
from toyshift.envs.rotations import matrix_to_rotvec
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys.model import GraspObject

Array = NDArray[np.float64]

PLANNERS = {"auto": 4, "top-down": 0, "6dof": 1}  # ways to combine the two planners: what `ExpertConfig.six_dof_from` is
OBSTACLE_POINTS = 300  # of the surface of an object that must not be touched
OVER = 0.02  # between the finger tips and the highest other object, on the way [m]
HIGHEST_HOVER = 0.25  # [m]
CHOICE = 3  # 6-DoF grasps to choose from
LAST_RESORT = 4  # times as many 6-DoF grasps are looked at for reach where there is no other
NEAR = 0.01  # from the height of lifting, within which the hand has got there [m]
HIGHER = 0.25  # most that the hand goes beyond the height of lifting where an object hangs down from it [m]
SLANTED = 0.5  # tilt of the approach from which the hand travels along it in place of the vertical [rad]
SLANTED_TURN = 0.15  # rotation from the grasp's below which a slanted hand comes in, and closes [rad]
PRECISE = 0.003, 0.06  # distance from the line of approach [m] and rotation [rad] within which a hand that barely clears the object comes in
DEEP, SETTLED = (0.001, 0.005), 5  # height above such a grasp at which the gripper closes, and where the hand has come no further for so many actions
FIRM = 6  # least actions for closing on slanted surfaces
SLIDING_WIDTH = 4.0  # alignment that a metre of width is worth where fingers slide [1/m]
GENTLE = 0.02  # gain per action of the speed with which the hand lifts what it holds so [m]: not at once, what is held so starts to slide, nor for long, it creeps
STILL = 0.004, 0.05  # way [m] and turn [rad] of the hand that count as none
RESTLESS = 6  # plans of one attempt, of an object that is wider than the hand, beyond which a grasp goes along with a moving object
BLOCKED = 20  # actions on the way without either, after which something must be in the way
ALIKE = 0.02, 0.5  # distance [m] and angle between closing axes [rad] within which a grasp is one that was blocked
CLEAR = 0.06  # from the line of approach, beyond which a slanted hand keeps above the object [m]


@dataclasses.dataclass(frozen=True)
class ExpertConfig:
    """How the expert moves.

    Attributes:
        speed: largest translation per action [m].
        turn_speed: largest rotation per action [rad].
        hover: height above the grasp at which the hand travels [m].
        funnel: how steeply the hand comes down as the error shrinks [m per m].
        tolerance: error in the plane below which the hand comes down all the way [m].
        turn_tolerance: the same for the turn about the vertical [rad]. Wide, because a policy that imitates cannot see the
            planned turn of a round object: a hand that waits for it teaches hovering.
        reached: error in the plane, and in height, below which the gripper closes while the hand goes on to the grasp [m].
            Wide for the same reason: where the demonstrations wait for the last millimetres, an imitator waits for ever.
        reached_turn: the same for the turn [rad].
        close_steps: least number of actions for closing.
        lift: how far the hand rises after closing, beyond the height that counts as success [m].
        planner: planner settings.
        second_try: planner settings for when the first find nothing: more tries, tilted approaches, slanted contacts.
        six_dof: settings of the 6-DoF planner, for when these find nothing either, or only what turns in the hand.
        six_dof_from: attempt from which the 6-DoF planner is asked first; 1 asks it first always, 0 never asks it; see PLANNERS.
        wrenches: torque of the object's weight about the grasp at which it turns in the hand [N m].
        wide: settings of the planner for what is wider than the hand as it lies; it is asked where the 6-DoF planner may be.
    """

    speed: float = 0.04
    turn_speed: float = 0.25
    hover: float = 0.08
    funnel: float = 3.0
    tolerance: float = 0.012
    turn_tolerance: float = 0.3
    reached: float = 0.012
    reached_turn: float = 0.3
    close_steps: int = 4
    lift: float = 0.06
    planner: PlannerConfig = dataclasses.field(default_factory=PlannerConfig)
    second_try: PlannerConfig = dataclasses.field(
        default_factory=lambda: PlannerConfig(points=1200, yaws=24, tries=60, tilts=(0.0, -0.35, 0.35), min_alignment=0.55)
    )
    six_dof: SixDofConfig = dataclasses.field(default_factory=SixDofConfig)
    six_dof_from: int = PLANNERS["auto"]
    wrenches: float = 0.3
    wide: WideConfig = dataclasses.field(default_factory=WideConfig)


class GraspExpert:
    """Acts on an environment with privileged knowledge of the object's pose.

    Approach, close, lift; when the object has not come along, it opens and tries again. Where to go next depends on the
    present poses only (and on whether the hand is closing or lifting), so that a policy can imitate it.
    """

    name = "oracle"

    def __init__(self, env: GraspEnv, config: ExpertConfig | None = None) -> None:
        self.env = env
        self.config = config or ExpertConfig()
        self._samples: dict[tuple[str, int], tuple[trimesh.Trimesh, SurfaceSamples]] = {}

    def reset(self, seed: int, episode: int) -> None:
        """Plans for the episode that the environment has just begun.

        Raises:
            GraspError: there is no feasible grasp.
        """
        self._episode = seed, episode
        self._rng = episode_rng(seed, episode, "planner")
        self.attempts = 0
        self._planned_com, self._wide, self._wide_at_first = self.env.object_position(), False, True
        self._wide_at_first = self._too_wide()  # at rest: what is pushed over may be wide for a moment
        self._highest = 0.0  # point of the other objects [m]
        self._blocked: list[tuple[Array, Array]] = []  # places and closing axes of grasps that the hand did not get to, object frame
        self._start_low = self._low()
        self._home_yaw, self._home = self._yaw(), self.env.commanded_pose()[1]
        self._begin()

    def take_over(self) -> None:
        """Plans from the present state of the episode, which someone else has brought about since `reset`.

        Raises:
            GraspError: there is no feasible grasp.
        """
        self.attempts, self._home_yaw = 0, self._yaw()
        self._begin()

    @property
    def approaching(self) -> bool:
        """Whether the hand is on its way to the grasp."""
        return self._phase == "approach"

    def _begin(self) -> None:
        self._phase, self._count, self._higher, self._replans = "approach", 0, 0.0, 0
        self._still_at, self._still = self.env.hand_pose(), 0
        self.attempts += 1
        self.grasp = self._plan()
        self._planned_com = self.env.object_position()

    def _plan(self) -> Grasp:
        env = self.env
        position, rotation = env.object_pose()
        self._planned_for = position, rotation
        obstacles = self._obstacles()
        six_dof = self.config.six_dof_from
        self._wide = False
        grasps = self._from_above(self.config.planner, obstacles)
        found = bool(grasps)
        grasps = self._not_blocked(grasps)
        if six_dof and not (grasps and self._holds(grasps[0])) and (wide := self._plan_wide(obstacles)):
            return self._choose(wide)
        if not found:
            grasps = self._not_blocked(self._from_above(self.config.second_try, obstacles))
            if self._wide:  # what slides out of the hand takes the longer, the squarer and the wider it is held
                grasps.sort(key=lambda grasp: -grasp.alignment - SLIDING_WIDTH * grasp.width)
        if six_dof and (not grasps or self.attempts >= six_dof or not self._holds(grasps[0])):
            grasps = self._plan_better(grasps, obstacles)
        if not grasps:
            raise GraspError("no feasible grasp from above, and the 6-DoF planner is not to be asked")
        return self._choose(grasps)

    def _choose(self, grasps: list[Grasp]) -> Grasp:
        """Another try takes another grasp: the best one has just failed."""
        return grasps[min(len(grasps) - 1, 0 if self.attempts == 1 else int(self._rng.integers(min(5, len(grasps)))))]

    def _from_above(self, config: PlannerConfig, obstacles: Array) -> list[Grasp]:
        env = self.env
        place = (*env.object_pose(), env.object_position(), env.robot.gripper, self._home_yaw, self._rng)
        try:
            return plan_grasps(self.samples_of(env.object), *place, config, obstacles)
        except GraspError:
            return []

    def _plan_better(self, grasps: list[Grasp], obstacles: Array) -> list[Grasp]:
        """Returns grasps that hold, in place of some from above that do not or have failed; the least bad where there are none.

        Raises:
            GraspError: there is none at all.
        """
        first = self.attempts >= self.config.six_dof_from
        holding = [grasp for grasp in grasps if self._holds(grasp)]
        if holding and not first:
            return holding
        try:
            found = self._plan_six_dof(obstacles, self.config.six_dof.checked * (1 if grasps else LAST_RESORT))
        except GraspError:
            if not grasps:
                raise
            return grasps
        holding = [grasp for grasp in found if self._holds(grasp)]
        return holding or sorted([*found, *grasps], key=lambda grasp: self._wrench(grasp) / self.config.wrenches - grasp.alignment)

    def _plan_wide(self, obstacles: Array) -> list[Grasp]:
        """Returns grasps of an object that is wider than the hand as it lies, of those that the arm reaches, best first; none for another."""
        env, config = self.env, self.config
        (position, rotation), gripper = env.object_pose(), env.robot.gripper
        self._wide = self._too_wide()
        if not self._wide:
            return []
        rng = episode_rng(*self._episode, f"wide:{self.attempts}")
        samples = self._collision_samples(config.wide.points)
        com, mass = env.object_position(), env.object.mass
        if self._count and self.grasp.precise:
            same = carried(samples, position, rotation, mass, gripper, self.grasp, com - self._planned_com, config.wide)
            if same:
                return [same]
        try:
            grasps = plan_wide(samples, position, rotation, com, mass, gripper, self._home, rng, config.wide, obstacles)
        except GraspError:
            return []
        ik, joints, lift = env.inverse_kinematics(), env.commanded_joints(), env.config.lift_height + config.lift
        grasps = [grasp for grasp in self._not_blocked(grasps) if self._holds(grasp)][: config.wide.checked]
        return list(itertools.islice((grasp for grasp in grasps if reachable(grasp, ik, joints, config.hover, lift)), CHOICE))

    def _too_wide(self) -> bool:
        """Whether the object, as it lies and as it lay at first, is wider than the jaws open whichever way they turn; of a hand with fingers, never."""
        parallel = self.env.robot.gripper.kind == "parallel"
        return parallel and self._wide_at_first and too_wide(self.env.object.mesh.vertices @ self.env.object_pose()[1].T, self.env.robot.gripper)

    def _collision_samples(self, count: int) -> SurfaceSamples:
        obj, key = self.env.object, (f"{self.env.object.id}:collision", count)
        mesh, samples = self._samples.get(key, (None, None))
        if samples is None or mesh is not obj.mesh:
            samples = CollisionSamples(obj, key[1])
            self._samples[key] = obj.mesh, samples
        return samples

    def _plan_six_dof(self, obstacles: Array, checked: int) -> list[Grasp]:
        """Returns 6-DoF grasps that the arm reaches, best first, or raises GraspError."""
        env, config = self.env, self.config
        rng = episode_rng(*self._episode, f"six-dof:{self.attempts}")  # of its own: what the planner from above draws must not depend on it
        samples = self.samples_of(env.object, config.six_dof.points)
        grasps = plan_six_dof(samples, *env.object_pose(), env.object_position(), env.robot.gripper, self._home, rng, config.six_dof, obstacles)
        grasps = self._not_blocked(grasps)
        ik, joints, lift = env.inverse_kinematics(), env.commanded_joints(), env.config.lift_height + config.lift
        reached = (grasp for grasp in grasps[:checked] if reachable(grasp, ik, joints, config.hover, lift))
        found = list(itertools.islice(reached, CHOICE))
        if not found:
            raise GraspError(f"the arm reaches none of the {min(len(grasps), checked)} best 6-DoF grasps")
        return found

    def _not_blocked(self, grasps: list[Grasp]) -> list[Grasp]:
        """Returns those that are not like one that the hand did not get to."""
        if not self._blocked:
            return grasps
        position, rotation = self.env.object_pose()
        places, axes = (np.array(values) for values in zip(*self._blocked, strict=True))
        places, axes = places @ rotation.T + position, axes @ rotation.T  # (b, 3)

        def like(grasp: Grasp) -> bool:
            near = np.linalg.norm(places - grasp.position, axis=1) < ALIKE[0]
            return bool((near & (np.abs(axes @ grasp.rotation[:, 0]) > np.cos(ALIKE[1]))).any())

        return [grasp for grasp in grasps if not like(grasp)]

    def _holds(self, grasp: Grasp) -> bool:
        return self._wrench(grasp) < self.config.wrenches

    def _wrench(self, grasp: Grasp) -> float:
        """Torque of the object's weight about the grasp [N m]."""
        return float(GRAVITY * self.env.object.mass * np.linalg.norm((self.env.object_position() - grasp.position)[:2]))

    def _obstacles(self) -> Array:
        """Points (m, 3) of the other objects, base frame [m]; how high they reach is remembered for the way there."""
        found: Array = np.concatenate([self.samples_of(obj).points[:OBSTACLE_POINTS] @ turn.T + place for obj, place, turn in self.env.others()] or [np.zeros((0, 3))])
        self._highest = float(found[:, 2].max(initial=0.0))
        return found

    def samples_of(self, obj: GraspObject, count: int | None = None) -> SurfaceSamples:
        """Returns `count` surface samples of an object, by default as many as the planner from above takes; drawn once."""
        key = obj.id, count or self.config.planner.points
        mesh, samples = self._samples.get(key, (None, None))
        if samples is None or mesh is not obj.mesh:  # a shift makes other sizes of the same object
            samples = SurfaceSamples(obj.mesh, key[1])
            self._samples[key] = obj.mesh, samples
        return samples

    def _hover(self) -> float:
        """Height above the grasp at which the hand travels: higher where the fingers would meet other objects [m]."""
        if not self._highest:
            return self.config.hover
        over = self._highest + OVER + self.env.robot.gripper.tip_offset - float(self.grasp.position[2])
        return float(np.clip(over, self.config.hover, HIGHEST_HOVER))

    def _yaw(self) -> float:
        rotation = self.env.commanded_pose()[1]
        return float(np.arctan2(rotation[1, 0], rotation[0, 0]))

    def act(self) -> NDArray[np.float32]:
        """Returns the next action under the environment's action contract."""
        self._update_phase()
        position, rotation, opening = self._target()
        return self._action(position, rotation, opening)

    def _update_phase(self) -> None:
        env, config = self.env, self.config
        self._count += 1
        hand, _ = env.hand_pose()
        if self._phase == "approach":
            if self._moved():
                self._replan()
            if self._arrived(hand):
                self._phase, self._count, self._last_opening = "close", 0, 1.0
            elif self._stands_still():
                position, rotation = env.object_pose()
                self._blocked.append(((self.grasp.position - position) @ rotation, self.grasp.rotation[:, 0] @ rotation))
                self._replan_attempt()
        elif self._phase == "close":
            opening = env.opening()
            steps = FIRM if self.grasp.precise else config.close_steps
            if self._count >= steps and (self._slides or abs(opening - self._last_opening) < 0.02):
                self._phase, self._count = "lift", 0
                self._gently = self.grasp.precise or not self._holds(self.grasp)
                self._gap = float(np.linalg.norm(env.object_position() - hand))
            self._last_opening = opening
        elif self._phase == "lift":
            gap = float(np.linalg.norm(env.object_position() - hand))
            if gap > self._gap + 0.05:
                self._replan_attempt()
            elif hand[2] > self._top() - NEAR and (missing := env.config.lift_height - self._height()) > 0:
                self._higher = min(self._higher + missing + NEAR, HIGHER)  # it hangs down from the hand

    def _arrived(self, hand: Array) -> bool:
        config = self.config
        plane, turn = self._errors()
        along = hand[2] - self.grasp.position[2]
        if self._slanted:
            along = (hand - self.grasp.position) @ self.grasp.rotation[:, 2]
            there = plane < self._fine(config.reached) and turn < self._fine_turn
            return bool(there and abs(along) < (DEEP[self._still > SETTLED] if self.grasp.precise else config.reached))
        return bool(plane < config.reached and abs(turn) < config.reached_turn and abs(along) < config.reached)

    def _stands_still(self) -> bool:
        """Whether the hand has got no further for so long that something is in its way."""
        position, rotation = self.env.hand_pose()
        moved = np.linalg.norm(position - self._still_at[0]) > STILL[0]
        if moved or np.linalg.norm(matrix_to_rotvec(rotation @ self._still_at[1].T)) > STILL[1]:
            self._still_at, self._still = (position, rotation), 0
        self._still += 1
        return self._still > BLOCKED

    def _replan_attempt(self) -> None:
        try:
            self._begin()
        except GraspError:
            self._phase, self._count = "approach", 0  # keep the old grasp: the episode will fail, not the program

    def _replan(self) -> None:
        self._replans += 1
        com = self.env.object_position()
        if self._replans > RESTLESS and self._too_wide():  # it rolls: a grasp that is another one at every step is never reached
            self.grasp = dataclasses.replace(self.grasp, position=self.grasp.position + com - self._planned_com)
            self._planned_for = self.env.object_pose()
        else:
            try:
                self.grasp = self._plan()
            except GraspError:
                self._planned_for = self.env.object_pose()
        self._planned_com = com

    def _moved(self) -> bool:
        position, rotation = self.env.object_pose()
        return bool(np.linalg.norm(position - self._planned_for[0]) > 0.006 or np.linalg.norm(rotation - self._planned_for[1]) > 0.12)

    def _errors(self) -> tuple[float, float]:
        """Distance to the grasp in the plane [m] and turn about the vertical [rad], of the measured hand.

        Of a slanted grasp: distance from the line of approach [m], and rotation [rad].
        """
        position, rotation = self.env.hand_pose()
        if self._slanted:
            offset, approach = position - self.grasp.position, self.grasp.rotation[:, 2]
            angle = float(np.linalg.norm(matrix_to_rotvec(self.grasp.rotation @ rotation.T)))
            return float(np.linalg.norm(offset - (offset @ approach) * approach)), angle
        plane = float(np.linalg.norm(position[:2] - self.grasp.position[:2]))
        yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        return plane, nearest_turn(self.grasp.rotation, yaw)[1]

    @property
    def _slanted(self) -> bool:
        return bool(self.grasp.precise or self.grasp.rotation[2, 2] > -np.cos(SLANTED))

    @property
    def _slides(self) -> bool:
        """Whether surfaces are so slanted that the fingers slide on them: who waits until they stand still holds nothing any more."""
        return self.grasp.precise or (self._wide and self.grasp.alignment < self.config.planner.min_alignment)

    def _fine(self, tolerance: float) -> float:
        return PRECISE[0] if self.grasp.precise else tolerance

    @property
    def _fine_turn(self) -> float:
        return PRECISE[1] if self.grasp.precise else SLANTED_TURN

    def _target(self) -> tuple[Array, Array, float]:
        config, grasp = self.config, self.grasp
        # which of the two half-turns is nearer changes with the yaw; a slanted hand has no yaw to speak of, and keeps the planned one
        rotation = grasp.rotation if self._slanted else nearest_turn(grasp.rotation, self._yaw())[0]
        if self._phase == "approach":
            plane, turn = self._errors()
            if self._slanted:
                error = max(0.0, plane - self._fine(config.tolerance)) + 0.3 * max(0.0, turn - self._fine_turn)
                back = min(self._hover(), config.funnel * error) * grasp.rotation[:, 2]
                # from far away, over the object, not through it
                return grasp.position - back + np.array([0.0, 0.0, np.clip(plane - CLEAR, 0.0, config.hover)]), rotation, 1.0
            error = max(0.0, plane - config.tolerance) + 0.06 * max(0.0, abs(turn) - config.turn_tolerance)
            hover = self._hover()
            height = min(hover, hover / config.hover * config.funnel * error)
            return grasp.position - height * grasp.rotation[:, 2], rotation, 1.0
        closed = self.env.robot.gripper.squeeze(self.env.opening(), squeeze_force(grasp.alignment, self.env.object.mass)) if grasp.precise else 0.0
        if self._phase == "close":
            return grasp.position, rotation, closed
        return np.array([*grasp.position[:2], self._top()]), rotation, closed

    def _top(self) -> float:
        """Height to which the hand lifts [m]."""
        return float(self.grasp.position[2] + (self.env.config.lift_height + self.config.lift) + self._higher)

    def _height(self) -> float:
        """How far the object's lowest point is above where it started [m]."""
        return self._low() - self._start_low

    def _low(self) -> float:
        position, rotation = self.env.object_pose()
        return float((self.env.object.mesh.vertices @ rotation[2]).min() + position[2])

    def _action(self, position: Array, rotation: Array, opening: float) -> NDArray[np.float32]:
        config, env = self.config, self.env
        commanded_position, commanded_rotation = env.commanded_pose()
        step = position - commanded_position
        length = float(np.linalg.norm(step))
        speed = min(config.speed, GENTLE * (self._count + 1)) if self._phase == "lift" and self._gently else config.speed
        if length > speed:
            step *= speed / length
        turn = matrix_to_rotvec(rotation @ commanded_rotation.T)
        angle = float(np.linalg.norm(turn))
        if angle > config.turn_speed:
            turn *= config.turn_speed / angle
        return env.action_for(step, turn, opening)
