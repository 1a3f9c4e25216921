"""Franka Emika's Panda with Robotiq's 2F-85: the arm of the DROID dataset."""

from __future__ import annotations

import dataclasses

from toyshift.envs.robots import panda
from toyshift.envs.robots.robotiq import ROBOTIQ_85, ROBOTIQ_CAMERA

ROBOT = dataclasses.replace(
    panda.ROBOT,
    name="panda-robotiq",
    gripper=ROBOTIQ_85,
    wrist_camera=ROBOTIQ_CAMERA,
    home=(0.0, -0.147, 0.0, -2.216, 0.0, 2.069, 0.785),
    keep=0.1,
    weld=True,
    self_contact=False,
)
