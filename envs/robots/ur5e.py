"""Universal Robots' UR5e with Robotiq's 2F-85."""

from __future__ import annotations

from toyshift.envs.robots.robot import Robot
from toyshift.envs.robots.robotiq import ROBOTIQ_85, ROBOTIQ_CAMERA

ROBOT = Robot(
    name="ur5e",
    file="robots/ur5e/robot.xml",
    joints=(
        "shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint",
    ),
    home=(-0.271, -1.587, 1.715, -1.699, -1.571, -1.843),
    kp=(1500.0, 1500.0, 1200.0, 600.0, 600.0, 300.0),
    force=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
    mount="right_hand",
    gripper=ROBOTIQ_85,
    wrist_camera=ROBOTIQ_CAMERA,
    armature=0.1,
)
