"""What a robot is to this room: model files, home pose, limits and gripper geometry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.extras import robosuite_file, so101_file
from toyshift.toys.objectset import PANDA_OPENING

# package -> what finds its model files, without importing it
PACKAGES: dict[str, Callable[[str], Path]] = {"robosuite": robosuite_file, "so101": so101_file}
Pose = tuple[tuple[float, float, float], tuple[float, float, float, float]]


@dataclasses.dataclass(frozen=True)
class Gripper:
    """A gripper, as a grasp search and an actuator see it.

    The grasp frame is the site's: x is the closing direction, z the approach direction (out of the hand). Its commanded
    opening 0..1 runs over `joints`; what else moves follows them by fixed ratios, as linkages do. The lengths are those
    of the compiled model: extents of the collision geoms in the site's frame, at home, over all openings (tests hold
    them to it).

    Attributes:
        file: MJCF file below robosuite's `models/assets`; "" where the arm's file holds the gripper as well.
        site: site between the finger tips, of a jaw when it is open.
        opening: largest distance between the finger pads [m].
        pad: half extents of a finger pad: across (y) and along the approach (z) [m].
        pad_offset: position of the pads' centre along the approach axis, from the site [m].
        tip_offset: position of the finger tips along the approach axis, from the site, where they reach furthest [m].
        finger: half width (y), thickness (x) of a finger [m].
        palm: half extents of the palm: along x, along y [m].
        palm_offset: position of the palm's face along the approach axis, from the site [m].
        joints: driven joints.
        open_ctrl: actuator targets, and joint positions, when open.
        closed_ctrl: actuator targets when closed; beyond contact, so that thin objects are held as well.
        kp, damping, armature, force: stiffness, damping, armature and force limit of every driven joint: [N/m], [N
            s/m], [kg], [N] of a slide, [N m/rad], [N m s/rad], [kg m^2], [N m] of a hinge.
        speed: how fast the commanded opening may change [share of the opening per second].
        closed: joint positions where the opening counts as 0; none is 0 for every joint.
        follow: joints that follow a driven one: name, driven joint, ratio of their angles.
        body: the hand's body; it and what hangs on it may touch a lifted object.
        stiff: prefixes of the geoms with hard contacts.
        grasp_pose: position [m] and quaternion (wxyz) of the site in the hand's body, where the file has none that
            fits.
        paint: colour in place of the file's, where that one shows no shape (pure black).
        kind: "parallel" for two fingers that close alike, "jaw" for one that closes (from +x) against one that does not
            move (at -x), "hand" for fingers that wrap around; decides which expert plays.
        room: between an object that is to be grasped and the finger that does not move, where the object is narrow
            enough [m].
    """

    file: str
    site: str
    opening: float
    pad: tuple[float, float]
    pad_offset: float
    tip_offset: float
    finger: tuple[float, float]
    palm: tuple[float, float]
    palm_offset: float
    joints: tuple[str, ...]
    open_ctrl: tuple[float, ...]
    closed_ctrl: tuple[float, ...]
    kp: float
    damping: float
    armature: float
    force: float
    speed: float
    closed: tuple[float, ...] = ()
    follow: tuple[tuple[str, str, float], ...] = ()
    body: str = "right_gripper"
    stiff: tuple[str, ...] = ("finger",)
    grasp_pose: Pose | None = None
    kind: str = "parallel"
    paint: tuple[float, float, float, float] | None = None
    room: float = 0.0

    @property
    def shut(self) -> tuple[float, ...]:
        """Positions of the driven joints where the opening is 0."""
        return self.closed or (0.0,) * len(self.joints)

    @property
    def symmetric(self) -> bool:
        """Whether half a turn about the approach makes it the same gripper again."""
        return self.kind != "jaw"

    def room_beside(self, width: Any) -> Any:
        """Room (k,) between the finger that does not move and objects of a width (k,), or one of them [m].

        The hand closes it while the other finger closes, so that the object stays where it is.
        """
        return np.clip(0.5 * (self.opening - width), 0.0, self.room)

    def squeeze(self, opening: float, force: float) -> float:
        """Returns the commanded opening (0..1) that presses with `force` [N] on what stops the fingers at a measured
        `opening` (0..1).
        """
        shut, opened, closed = self.shut[0], self.open_ctrl[0], self.closed_ctrl[0]
        span = opened - shut
        # virtual work: the joints' over their way is the force's over the opening
        beyond = force * self.opening / (len(self.joints) * self.kp * abs(span))
        target = shut + opening * span - np.sign(span) * beyond
        return float(np.clip((target - closed) / (opened - closed), 0.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Robot:
    """An arm with its gripper.

    "Base frame" means the frame of the table scene everywhere: z up, the table's surface at z = 0, x away from the
    robot. An arm stands at its origin, or where `base` says.

    Attributes:
        file: MJCF file of `package`, or MJCF text.
        joints: arm joints in order.
        home: start pose [rad] ([m] for slides).
        kp: position stiffness per joint [N m/rad].
        force: torque limit per joint [N m].
        mount: body that carries the gripper.
        gripper: the gripper.
        wrist_camera: position and quaternion (wxyz, MuJoCo camera frame) in the mount's frame, vertical field of view
            [deg].
        base: where the arm stands [m]; below it is a pedestal if it stands above the table.
        armature: rotor inertia added to every joint [kg m^2], where the file has none: light wrists are unstable at 4
            ms without.
        keep: share of the visual faces that is kept.
        weld: whether visual vertices nearer than 1 mm are welded first: scans and CAD exports with seams cannot be
            decimated without. The Panda's need it not, and its pictures stay as they are.
        self_contact: whether the robot's parts collide with one another.
        units: of every joint; none is rad.
        velocity, acceleration: what the manufacturer allows every joint, [rad/s] and [rad/s^2]; none where that was not
            looked up. The simulation does not enforce them: exported bundles tell them.
        limits_source: where these two were read.
        package: whose files are read, a name of PACKAGES.
        bends: joint whose axis is normal to the plane in which an arm of five joints bends: its hand leans in that
            plane alone, see `control.kinematics`. Arms of more joints have none.
        lift: how far objects are to be lifted by default [m].
        spread: half side of the square of start positions by default [m].
        without: geoms of the file that are left out.
        sliced: meshes whose convex hulls would fill what is between the fingers, the axis of their body along which
            they are cut (0 x, 1 y, 2 z), and into how many slices, which collide in their place.
    """

    name: str
    file: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    kp: tuple[float, ...]
    force: tuple[float, ...]
    mount: str
    gripper: Gripper
    wrist_camera: tuple[tuple[float, float, float], tuple[float, float, float, float], float]
    base: tuple[float, float, float] = (0.0, 0.0, 0.0)
    armature: float = 0.0
    keep: float = 0.1
    weld: bool = True
    self_contact: bool = False
    units: tuple[str, ...] = ()
    velocity: tuple[float, ...] = ()
    acceleration: tuple[float, ...] = ()
    limits_source: str = ""
    package: str = "robosuite"
    bends: str = ""
    lift: float = 0.3
    spread: float = 0.1
    without: tuple[str, ...] = ()
    sliced: tuple[tuple[str, int, int], ...] = ()

    def require_files(self) -> None:
        """Raises MissingDependencyError, which names the command, where the package with the files is not installed."""
        if not self.file.startswith("<"):
            PACKAGES[self.package](self.file)

    @property
    def toy_scale(self) -> float:
        """How large toys for its gripper are, where those of `toys:train` are 1: as the gripper opens, so are they."""
        return round(self.gripper.opening / PANDA_OPENING, 2)

    @property
    def joint_units(self) -> tuple[str, ...]:
        """Unit of every joint: "rad" or "m"."""
        return self.units or ("rad",) * len(self.joints)
