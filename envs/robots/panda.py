"""Franka Emika's Panda with its own hand."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper, Robot

PANDA_HAND = Gripper(
    file="grippers/panda_gripper.xml",
    site="grip_site",
    opening=0.08,
    pad=(0.008, 0.008),
    pad_offset=-0.0036,
    tip_offset=0.009,
    finger=(0.0105, 0.022),
    palm=(0.103, 0.032),
    palm_offset=-0.031,
    joints=("finger_joint1", "finger_joint2"),
    open_ctrl=(0.04, -0.04),
    closed_ctrl=(-0.02, 0.02),
    kp=500.0,
    damping=40.0,
    armature=0.2,
    force=70.0,
    speed=2.5,
)

ROBOT = Robot(
    name="panda",
    file="robots/panda/robot.xml",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    home=(0.0, -0.02, 0.0, -2.2, 0.0, 2.18, 0.785),
    kp=(1200.0, 1200.0, 1000.0, 1000.0, 600.0, 600.0, 300.0),
    force=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    mount="right_hand",
    gripper=PANDA_HAND,
    wrist_camera=((0.07, 0.0, 0.01), (0.092296, 0.7010574, 0.7010574, 0.092296), 72.0),
    keep=0.05,
    weld=False,
    self_contact=True,
    velocity=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    acceleration=(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    limits_source="Franka Control Interface documentation, limits for Panda",
)
