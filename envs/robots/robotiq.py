"""Robotiq's 2F-85, a gripper that several arms carry."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper

# The linkage as the maker's URDF has it: one motor, the pads stay parallel. robosuite's file has springs on tendons in
# its place, with which the finger tips wag.
_LINKAGE = (
    ("left_inner_knuckle_joint", "finger_joint", 1.0),
    ("left_inner_finger_joint", "finger_joint", -1.0),
    ("right_outer_knuckle_joint", "finger_joint", 1.0),
    ("right_inner_knuckle_joint", "finger_joint", 1.0),
    ("right_inner_finger_joint", "finger_joint", -1.0),
)

ROBOTIQ_85 = Gripper(
    file="grippers/robotiq_gripper_85.xml",
    site="grip_site",
    opening=0.085,
    pad=(0.010, 0.0167),
    pad_offset=-0.0035,
    tip_offset=0.0165,
    finger=(0.0135, 0.031),
    palm=(0.075, 0.0375),
    palm_offset=-0.036,
    joints=("finger_joint",),
    open_ctrl=(0.0,),
    closed_ctrl=(1.2,),
    kp=20.0,
    damping=1.0,
    armature=0.01,
    force=5.0,
    speed=1.7,
    closed=(0.8,),
    follow=_LINKAGE,
    body="robotiq_85_adapter_link",
    stiff=("left_", "right_"),
)

# beside the gripper, on the far side of the flange, tilted by 30 degrees: far enough out that the housing does not hide
# what lies between the pads
ROBOTIQ_CAMERA = ((0.12, 0.0, 0.03), (0.1830127, 0.6830127, 0.6830127, 0.1830127), 72.0)
