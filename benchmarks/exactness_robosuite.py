"""Our starts, pictures and policy on robosuite's physics: `ToyGrasp` with a Panda, its gripper and OSC_POSE controller.

For `benchmarks/exactness.py`. The robot's base is put so high that the table lies where ours does, and arm and object
begin where they begin in `toyshift/Grasp-v0`. In each control step robosuite acts; when the policy looks, joints and
object are written into our scene, which draws what it was trained on. So what differs is physics and control alone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import mujoco
import numpy as np
import robosuite
from robosuite.controllers import load_composite_controller_config

from toyshift.core.outcome import Outcome
from toyshift.core.proprioception import HAND, names_of
from toyshift.diagnostics.rows import Row
from toyshift.envs import GraspEnv
from toyshift.envs.adapters.robosuite_task import TABLE_HEIGHT, ToyGrasp
from toyshift.envs.robots.panda import PANDA_HAND
from toyshift.envs.spaces import MAX_DELTA, MAX_TURN

HORIZON, HZ = 100, 10
FINGERS = PANDA_HAND.joints


class PlacedGrasp(ToyGrasp):
    """ToyGrasp that begins in a given state.

    Attributes:
        begin: joints of the arm (7,) [rad], and the object's frame (7,) in the robot's base frame; None begins as ever.
        lift: how far the robot's base is moved up [m].
    """

    begin: tuple[Any, Any] | None = None
    lift = 0.0

    def _load_model(self) -> None:
        super()._load_model()
        robot = self.robots[0].robot_model
        x, y, z = robot.base_xpos_offset["table"](self.table_full_size[0])
        robot.set_base_xpos((x, y, z + self.lift))

    def _reset_internal(self) -> None:
        super()._reset_internal()
        if self.begin is None:
            return
        joints, pose = self.begin
        self.sim.data.qpos[self.robots[0]._ref_joint_pos_indexes] = joints
        for name, opened in zip(FINGERS, PANDA_HAND.open_ctrl, strict=True):
            self.sim.data.set_joint_qpos(self.finger(name), opened)
        self.sim.forward()
        place = np.array(pose)
        place[:3] += self.base()
        self.sim.data.set_joint_qpos(self.toy.joints[0], place)
        self.sim.forward()

    def finger(self, name: str) -> str:
        """Returns what a finger's joint is called here."""
        return f"{self.robots[0].gripper['right'].naming_prefix}{name}"

    def base(self) -> Any:
        """Returns the base frame's origin (3,) in robosuite's world [m]; its axes are the world's."""
        return np.array(self.sim.data.get_body_xpos(f"{self.robots[0].robot_model.naming_prefix}link0"))


def controllers() -> dict[str, Any]:
    """Returns robosuite's default controllers of the Panda, for which a full action is what it is for ours."""
    config = load_composite_controller_config(robot="Panda")
    arm = config["body_parts"]["right"]
    reach = [MAX_DELTA] * 3 + [MAX_TURN] * 3
    arm |= {"output_max": reach, "output_min": [-x for x in reach]}
    return cast("dict[str, Any]", config)


def play(asked: Any, hand: Any, lift_height: float, numbers: Sequence[int]) -> Iterator[Row]:
    """Yields the row of each start.

    Args:
        asked: what is played.
        hand: chooses actions.
        lift_height: that success asks for [m].
        numbers: of the starts.
    """
    contract = asked.acting.action_contract
    low, high = np.asarray(contract.low), np.asarray(contract.high)
    world = GraspEnv(**asked.env_options)
    shown = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
    env = robosuite.make(
        "PlacedGrasp", robots="Panda", objects=asked.objects, seed=asked.seed, horizon=HORIZON + 1, control_freq=HZ,
        lift_height=lift_height, initialization_noise=None, controller_configs=controllers(), **shown,
    )  # fmt: skip
    with contextlib.closing(world), contextlib.closing(env):
        env.lift = TABLE_HEIGHT - env.base()[2]
        for number in numbers:
            object_id, _, options = asked.start(number)
            world.reset(seed=asked.seed, options=options | {"observe": False})
            data, arm, target = world.scene.data, world.scene.arm, world.scene.target
            env.begin = data.qpos[arm.qpos].copy(), data.qpos[target.qpos].copy()
            env.set_ep_meta({"object_id": object_id})
            env.reset()
            osc = env.robots[0].part_controllers["right"]
            osc.update(force=True)
            osc.set_goal_update_mode("desired")  # actions are added to the command, as ours are
            osc.goal_pos, osc.goal_ori = osc.world_to_origin_frame(osc.ref_pos), osc.goal_origin_to_eef_pose()[:3, :3]
            _require_same_hand(env, world, osc)
            hand.reset()
            outcome, opening = Outcome(object_id, lift_height), 1.0
            while outcome.steps < HORIZON and not outcome.success:
                look = functools.partial(observation, env, world, osc, opening)
                action = hand.action(look, world.task_description)
                opening = float(action[-1])
                unit = 2.0 * (action[:6] - low[:6]) / (high[:6] - low[:6]) - 1.0
                _, _, _, info = env.step(np.append(unit, 1.0 - 2.0 * opening))  # robosuite: 1 closes
                outcome.add(info)
            yield asked.row(number, outcome.columns() | {"events": "", "penetration": float(env._sunk)})


def _require_same_hand(env: PlacedGrasp, world: GraspEnv, osc: Any) -> None:
    """Raises AssertionError where the hand is elsewhere for the same joints: then nothing here would mean anything."""
    position, rotation = world.hand_pose()
    np.testing.assert_allclose(np.asarray(osc.ref_pos) - env.base(), position, atol=1e-4)
    np.testing.assert_allclose(osc.ref_ori_mat, rotation, atol=1e-3)


def observation(env: PlacedGrasp, world: GraspEnv, osc: Any, opening: float) -> dict[str, Any]:
    """Returns what our environment shows of robosuite's state."""
    data, arm, target = world.scene.data, world.scene.arm, world.scene.target
    robot = env.robots[0]
    data.qpos[arm.qpos] = env.sim.data.qpos[robot._ref_joint_pos_indexes]
    data.qpos[arm.finger_qpos] = [env.sim.data.get_joint_qpos(env.finger(name)) for name in FINGERS]
    pose = np.array(env.sim.data.get_joint_qpos(env.toy.joints[0]))
    pose[:3] -= env.base()
    data.qpos[target.qpos] = pose
    mujoco.mj_forward(world.scene.model, data)
    seen = world.observe()
    state, names = seen["agent_pos"], names_of(HAND)
    lag = np.asarray(osc.origin_pos) + osc.origin_ori @ osc.goal_pos - osc.ref_pos
    first = len(state) - len(names)
    state[first + names.index("lag.x") : first + names.index("lag.x") + 3] = lag
    state[first + names.index("command.gripper")] = opening
    return dict(seen)
