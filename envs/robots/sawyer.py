"""Rethink Robotics' Sawyer with its electric parallel gripper."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper, Robot

RETHINK_GRIPPER = Gripper(
    file="grippers/rethink_gripper.xml",
    site="grip_site",
    opening=0.079,
    pad=(0.0035, 0.0165),
    pad_offset=-0.0066,
    tip_offset=0.0139,
    finger=(0.0065, 0.0155),
    palm=(0.053, 0.033),
    palm_offset=-0.04,
    joints=("l_finger_joint", "r_finger_joint"),
    open_ctrl=(0.020833, -0.020833),
    closed_ctrl=(-0.04, 0.04),
    kp=500.0,
    damping=40.0,
    armature=0.2,
    force=44.0,
    speed=2.5,
    closed=(-0.0115, 0.0115),
    body="gripper_base",
    stiff=("l_finger", "r_finger"),
)

ROBOT = Robot(
    name="sawyer",
    file="robots/sawyer/robot.xml",
    joints=tuple(f"right_j{i}" for i in range(7)),
    home=(-0.245, -1.444, -0.104, 1.906, 0.015, 1.11, 1.39),
    kp=(1200.0, 1200.0, 1000.0, 1000.0, 500.0, 500.0, 300.0),
    force=(80.0, 80.0, 40.0, 40.0, 9.0, 9.0, 9.0),
    mount="right_hand",
    gripper=RETHINK_GRIPPER,
    wrist_camera=((-0.09, 0.0, 0.01), (-0.092296, -0.7010574, 0.7010574, 0.092296), 72.0),
    armature=0.1,
)
