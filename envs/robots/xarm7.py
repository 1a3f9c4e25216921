"""UFACTORY's xArm7 with its gripper."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper, Robot

XARM_GRIPPER = Gripper(
    file="grippers/xarm7_gripper.xml",
    site="grip_site",
    opening=0.089,
    pad=(0.015, 0.0185),
    pad_offset=-0.004,
    tip_offset=0.0155,
    finger=(0.015, 0.031),
    palm=(0.087, 0.0375),
    palm_offset=-0.035,
    joints=("left_driver_joint",),
    open_ctrl=(0.0,),
    closed_ctrl=(1.25,),
    kp=20.0,
    damping=1.0,
    armature=0.01,
    force=5.0,
    speed=2.5,
    closed=(0.85,),
    # the maker's URDF couples all of them to the one motor
    follow=tuple((name, "left_driver_joint", 1.0) for name in (
        "left_finger_joint", "left_inner_knuckle_joint", "right_driver_joint", "right_finger_joint",
        "right_inner_knuckle_joint",
    )),
    body="xarm_gripper_base_link",
    stiff=("left_finger", "right_finger"),
    grasp_pose=((0.0, 0.0, 0.157), (0.7071068, 0.0, 0.0, -0.7071068)),
)

ROBOT = Robot(
    name="xarm7",
    file="robots/xarm7/robot.xml",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    home=(0.0, 0.165, 0.0, 1.118, 0.0, 0.953, 0.0),
    kp=(1200.0, 1200.0, 1000.0, 1000.0, 600.0, 600.0, 300.0),
    force=(80.0,) * 7,
    mount="right_hand",
    gripper=XARM_GRIPPER,
    wrist_camera=((-0.12, 0.0, 0.06), (-0.1830127, -0.6830127, 0.6830127, 0.1830127), 72.0),
    base=(0.0, 0.0, 0.1),
    armature=0.1,
)
