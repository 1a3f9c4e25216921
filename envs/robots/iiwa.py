"""KUKA's LBR iiwa 7 with Robotiq's 2F-85."""

from __future__ import annotations

from toyshift.envs.robots.robot import Robot
from toyshift.envs.robots.robotiq import ROBOTIQ_85, ROBOTIQ_CAMERA

ROBOT = Robot(
    name="iiwa",
    file="robots/iiwa/robot.xml",
    joints=tuple(f"joint_{i}" for i in range(1, 8)),
    home=(0.0, 0.559, 0.0, -1.577, 0.0, 1.006, 0.0),
    kp=(1200.0, 1200.0, 1000.0, 1000.0, 600.0, 600.0, 300.0),
    force=(176.0, 176.0, 110.0, 110.0, 110.0, 40.0, 40.0),
    mount="right_hand",
    gripper=ROBOTIQ_85,
    wrist_camera=ROBOTIQ_CAMERA,
    base=(-0.05, 0.0, 0.1),
    armature=0.1,
)
