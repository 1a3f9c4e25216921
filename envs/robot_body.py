"""Puts a robot of robosuite's model files into a scene: light visuals, position actuators, gravity compensation, a wrist camera."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np

from toyshift.envs.robots import Robot, asset_path
from toyshift.envs.surroundings import STIFF, VISIBLE
from toyshift.envs.visuals import robot_visuals


@functools.cache
def _robot_xml(robot: Robot, full_meshes: bool) -> tuple[Any, Any, list[Any]]:
    """Reads arm and gripper, and their visuals, decimated or whole; the specs are templates and are copied by their users."""
    arm_path, gripper_path = asset_path(robot.file), asset_path(robot.gripper.file)
    arm, gripper = mujoco.MjSpec.from_file(str(arm_path)), mujoco.MjSpec.from_file(str(gripper_path))
    pieces = robot_visuals(arm, arm_path.parent, full_meshes) + robot_visuals(gripper, gripper_path.parent, full_meshes)
    for spec in (arm, gripper):
        for geom in list(spec.geoms):
            if geom.group == VISIBLE:
                spec.delete(geom)
        used = {geom.meshname for geom in spec.geoms if geom.meshname}
        for mesh in list(spec.meshes):
            if mesh.name not in used:
                spec.delete(mesh)
        for material in list(spec.materials):
            spec.delete(material)
        for actuator in list(spec.actuators):
            spec.delete(actuator)
        for sensor in list(spec.sensors):
            spec.delete(sensor)
        for camera in list(spec.cameras):
            spec.delete(camera)
        for site in list(spec.sites):
            if site.name != robot.gripper.site:
                spec.delete(site)
    return arm, gripper, pieces


def add_robot(spec: Any, robot: Robot, full_meshes: bool = False) -> None:
    """Attaches a robot at the world's origin; `full_meshes` draws what the model files hold, for pictures."""
    arm, gripper, pieces = _robot_xml(robot, full_meshes)
    arm, gripper = arm.copy(), gripper.copy()
    mount = arm.body(robot.mount)
    arm.attach(gripper, frame=mount.add_frame(), prefix="")
    position, quat, fovy = robot.wrist_camera
    arm.body(robot.mount).add_camera(name="wrist", pos=position, quat=quat, fovy=fovy)
    for i, piece in enumerate(pieces):
        arm.add_mesh(name=f"visual{i}", uservert=piece.vertices.ravel().tolist(), userface=piece.faces.ravel().tolist(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        arm.body(piece.body).add_geom(
            name=f"robot_visual{i}", type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"visual{i}", rgba=piece.rgba,
            group=VISIBLE, contype=0, conaffinity=0, mass=0,
        )
    for body in arm.bodies:
        body.gravcomp = 1.0
    spec.attach(arm, frame=spec.worldbody.add_frame(), prefix="")
    grip = robot.gripper
    for geom in spec.geoms:
        if geom.name.startswith("finger"):
            geom.solref = STIFF
    for name in grip.joints:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = grip.armature, 0.0
        # a number up to MuJoCo 3.8, the coefficients of a polynomial from 3.9 on
        joint.damping = np.array([grip.damping, 0.0, 0.0]) if np.ndim(joint.damping) else grip.damping
    for name, kp, force in zip(robot.joints, robot.kp, robot.force, strict=True):
        actuator = spec.add_actuator(name=f"arm_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=kp, dampratio=1.0)
        actuator.forcelimited, actuator.forcerange = True, (-force, force)
    for name in grip.joints:
        actuator = spec.add_actuator(name=f"grip_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=grip.kp)
        actuator.forcelimited, actuator.forcerange = True, (-grip.force, grip.force)
