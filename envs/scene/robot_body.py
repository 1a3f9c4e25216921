"""Puts a robot into a scene: light visuals, position actuators, gravity compensation, a wrist camera."""

from __future__ import annotations

import warnings
from typing import Any

import mujoco
import numpy as np

from toyshift.envs.robots import Gripper, Robot
from toyshift.envs.scene.robot_files import robot_specs
from toyshift.envs.scene.spec import DRAWN, EMPTY_PREFIX, STIFF, add_mesh

# a joint turns no further from zero than this, wherever its file lets it turn on and on: observations are bounded [rad]
TURN = 3.9
PEDESTAL = 0.09  # radius [m]
FOLLOWER_DAMPING = 0.1  # share of a driven joint's damping: a linkage of five joints must not be five times as slow
FOLLOW = (0.008, 1.0)  # how fast a linkage corrects its errors: as fast as two steps of 4 ms allow


def _attach(parent: Any, child: Any, frame: Any) -> None:
    """Attaches a spec under its own names. MuJoCo 4 warns that such a one may not be saved, which nobody does here."""
    handler = mujoco.get_mju_user_warning()

    def tell(message: str) -> None:
        if EMPTY_PREFIX not in message:
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=3)

    mujoco.set_mju_user_warning(tell)
    try:
        parent.attach(child, frame=frame, prefix="")
    finally:
        mujoco.set_mju_user_warning(handler)


def add_robot(spec: Any, robot: Robot, full_meshes: bool = False) -> None:
    """Attaches a robot at its base; `full_meshes` draws what the model files hold, for pictures."""
    arm, gripper, pieces = robot_specs(robot, full_meshes)
    arm, gripper = arm.copy(), None if gripper is None else gripper.copy()
    grip, hand = robot.gripper, arm if gripper is None else gripper
    if grip.grasp_pose is not None:
        hand.body(grip.body).add_site(name=grip.site, pos=grip.grasp_pose[0], quat=grip.grasp_pose[1])
    if not robot.self_contact:
        for geom in (*arm.geoms, *(() if gripper is None else gripper.geoms)):
            geom.contype, geom.conaffinity, geom.priority = 0, 1, 0
    if gripper is not None:
        _attach(arm, gripper, arm.body(robot.mount).add_frame())
    position, quat, fovy = robot.wrist_camera
    arm.body(robot.mount).add_camera(name="wrist", pos=position, quat=quat, fovy=fovy)
    for i, piece in enumerate(pieces):
        body, name = arm.body(piece.body), f"robot_visual{i}"
        add_mesh(arm, body, f"visual{i}", piece.vertices, piece.faces, name=name, rgba=piece.rgba, **DRAWN)
    if robot.base[2] > 0:
        half = 0.5 * robot.base[2]
        arm.worldbody.first_body().add_geom(
            name="pedestal", type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=(PEDESTAL, half, 0.0), pos=(0.0, 0.0, -half),
            rgba=(0.25, 0.25, 0.27, 1.0), mass=0, **DRAWN,
        )
    for body in arm.bodies:
        body.gravcomp = 1.0
    _attach(spec, arm, spec.worldbody.add_frame(pos=robot.base))
    for geom in spec.geoms:
        if geom.name.startswith(grip.stiff):
            geom.solref = STIFF
    followers = [name for name, _, _ in grip.follow]
    for name in (*grip.joints, *followers):
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = grip.armature, 0.0
        joint.damping = _coefficient(joint.damping, grip.damping * (FOLLOWER_DAMPING if name in followers else 1.0))
        joint.stiffness = _coefficient(joint.stiffness, 0.0)
    for name, kp, force in zip(robot.joints, robot.kp, robot.force, strict=True):
        _prepare(spec.joint(name), robot.armature)
        actuator = spec.add_actuator(name=f"arm_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=kp, dampratio=1.0)
        actuator.forcelimited, actuator.forcerange = True, (-force, force)
    for name, opened, shut in zip(grip.joints, grip.open_ctrl, grip.shut, strict=True):
        joint = spec.joint(name)
        if joint.range[0] == joint.range[1]:
            joint.range, joint.limited = sorted((opened, shut)), True
        actuator = spec.add_actuator(name=f"grip_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=grip.kp)
        actuator.forcelimited, actuator.forcerange = True, (-grip.force, grip.force)
    _add_linkage(spec, grip)


def damp_critically(model: Any, robot: Robot) -> None:
    """Damps every joint of a compiled arm critically, for the inertia that it moves at the model's own pose (qpos0).

    MuJoCo's `dampratio` does so up to 3.9, to the same bits; MuJoCo 4 takes the inverse of the joint's own mobility for
    that inertia, which is smaller: an arm that overshoots.
    """
    for name in robot.joints:
        actuator, joint = model.actuator(f"arm_{name}").id, model.joint(name)
        inertia = model.dof_M0[joint.dofadr[0]]
        model.actuator_biasprm[actuator, 2] = -2.0 * np.sqrt(model.actuator_gainprm[actuator, 0] * inertia)


def _coefficient(present: Any, value: float) -> Any:
    # a number up to MuJoCo 3.8, the coefficients of a polynomial from 3.9 on
    return np.array([value, 0.0, 0.0]) if np.ndim(present) else value


def _prepare(joint: Any, armature: float) -> None:
    """Bounds an arm's joint and gives it the inertia of its rotor."""
    if joint.range[0] == joint.range[1]:
        joint.range, joint.limited = (-TURN, TURN), True
    joint.range = np.clip(joint.range, -TURN, TURN)
    if armature:
        joint.armature = armature


def _add_linkage(spec: Any, grip: Gripper) -> None:
    for name, driver, ratio in grip.follow:
        spec.joint(name).limited = False  # their limits are the driven joint's
        kind, linkage = mujoco.mjtEq.mjEQ_JOINT, f"linkage_{name}"
        coupling = spec.add_equality(name=linkage, type=kind, name1=name, name2=driver, solref=FOLLOW)
        coupling.data[:5] = (0.0, ratio, 0.0, 0.0, 0.0)
