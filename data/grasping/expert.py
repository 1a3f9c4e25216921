"""The scripted expert, who gets to a grasp and lifts: the oracle row of every table, the source of demonstrations."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.errors import GraspError
from toyshift.core.seeds import episode_rng
from toyshift.data.grasping.hand import nearest_turn, yaw_of
from toyshift.data.grasping.situation import Grasp, Situation, outer_surface
from toyshift.data.grasping.six_dof import SixDofConfig
from toyshift.data.grasping.top_down import TopDownConfig
from toyshift.data.grasping.wider_than_hand import WideConfig, squeeze_force, too_wide
from toyshift.envs.control.kinematics import InverseKinematics
from toyshift.envs.rotations import matrix_to_rotvec
from toyshift.envs.tasks.grasp import GraspEnv

MAX_STEPS = 100  # of `lifts_at_once`
OBSTACLE_POINTS = 300  # of the surface of an object that must not be touched
OVER = 0.02  # between the finger tips and the highest other object, on the way [m]
HIGHEST_HOVER = 0.25  # [m]
NEAR = 0.01  # from the height of lifting, within which the hand has got there [m]
HIGHER = 0.25  # most that the hand goes beyond the height of lifting where an object hangs down from it [m]
SLANTED = 0.5  # tilt of the approach from which the hand travels along it in place of the vertical [rad]
SLANTED_TURN = 0.15  # rotation from the grasp's below which a slanted hand comes in, and closes [rad]
# distance from the line of approach [m] and rotation [rad] within which a hand that barely clears the object comes in
PRECISE = 0.003, 0.06
# height above such a grasp at which the gripper closes, and where the hand has come no further for so many actions
DEEP, SETTLED = (0.001, 0.005), 5
# share of `Gripper.room` by which a finger that does not move may be off when the hand comes down, and closes
ROOM = 0.6
STEEPER = 3.0  # factor on the funnel of such a hand: with less room on one side it comes down from further above
FIRM = 6  # least actions for closing on slanted surfaces
# gain per action of the speed with which the hand lifts what it holds so [m]: not at once, what is held so starts to
# slide, nor for long, it creeps
GENTLE = 0.02
STILL = 0.004, 0.05  # way [m] and turn [rad] of the hand that count as none
RESTLESS = 6  # plans of one attempt, of a wide object, beyond which a grasp goes along with a moving object
BLOCKED = 20  # actions on the way without either, after which something must be in the way
MOVED = 0.006, 0.12  # way [m] and change of the rotation matrix after which an object needs another plan
IK_ITERATIONS, IK_AT_ONCE = 25, 5  # most, and how many before it is looked whether a pose is reached
REACHED = 0.004, 0.03  # what counts as the same pose [m], [rad]
CLEAR = 0.06  # from the line of approach, beyond which a slanted hand keeps above the object [m]


@dataclasses.dataclass(frozen=True)
class ExpertConfig:
    """How the expert moves, and searches for grasps. The names of the fields enter the keys of collections.

    Attributes:
        speed: largest translation per action [m].
        turn_speed: largest rotation per action [rad].
        hover: height above the grasp at which the hand travels [m].
        funnel: how steeply the hand comes down as the error shrinks [m per m].
        tolerance: error in the plane below which the hand comes down all the way [m].
        turn_tolerance: the same for the turn about the vertical [rad]. Wide, because a policy that imitates cannot see
            the planned turn of a round object: a hand that waits for it teaches hovering.
        reached: error in the plane, and in height, below which the gripper closes while the hand goes on to the grasp
            [m]. Wide for the same reason: where the demonstrations wait for the last millimetres, an imitator waits for
            ever.
        reached_turn: the same for the turn [rad].
        close_steps: least number of actions for closing.
        lift: how far the hand rises after closing, beyond the height that counts as success [m].
        planner: settings of the grasp search from above.
        second_try: the same for when the first find nothing: more tries, tilted approaches, slanted contacts.
        six_dof: settings of the 6-DoF search, for when these find nothing either, or only what turns in the hand.
        six_dof_from: attempt from which the 6-DoF search is asked first; 1 asks it first always, 0 never asks it; see
            `choose.GRASP_SEARCHES`.
        wrenches: torque of the object's weight about the grasp at which it turns in the hand [N m].
        wide: settings of the search for what is wider than the hand as it lies; it is asked where the 6-DoF search may
            be.
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
    planner: TopDownConfig = dataclasses.field(default_factory=TopDownConfig)  # its name is in keys of collections
    second_try: TopDownConfig = dataclasses.field(
        default_factory=lambda: TopDownConfig(yaws=24, tries=60, tilts=(0.0, -0.35, 0.35), min_alignment=0.55)
    )
    six_dof: SixDofConfig = dataclasses.field(default_factory=SixDofConfig)
    six_dof_from: int = 4
    wrenches: float = 0.3
    wide: WideConfig = dataclasses.field(default_factory=WideConfig)


# which grasp, in a situation and under the expert's settings; raises GraspError where there is none
Chooser = Callable[[Situation, ExpertConfig], Grasp]


def present_situation(env: GraspEnv, config: ExpertConfig, rng: np.random.Generator) -> Situation:
    """Returns the situation of an environment whose hand is at home, for an expert that moves as `config` says."""
    (position, rotation), hand = env.object_pose(), env.commanded_pose()[1]
    obstacles = [np.zeros((0, 3))]
    for obj, place, turn in env.others():
        obstacles.append(outer_surface(obj, config.planner.points).points[:OBSTACLE_POINTS] @ turn.T + place)
    lift = env.lift_height + config.lift
    reach = functools.partial(
        reachable, ik=env.inverse_kinematics(), joints=env.commanded_joints(), standoff=config.hover, lift=lift,
        leans=bool(env.robot.bends),
    )
    return Situation(
        env.object, position, rotation, env.object_position(), env.robot.gripper, home=hand, yaw=yaw_of(hand), rng=rng,
        obstacles=np.concatenate(obstacles), reach=reach,
    )  # fmt: skip


def reachable(
    grasp: Grasp, ik: InverseKinematics, joints: Array, standoff: float, lift: float, leans: bool = False
) -> bool:
    """Whether an arm at `joints` (n,) [rad] gets to `standoff` before a grasp, to it, and to `lift` above it [m].

    A hand that `leans` may do so before and above the grasp, but not in it.
    """
    before = grasp.position - standoff * grasp.rotation[:, 2]
    for position in (before, grasp.position, grasp.position + np.array([0.0, 0.0, lift])):
        for _ in range(IK_ITERATIONS // IK_AT_ONCE):
            joints = ik.solve(joints, position, grasp.rotation, IK_AT_ONCE)
            there, rotation = ik.forward(joints)
            turn = np.linalg.norm(matrix_to_rotvec(rotation @ grasp.rotation.T))
            turned = turn < REACHED[1] or (leans and position is not grasp.position)
            if np.linalg.norm(there - position) < REACHED[0] and turned:
                break
        else:
            return False
    return True


class GraspExpert:
    """Acts on an environment with privileged knowledge of the object's pose.

    Approach, close, lift; when the object has not come along, it opens and tries again. Where to go next depends on the
    present poses only (and on whether the hand is closing or lifting), so that a policy can imitate it.

    Args:
        env: acted on.
        choose: says which grasp, whenever one is to be planned; `choose.make_expert` takes that of the robot's gripper.
        config: may be set between episodes.
    """

    name = "oracle"

    def __init__(self, env: GraspEnv, choose: Chooser, config: ExpertConfig | None = None) -> None:
        self.env = env
        self.config = config or ExpertConfig()
        self._choose = choose
        self._symmetric, room = env.robot.gripper.symmetric, env.robot.gripper.room
        self._widest, self._steeper = (np.inf, 1.0) if self._symmetric else (ROOM * room, STEEPER)

    def reset(self, seed: int, episode: int) -> None:
        """Plans for the episode that the environment has just begun.

        Raises:
            GraspError: there is no feasible grasp.
        """
        self._episode = seed, episode
        self._rng = episode_rng(seed, episode, "planner")
        self.attempts = 0
        # places and closing axes of grasps that the hand did not get to, object frame
        self._blocked: list[tuple[Array, Array]] = []
        self._start_low = self._low()
        self._home_yaw, self._home = self._yaw(), self.env.commanded_pose()[1]
        self._wide_at_first = True
        self._wide_at_first = too_wide(self.situation())  # at rest: what is pushed over may be wide for a moment
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

    def situation(self, before: Grasp | None = None) -> Situation:
        """Returns what a grasp is chosen from at present; see there for `before`."""
        return dataclasses.replace(
            present_situation(self.env, self.config, self._rng), home=self._home, yaw=self._home_yaw,
            attempt=self.attempts, episode=self._episode, blocked=tuple(self._blocked), before=before,
            maybe_wide=self._wide_at_first,
        )  # fmt: skip

    def _begin(self) -> None:
        self._phase, self._count, self._higher, self._replans = "approach", 0, 0.0, 0
        self._still_at, self._still = self.env.hand_pose(), 0
        self.attempts += 1
        self._plan()
        self._planned_com = self.env.object_position()

    def _plan(self, before: Grasp | None = None) -> None:
        self._planned_for = self.situation(before)
        self._pose = self._planned_for.position, self._planned_for.rotation
        self.grasp = self._choose(self._planned_for, self.config)

    def _hover(self) -> float:
        """Height above the grasp at which the hand travels: higher where the fingers would meet other objects [m]."""
        highest = float(self._planned_for.obstacles[:, 2].max(initial=0.0))
        if not highest:
            return self.config.hover
        over = highest + OVER + self.env.robot.gripper.tip_offset - float(self.grasp.position[2])
        return float(np.clip(over, self.config.hover, HIGHEST_HOVER))

    def _yaw(self) -> float:
        return yaw_of(self.env.commanded_pose()[1])

    def act(self) -> Float32:
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
                place, axis = self.grasp.position - position, self.grasp.rotation[:, 0]
                self._blocked.append((place @ rotation, axis @ rotation))
                self._replan_attempt()
        elif self._phase == "close":
            opening = env.opening()
            steps = FIRM if self.grasp.precise else config.close_steps
            if self._count >= steps and (self._slides or abs(opening - self._last_opening) < 0.02):
                self._phase, self._count = "lift", 0
                self._gently = self.grasp.precise or self.situation().wrench(self.grasp) >= config.wrenches
                self._gap = float(np.linalg.norm(env.object_position() - hand))
            self._last_opening = opening
        elif self._phase == "lift":
            gap = float(np.linalg.norm(env.object_position() - hand))
            if gap > self._gap + 0.05:
                self._replan_attempt()
            elif hand[2] > self._top() - NEAR:
                missing = env.lift_height - (self._low() - self._start_low)
                if missing > 0:  # it hangs down from the hand
                    self._higher = min(self._higher + missing + NEAR, HIGHER)

    def _arrived(self, hand: Array) -> bool:
        config, grasp = self.config, self.grasp
        plane, turn = self._errors()
        if self._slanted:
            along = (hand - grasp.position) @ grasp.rotation[:, 2]
            near, turned = self._fine(config.reached)
            there = plane < near and turn < turned
            return bool(there and abs(along) < (DEEP[self._still > SETTLED] if grasp.precise else config.reached))
        height = abs(hand[2] - grasp.position[2])
        reached = min(config.reached, self._widest)
        return bool(plane < reached and abs(turn) < config.reached_turn and height < reached)

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
        grasp, com = self.grasp, self.env.object_position()
        if self._replans > RESTLESS and too_wide(self.situation()):
            # it rolls: a grasp that is another one at every step is never reached
            self.grasp = dataclasses.replace(grasp, position=grasp.position + com - self._planned_com)
            self._pose = self.env.object_pose()
        else:
            along = dataclasses.replace(grasp, position=grasp.position + (com - self._planned_com))
            with contextlib.suppress(GraspError):  # keep the old one
                self._plan(along if grasp.precise else None)
        self._planned_com = com

    def _moved(self) -> bool:
        position, rotation = self.env.object_pose()
        way, turn = np.linalg.norm(position - self._pose[0]), np.linalg.norm(rotation - self._pose[1])
        return bool(way > MOVED[0] or turn > MOVED[1])

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
        return plane, nearest_turn(self.grasp.rotation, yaw_of(rotation), self._symmetric)[1]

    @property
    def _slanted(self) -> bool:
        return bool(self.grasp.precise or self.grasp.rotation[2, 2] > -np.cos(SLANTED))

    @property
    def _slides(self) -> bool:
        """Whether fingers slide on slanted surfaces: who waits until they stand still holds nothing any more."""
        slanted = self.config.six_dof_from and self.grasp.alignment < self.config.planner.min_alignment
        return self.grasp.precise or bool(slanted and too_wide(self._planned_for))

    def _fine(self, tolerance: float) -> tuple[float, float]:
        """Distance from the line of approach [m] and rotation [rad] within which a slanted hand goes on."""
        return PRECISE if self.grasp.precise else (tolerance, SLANTED_TURN)

    def _target(self) -> tuple[Array, Array, float]:
        config, grasp = self.config, self.grasp
        # which half-turn is nearer changes with the yaw; a slanted hand has no yaw to speak of: it keeps its own
        rotation = grasp.rotation if self._slanted else nearest_turn(grasp.rotation, self._yaw(), self._symmetric)[0]
        if self._phase == "approach":
            plane, turn = self._errors()
            hover = self._hover()
            if self._slanted:
                near, turned = self._fine(config.tolerance)
                error = max(0.0, plane - near) + 0.3 * max(0.0, turn - turned)
                back = min(hover, config.funnel * error) * grasp.rotation[:, 2]
                # from far away, over the object, not through it
                over = np.array([0.0, 0.0, np.clip(plane - CLEAR, 0.0, config.hover)])
                return grasp.position - back + over, rotation, 1.0
            beyond = max(0.0, plane - min(config.tolerance, self._widest))
            error = beyond + 0.06 * max(0.0, abs(turn) - config.turn_tolerance)
            height = min(hover, hover / config.hover * self._steeper * config.funnel * error)
            return grasp.position - height * grasp.rotation[:, 2], rotation, 1.0
        closed = 0.0
        if grasp.precise:
            force = squeeze_force(grasp.alignment, self.env.object.mass)
            closed = self.env.robot.gripper.squeeze(self.env.opening(), force)
        held = grasp.position + self.env.robot.gripper.room_beside(grasp.width) * rotation[:, 0]
        if self._phase == "close":
            return held, rotation, closed
        return np.array([*held[:2], self._top()]), rotation, closed

    def _top(self) -> float:
        """Height to which the hand lifts [m]."""
        return float(self.grasp.position[2] + (self.env.lift_height + self.config.lift) + self._higher)

    def _low(self) -> float:
        """Height of the object's lowest point [m]."""
        position, rotation = self.env.object_pose()
        return float((self.env.object.mesh.vertices @ rotation[2]).min() + position[2])

    def _action(self, position: Array, rotation: Array, opening: float) -> Float32:
        config, env = self.config, self.env
        commanded_position, commanded_rotation = env.commanded_pose()
        gently = self._phase == "lift" and self._gently
        speed = min(config.speed, GENTLE * (self._count + 1)) if gently else config.speed
        step = _at_most(position - commanded_position, speed)
        turn = _at_most(matrix_to_rotvec(rotation @ commanded_rotation.T), config.turn_speed)
        return env.action_for(step, turn, opening)


def _at_most(vector: Array, length: float) -> Array:
    """Returns a vector, shortened to a length."""
    own = float(np.linalg.norm(vector))
    return vector * (length / own) if own > length else vector


def lifts_at_once(expert: GraspExpert) -> bool:
    """Plays on, from `reset`; returns whether the first attempt lifts the object."""
    env = expert.env
    for _ in range(MAX_STEPS):
        action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
        if expert.attempts > 1:
            return False
        _, over, info = env.advance(action)
        if over:
            return bool(info["is_success"])
    return False
