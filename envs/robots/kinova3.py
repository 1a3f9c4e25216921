"""Kinova's Gen3 with Robotiq's 2F-85."""

from __future__ import annotations

from toyshift.envs.robots.robot import Robot
from toyshift.envs.robots.robotiq import ROBOTIQ_85, ROBOTIQ_CAMERA

ROBOT = Robot(
    name="kinova3",
    file="robots/kinova3/robot.xml",
    joints=tuple(f"Actuator{i}" for i in range(1, 8)),
    home=(-0.054, 0.673, 0.007, 1.614, -0.006, 0.854, -1.615),
    kp=(1000.0, 1000.0, 800.0, 800.0, 400.0, 400.0, 200.0),
    force=(39.0, 39.0, 39.0, 39.0, 13.0, 13.0, 13.0),
    mount="right_hand",
    gripper=ROBOTIQ_85,
    wrist_camera=ROBOTIQ_CAMERA,
    base=(0.0, 0.0, 0.2),
    armature=0.1,
)
