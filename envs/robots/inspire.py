"""A floating wrist with the Inspire hand (the right one of the GR1): five fingers that wrap around what they hold."""

from __future__ import annotations

from toyshift.envs.robots.robot import Gripper, Robot

# the mouth between opposed thumb and fingers opens at 45 degrees between palm and finger tips; at home it faces the
# table
WRIST = """\
<mujoco model="floating wrist">
  <compiler angle="radian"/>
  <worldbody>
    <body name="wrist_base">
      <body name="carriage_x"><inertial pos="0 0 0" mass="0.3" diaginertia="0.001 0.001 0.001"/>
        <joint name="wrist_x" type="slide" axis="1 0 0" range="-0.5 1.5"/>
        <body name="carriage_y"><inertial pos="0 0 0" mass="0.3" diaginertia="0.001 0.001 0.001"/>
          <joint name="wrist_y" type="slide" axis="0 1 0" range="-1.2 1.2"/>
          <body name="carriage_z"><inertial pos="0 0 0" mass="0.3" diaginertia="0.001 0.001 0.001"/>
            <joint name="wrist_z" type="slide" axis="0 0 1" range="-0.2 1.5"/>
            <body name="gimbal_yaw"><inertial pos="0 0 0" mass="0.1" diaginertia="0.001 0.001 0.001"/>
              <joint name="wrist_yaw" type="hinge" axis="0 0 1" range="-3.9 3.9"/>
              <body name="gimbal_pitch"><inertial pos="0 0 0" mass="0.1" diaginertia="0.001 0.001 0.001"/>
                <joint name="wrist_pitch" type="hinge" axis="0 1 0" range="-1.4 1.4"/>
                <body name="gimbal_roll"><inertial pos="0 0 0" mass="0.1" diaginertia="0.001 0.001 0.001"/>
                  <joint name="wrist_roll" type="hinge" axis="1 0 0" range="-3.1 3.1"/>
                  <body name="flange" quat="0.6532815 0.2705981 -0.2705981 0.6532815">
                    <geom type="cylinder" size="0.032 0.02" pos="0 0 0.02" contype="0" conaffinity="0" group="1"
                          rgba="0.75 0.75 0.78 1"/>
                    <geom type="sphere" size="0.032" pos="0 0 0.04" contype="0" conaffinity="0" group="1"
                          rgba="0.35 0.35 0.38 1"/>
                  </body>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""

_NAMES = ("index", "middle", "ring", "pinky")
_FINGERS = tuple(f"joint_r_{finger}_{link}" for finger in _NAMES for link in ("proximal", "distal"))
_THUMB = ("joint_r_thumb_proximal_1", "joint_r_thumb_proximal_2", "joint_r_thumb_middle", "joint_r_thumb_distal")

INSPIRE_HAND = Gripper(
    file="grippers/inspire_right_hand.xml",
    site="grasp",
    opening=0.106,
    pad=(0.035, 0.02),
    pad_offset=0.0,
    tip_offset=0.036,
    finger=(0.04, 0.02),
    palm=(0.08, 0.045),
    palm_offset=-0.038,
    joints=(*_FINGERS, *_THUMB),
    # the thumb stays opposed: what closes is the rest of it
    open_ctrl=(0.0,) * 8 + (1.1, 0.0, 0.0, 0.0),
    closed_ctrl=(1.6, 1.7) * 4 + (1.3, 0.68, 0.68, 0.77),
    kp=2.0,
    damping=0.1,
    armature=0.003,
    force=1.0,
    speed=2.0,
    closed=(1.6, 1.7) * 4 + (1.3, 0.68, 0.68, 0.77),
    body="right_hand",
    stiff=("r_",),
    grasp_pose=((-0.0508, -0.1142, 0.0), (0.6532815, 0.6532815, -0.2705981, -0.2705981)),
    kind="hand",
    paint=(0.16, 0.16, 0.17, 1.0),
)

ROBOT = Robot(
    name="inspire",
    file=WRIST,
    joints=("wrist_x", "wrist_y", "wrist_z", "wrist_yaw", "wrist_pitch", "wrist_roll"),
    home=(0.5, -0.045, 0.42, 0.0, 0.0, 0.0),
    kp=(6000.0, 6000.0, 6000.0, 200.0, 200.0, 200.0),
    force=(200.0, 200.0, 200.0, 30.0, 30.0, 30.0),
    mount="flange",
    gripper=INSPIRE_HAND,
    wrist_camera=((0.0482, -0.15, -0.0152), (0.04995, 0.37941, -0.120591, 0.915976), 72.0),
    armature=0.05,
    units=("m",) * 3 + ("rad",) * 3,
)
